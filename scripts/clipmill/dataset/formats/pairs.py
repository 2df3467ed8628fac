"""Formats that are folders of videos with a text beside each, sorted by bucket, and a config that lists the folders."""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from clipmill.base.files import temporary, write_text
from clipmill.base.human import counted
from clipmill.dataset.formats.assign import NO_BUCKET, Bucket, Buckets, frames_at
from clipmill.dataset.formats.folders import Linked
from clipmill.dataset.formats.layout import Layout, bucket_of, frames_of, size_of
from clipmill.shapes.counts import ladder, of_buckets
from clipmill.shapes.rates import exact_rate
from clipmill.store.table import Row

log = logging.getLogger("clipmill")

FILES_PER_FOLDER = 10_000
MASKS = "masks"  # diffusion-pipe takes every picture beside the videos for an example: masks lie in a folder below


class Place(NamedTuple):
    """What the clips of a folder have in common. `fps` is their rate, where the trainer wants it."""

    bucket: Bucket
    fps: float | None = None

    @property
    def name(self) -> str:
        """As a name of a folder: `832x480x81`, `832x480x81@29.97003`, `all`."""
        return self.bucket.name if self.fps is None else f"{self.bucket.name}@{self.fps:.5f}".rstrip("0").rstrip(".")


Folders = Sequence[tuple[str, Place]]
"""The folders of a split, by their paths below the dataset."""


class Pairs(Linked):
    """Folders of videos with a text beside each, one or more per place, and one config file per split that lists them.

    A text is written before its video, so that a reader never finds a video without one. A folder has at most
    FILES_PER_FOLDER videos. Paths in the config files count from where the trainer is started: the dataset folder.
    """

    endings: ClassVar[tuple[str, ...]] = (".mp4", ".txt", "captions.json")
    mask_below: ClassVar[str | None] = None  # where in its folder a clip's mask lies, if the trainer knows masks

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._masked: set[str] = set()  # folders in which clips have masks
        self._counts: Counter[tuple[str, Place]] = Counter()
        self._folders: dict[str, dict[str, Place]] = {split: {} for split in layout.splits}
        self._left_out = 0

    def clip(self, row: Row) -> None:
        place = self._place_of(row)
        if place.bucket == NO_BUCKET and self.layout.buckets != Buckets():
            return
        if self._takes(row, place):
            self._put(row, place)
        else:
            self._left_out += 1

    def _place_of(self, row: Row) -> Place:
        return Place(bucket_of(row))

    def _takes(self, row: Row, place: Place) -> bool:
        """Whether the trainer finds the frames of the bucket in the clip's file. It would skip a clip without them."""
        return True

    def _put(self, row: Row, place: Place) -> str:
        """Put a clip and its text into a folder of its split, and return the folder."""
        split = row["split"]
        part = self._counts[split, place] // FILES_PER_FOLDER
        self._counts[split, place] += 1
        folder, tree = f"{place.name}/{part:04d}", self.trees[split]
        self._folders[split][f"{self.folder}/{split}/{folder}"] = place
        tree.write(f"{folder}/{row['clip_id']}.txt", self.layout.texts(row)[0] + "\n")
        if self.mask_below and (mask := self.layout.mask(row)):
            tree.put(f"{folder}/{self.mask_below.format(clip=row['clip_id'])}", mask)
            self._masked.add(f"{self.folder}/{split}/{folder}")
        tree.link(self.layout.dataset / row["file_path"], f"{folder}/{row['clip_id']}.mp4")
        return folder

    def finish(self) -> None:
        for split, path in self.layout.by_split(self.entries[0]):
            write_text(self.layout.dataset / path, self._config(sorted(self._folders[split].items())))
        if self._left_out:
            log.warning(
                "%s: %s left out, since the trainer would find too few frames in their files; with cut.fps and "
                "cut.frames all clips have the right number",
                self.folder,
                counted(self._left_out, "clip"),
            )

    def _config(self, folders: Folders) -> str:
        """The text of the file that lists the folders of a split."""
        raise NotImplementedError


