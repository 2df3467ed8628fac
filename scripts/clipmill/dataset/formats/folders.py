"""Formats that are folders of videos: each has hard links of its own to the clip files."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

from clipmill.base.files import temporary, write_text
from clipmill.dataset.formats.assign import NO_BUCKET, Bucket, Buckets
from clipmill.dataset.formats.layout import USUAL_FRAMES, USUAL_SIZE, Format, Layout, bucket_of
from clipmill.dataset.formats.tree import Tree
from clipmill.store.table import Row

FILES_PER_FOLDER = 10_000


class Linked(Format):
    """Formats with one folder of links to the clips per split. Only files with the `endings` belong to the format."""

    folder: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.trees = {split: self._tree(layout.dataset, split) for split in layout.splits}

    def clean(self) -> None:
        for tree in self.trees.values():
            tree.remove_others()

    @classmethod
    def remove(cls, dataset: Path, split: str) -> None:
        cls._tree(dataset, split).remove_others()

    @classmethod
    def _tree(cls, dataset: Path, split: str) -> Tree:
        return Tree(dataset / cls.folder / split, cls.endings)


class VideoFolder(Linked):
    """One folder per split with `metadata.jsonl`, which `datasets` loads.

    Source: huggingface/datasets, docs/source/video_dataset.mdx. `datasets` finds splits by words in file names, and a
    video may be called `test`; so files are named by hashes, and the clip's own name is a column.
    """

    entries = ("hf-videofolder/{split}/metadata.jsonl",)
    folder = "hf-videofolder"
    endings = (".mp4",)
    title = "Hugging Face videofolder"
    language = "python"
    load = (
        "from datasets import Video, load_dataset\n\n"
        'clips = load_dataset("videofolder", data_dir="hf-videofolder", split="train")\n'
        'clips = clips.cast_column("video", Video(decode=False))  # leave this out to have frames; it needs torchcodec'
    )

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._files = layout.text_files(self.entries[0])

    def clip(self, row: Row) -> None:
        name = hashlib.sha256(row["clip_id"].encode()).hexdigest()[:20]
        below = f"{name[:2]}/{name}.mp4"
        self.trees[row["split"]].link(self.layout.dataset / row["file_path"], below)
        line = {"file_name": below, "text": self.layout.texts(row)[0], **self.layout.facts(row)}
        self._files[row["split"]].write(json.dumps(line, ensure_ascii=False) + "\n")


class Pairs(Linked):
    """Folders of videos with a text beside each, one or more per bucket, and one TOML file per split that lists them.

    A text is written before its video, so that a reader never finds a video without one. A folder has at most
    FILES_PER_FOLDER videos. Paths in the TOML files count from where the trainer is started: the dataset folder.
    """

    endings = (".mp4", ".txt", "captions.json")

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._counts: Counter[tuple[str, Bucket]] = Counter()
        self._folders: dict[str, dict[str, Bucket]] = {split: {} for split in layout.splits}

    def clip(self, row: Row) -> None:
        if bucket_of(row) != NO_BUCKET or self.layout.buckets == Buckets():  # a clip that fits no bucket is left out
            self._place(row)

    def _place(self, row: Row) -> str:
        """Put a clip and its text into a folder of its split, and return the folder."""
        split, bucket = row["split"], bucket_of(row)
        part = self._counts[split, bucket] // FILES_PER_FOLDER
        self._counts[split, bucket] += 1
        folder, tree = f"{bucket.name}/{part:04d}", self.trees[split]
        self._folders[split][f"{self.folder}/{split}/{folder}"] = bucket
        tree.write(f"{folder}/{row['clip_id']}.txt", self.layout.texts(row)[0] + "\n")
        tree.link(self.layout.dataset / row["file_path"], f"{folder}/{row['clip_id']}.mp4")
        return folder

    def finish(self) -> None:
        for split, path in self.layout.by_split(self.entries[0]):
            folders = sorted(self._folders[split].items())
            sections = [line for folder, bucket in folders for line in ("", *self._section(folder, bucket))]
            lines = [*self._head(), *sections]
            write_text(self.layout.dataset / path, "\n".join(lines) + "\n")

    def _head(self) -> list[str]:
        raise NotImplementedError

    def _section(self, path: str, bucket: Bucket) -> list[str]:
        raise NotImplementedError


class MusubiTuner(Pairs):
    """One `[[datasets]]` per folder; its videos are trained with their first frames.

    Source: kohya-ss/musubi-tuner, docs/dataset_config.md, video dataset with caption text files.
    """

    folder = "musubi-tuner"
    entries = ("musubi-tuner/{split}.toml",)
    title = "musubi-tuner"
    language = "sh"
    load = "python src/musubi_tuner/wan_cache_latents.py --dataset_config musubi-tuner/train.toml …"

    def _head(self) -> list[str]:
        return [
            "# Paths count from the dataset folder: start the trainer there.",
            "[general]",
            'caption_extension = ".txt"',
            "batch_size = 1",
            "enable_bucket = true",
            "bucket_no_upscale = true",
        ]

    def _section(self, path: str, bucket: Bucket) -> list[str]:
        size = [bucket.bucket_width, bucket.bucket_height] if bucket.bucket_width else list(USUAL_SIZE)
        lines = [
            "[[datasets]]",
            f"video_directory = {json.dumps(path)}",
            f"cache_directory = {json.dumps(path.replace('/', '/cache/', 1))}",
            f"resolution = {size}",
            f"target_frames = [{bucket.bucket_frames or USUAL_FRAMES}]",
            'frame_extraction = "head"',
        ]
        return lines + ["enable_bucket = false"] if bucket.bucket_width else lines


class DiffusionPipe(Pairs):
    """One `[[directory]]` per folder; with several captions per clip a `captions.json` with a list for each video.

    Source: tdrussell/diffusion-pipe, examples/dataset.toml, and utils/dataset.py for `size_buckets` and captions.json.
    """

    folder = "diffusion-pipe"
    entries = ("diffusion-pipe/{split}.toml",)
    title = "diffusion-pipe"
    language = "toml"
    load = 'dataset = "diffusion-pipe/train.toml"'

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._lists: set[Path] = set()

    def _place(self, row: Row) -> str:
        folder = super()._place(row)
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

    def _head(self) -> list[str]:
        lines = ["# Paths count from the dataset folder: start the trainer there."]
        if self.layout.buckets.resolutions is None:
            ratios = self.layout.buckets.aspect_ratios
            lines += ["resolutions = [512]", "enable_ar_bucket = true"]
            lines += (
                [f"ar_buckets = {sorted(ratios)}"] if ratios else ["min_ar = 0.5", "max_ar = 2.0", "num_ar_buckets = 7"]
            )
        return lines

    def _section(self, path: str, bucket: Bucket) -> list[str]:
        frames = bucket.bucket_frames or USUAL_FRAMES
        size = (
            f"size_buckets = [[{bucket.bucket_width}, {bucket.bucket_height}, {frames}]]"
            if bucket.bucket_width
            else f"frame_buckets = [1, {frames}]"
        )
        return ["[[directory]]", f"path = {json.dumps(path)}", "num_repeats = 1", size]