class MusubiTuner(Pairs):
    """One `[[datasets]]` per folder, and one folder per bucket and rate; videos are trained with their first frames.

    Source: kohya-ss/musubi-tuner, docs/dataset_config.md, video dataset with caption text files, and
    src/musubi_tuner/dataset/image_video_dataset.py. `source_fps` must be a float. Its caching sorts clips by shape
    whatever `enable_bucket` says; with false, training would batch clips of several shapes, and fail.
    """

    folder = "musubi-tuner"
    endings = (*Pairs.endings, "_wmask.png")
    mask_below = "{clip}_wmask.png"
    entries = ("musubi-tuner/{split}.toml",)
    title = "musubi-tuner"
    language = "sh"
    load = "\n".join(
        f"{start} /path/to/musubi-tuner/src/musubi_tuner/{script}.py \\\n    --dataset_config musubi-tuner/train.toml …"
        for start, script in (
            ("python", "wan_cache_latents"),
            ("python", "wan_cache_text_encoder_outputs"),
            ("accelerate launch", "wan_train_network"),
        )
    )

    def _place_of(self, row: Row) -> Place:
        return Place(bucket_of(row), _source_fps(row["cut_fps"]))

    def _takes(self, row: Row, place: Place) -> bool:
        """It drops frames of faster files, but doubles none of slower ones: these become too short."""
        rate, wanted = self.layout.buckets.fps, place.bucket.bucket_frames
        if rate is None or wanted is None or place.fps is None:
            return True
        step = float(exact_rate(rate)) / place.fps  # in frames of the trainer, from one of the file to the next
        if step > 1:
            return row["cut_frames"] >= wanted and (wanted - 1) * step < wanted
        return frames_at(rate, row["cut_frames"], place.fps) >= wanted

    def _config(self, folders: Folders) -> str:
        head = [HERE, "[general]", 'caption_extension = ".txt"', "batch_size = 1", "enable_bucket = true"]
        return _toml(head, (self._section(*folder) for folder in folders))

    def _section(self, path: str, place: Place) -> list[str]:
        return [
            "[[datasets]]",
            f"video_directory = {json.dumps(path)}",
            f"cache_directory = {json.dumps(path.replace('/', '/cache/', 1))}",
            f"resolution = {list(size_of(place.bucket))}",
            f"target_frames = [{frames_of(place.bucket)}]",
            'frame_extraction = "head"',
            f"source_fps = {place.fps}",
        ]


class DiffusionPipe(Pairs):
    """One `[[directory]]` per folder; with several captions per clip a `captions.json` with a list for each video.

    Source: tdrussell/diffusion-pipe, examples/dataset.toml, and utils/dataset.py for captions.json. Each folder has all
    numbers of frames: a clip that is shorter at the model's rate falls into a smaller bucket, and is not skipped.
    `size_buckets` cannot say that: of several with one aspect ratio only the longest is used. A folder's sizes override
    the `resolutions` at the top, which must be there all the same.
    """

    folder = "diffusion-pipe"
    endings = (*Pairs.endings, ".png")
    mask_below = f"{MASKS}/{{clip}}.png"
    entries = ("diffusion-pipe/{split}.toml",)
    title = "diffusion-pipe"
    language = "sh"
    load = (
        "ln -sfn /path/to/diffusion-pipe/configs configs  # it looks for the configs of models where it is started\n"
        "deepspeed --num_gpus=1 /path/to/diffusion-pipe/train.py --deepspeed \\\n"
        '    --config my.toml  # which says: dataset = "diffusion-pipe/train.toml"'
    )

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._lists: set[Path] = set()
        self._most_frames = 0

    def _put(self, row: Row, place: Place) -> str:
        folder = super()._put(row, place)
        self._most_frames = max(self._most_frames, frames_of(place.bucket))
        if len(self.layout.captions) > 1:
            path = self.trees[row["split"]].want(f"{folder}/captions.json")
            with open(temporary(path), "a" if path in self._lists else "w", encoding="utf-8") as file:
                file.write(",\n" if path in self._lists else "{\n")
                file.write(
                    f"{json.dumps(row['clip_id'] + '.mp4')}: {json.dumps(self.layout.texts(row), ensure_ascii=False)}"
                )
            self._lists.add(path)
        return folder

    def finish(self) -> None:
        for path in sorted(self._lists):
            with open(temporary(path), "a", encoding="utf-8") as file:
                file.write("\n}\n")
            os.replace(temporary(path), path)
        super().finish()

    def _config(self, folders: Folders) -> str:
        head = [HERE, "resolutions = [512]", "enable_ar_bucket = true"]
        if ratios := self.layout.buckets.aspect_ratios:
            head += [f"ar_buckets = {sorted(ratios)}"]
        elif self.layout.buckets.resolutions is None:
            head += ["min_ar = 0.5", "max_ar = 2.0", "num_ar_buckets = 7"]
        return _toml(head, (self._section(*folder) for folder in folders))

    def _section(self, path: str, place: Place) -> list[str]:
        lines = ["[[directory]]", f"path = {json.dumps(path)}", "num_repeats = 1"]
        if path in self._masked:
            lines.append(f"mask_path = {json.dumps(f'{path}/{MASKS}')}")
        if place.bucket.bucket_width:
            size = list(size_of(place.bucket))
            lines += [f"resolutions = [{size}]", f"ar_buckets = [{size}]"]
        counts = ladder(of_buckets(self.layout.buckets.frames or [frames_of(place.bucket)]), self._most_frames)
        return [*lines, f"frame_buckets = {[1, *counts]}"]


class SimpleTuner(Pairs):
    """One local video dataset per folder, and one for the text embeddings, as `--data_backend_config` wants them.

    Source: bghira/SimpleTuner, documentation/DATALOADER.md, and documentation/quickstart/WAN.md for an example. It
    takes the first frames of a file one by one, at any rate.
    """

    folder = "simpletuner"
    entries = ("simpletuner/{split}.json",)
    title = "SimpleTuner"
    language = "sh"
    load = 'simpletuner train  # config/config.json says: "data_backend_config": "simpletuner/train.json"'

    def _takes(self, row: Row, place: Place) -> bool:
        return row["cut_frames"] >= (place.bucket.bucket_frames or 0)

    def _config(self, folders: Folders) -> str:
        texts = {
            "id": "text-embeds",
            "type": "local",
            "dataset_type": "text_embeds",
            "default": True,
            "cache_dir": f"{self.folder}/cache/text",
        }
        return json.dumps([*(self._dataset(*folder) for folder in folders), texts], indent=2) + "\n"

    def _dataset(self, path: str, place: Place) -> dict[str, Any]:
        width, height = size_of(place.bucket)
        frames = frames_of(place.bucket)
        if place.bucket.bucket_width:
            edge = min(width, height)
            size = {
                "resolution_type": "pixel",
                "crop": True,
                "crop_style": "center",
                "crop_aspect": "closest",
                "crop_aspect_buckets": [round(width / height, 2)],
            }
        else:
            edge = math.isqrt(width * height)
            size = {"resolution_type": "pixel_area", "crop": False}
        return {
            "id": path.replace("/", "-"),
            "type": "local",
            "dataset_type": "video",
            "instance_data_dir": path,
            "cache_dir_vae": path.replace("/", "/cache/vae/", 1),
            "caption_strategy": "textfile",
            "metadata_backend": "discovery",
            "resolution": edge,
            "maximum_image_size": edge,
            "target_downsample_size": edge,
            **size,
            "video": {"num_frames": frames, "min_frames": frames},
        }


class AiToolkit(Pairs):
    """One dataset per folder, in a YAML file whose list is copied into the config of a job.

    Source: ostris/ai-toolkit, config/examples/train_lora_wan22_14b_24gb.yaml, and toolkit/config_modules.py
    (`DatasetConfig`). With `fps` it takes every so many frames, rounded; without it spreads the frames over the whole
    file.
    """

    folder = "ai-toolkit"
    entries = ("ai-toolkit/{split}.yaml",)
    title = "ai-toolkit"
    language = "sh"
    load = "python /path/to/ai-toolkit/run.py my.yaml  # with the datasets of ai-toolkit/train.yaml"

    def _config(self, folders: Folders) -> str:
        datasets = [self._dataset(*folder) for folder in folders]
        return f"{HERE}\n" + yaml.safe_dump({"datasets": datasets}, sort_keys=False)

    def _dataset(self, path: str, place: Place) -> dict[str, Any]:
        width, height = size_of(place.bucket)
        dataset = {
            "folder_path": path,
            "caption_ext": "txt",
            "resolution": [math.isqrt(width * height - 1) + 1],
            "bucket_tolerance": next((step for step in (64, 32) if width % step == height % step == 0), 16),
            "num_frames": frames_of(place.bucket),
        }
        if rate := self.layout.buckets.fps:
            dataset |= {"shrink_video_to_frames": False, "fps": rate}
        return dataset


HERE = "# Paths count from the dataset folder: start the trainer there."


def _toml(head: list[str], sections: Iterable[list[str]]) -> str:
    lines = [*head, *(line for section in sections for line in ("", *section))]
    return "\n".join(lines) + "\n"


def _source_fps(fps: float) -> float:
    """The rate of a file for `source_fps`. Uneven rates, of videos without a constant one, are rounded down to tenths.

    So that many such videos share a folder. Rounded up, the trainer would find fewer frames than a clip has.
    """
    rate = exact_rate(fps)
    return round(float(rate), 5) if rate.denominator in (1, 2, 1001) else math.floor(fps * 10) / 10
