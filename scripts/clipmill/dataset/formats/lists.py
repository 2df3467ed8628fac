"""Formats that are lists of clips: they name the files in `clips/` and hold the texts themselves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import PurePosixPath
from typing import Any, ClassVar

from clipmill.base.files import write_json
from clipmill.dataset.formats.folders import Linked
from clipmill.dataset.formats.layout import USUAL_FRAMES, USUAL_SIZE, Format, JsonLists, Layout, Shapes, in_a_line
from clipmill.dataset.formats.sound import write_wav
from clipmill.store.table import Row


class VideoList(Format):
    """A JSON list per split with an entry for each clip."""

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._lists = JsonLists(layout, self.entries[0])

    def clip(self, row: Row) -> None:
        self._lists.add(row["split"], self._entry(row))

    def finish(self) -> None:
        self._lists.finish()

    def _entry(self, row: Row) -> Row:
        raise NotImplementedError


class EasyAnimate(VideoList):
    """A list of `file_path`, `text`, `type`, and `width` and `height`, by which its sampler sorts clips into buckets.

    Source: aigc-apps/EasyAnimate, README.md (data preprocessing), easyanimate/video_caption/README.md and
    easyanimate/data/bucket_sampler.py.
    """

    entries = ("{split}.json",)
    title = "EasyAnimate"
    language = "sh"
    load = (
        "accelerate launch /path/to/EasyAnimate/scripts/train.py \\\n"
        "    --train_data_dir=. --train_data_meta=train.json --video_repeat=1 …"
    )

    def _entry(self, row: Row) -> Row:
        return {
            "file_path": row["file_path"],
            "text": self.layout.texts(row)[0],
            "type": "video",
            "width": row["cut_width"],
            "height": row["cut_height"],
        }


class VideoXFun(Linked, EasyAnimate):
    """EasyAnimate's list, with `audio_path` for a clip with sound: a wav file that is as long as the video.

    Source: aigc-apps/VideoX-Fun, scripts/wan2.2/README_TRAIN_LORA.md and, for the sound, scripts/ltx2.3/README_TRAIN.md
    and videox_fun/data/dataset_video.py, which refuses a wav file that is shorter than the frames it takes.
    """

    entries = ("videox-fun/{split}.json",)
    folder = "videox-fun"
    endings = (".wav",)
    title = "VideoX-Fun"
    load = (
        "accelerate launch /path/to/VideoX-Fun/scripts/wan2.2/train_lora.py \\\n"
        "    --train_data_dir=. --train_data_meta=videox-fun/train.json --video_repeat=1 …"
    )

    def _entry(self, row: Row) -> Row:
        entry = super()._entry(row)
        if row["cut_sound"]:
            tree, below = self.trees[row["split"]], f"{row['video_id']}/{row['clip_id']}.wav"
            wav = tree.want(below)
            if write_wav(self.layout.dataset / row["file_path"], wav, row["cut_frames"] / row["cut_fps"]):
                entry["audio_path"] = str(wav.relative_to(self.layout.dataset))
        return entry


class LtxTrainer(VideoList):
    """A list of `video` and `caption`, beside the clips: the trainer reads the sound out of the videos itself.

    Source: Lightricks/LTX-2, packages/ltx-trainer: docs/dataset-preparation.md, scripts/process_videos.py. Paths count
    from the folder of the list, and must not lead out of it: files of latents and of texts are named after them.
    """

    entries = ("ltx-trainer-{split}.json",)
    title = "LTX-2 trainer"
    language = "sh"
    load = (
        "python /path/to/LTX-2/packages/ltx-trainer/scripts/process_dataset.py ltx-trainer-train.json \\\n"
        f'    --resolution-buckets "{USUAL_SIZE[0]}x{USUAL_SIZE[1]}x{USUAL_FRAMES}" …'
    )

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._shapes = Shapes(layout)

    def _entry(self, row: Row) -> Row:
        self._shapes.add(row)
        return {"caption": self.layout.texts(row)[0], "video": row["file_path"]}

    def finish(self) -> None:
        super().finish()
        shapes = ";".join(f"{width}x{height}x{frames}" for frames, height, width in self._shapes.all())
        self.load = re.sub('"[^"]*"', f'"{shapes}"', type(self).load)


class DiffSynth(Format):
    """A table of `video`, `prompt` and `input_audio`.

    Source: modelscope/DiffSynth-Studio, docs/en/Pipeline_Usage/Model_Training.md, and examples/ltx2/model_training for
    the sound, which is read out of the video: a video without sound then counts as one without, an empty cell fails.
    """

    entries = ("diffsynth/{split}.csv",)
    title = "DiffSynth-Studio"
    language = "sh"
    load = (
        "accelerate launch /path/to/DiffSynth-Studio/examples/wanvideo/model_training/train.py \\\n"
        "    --dataset_base_path . --dataset_metadata_path diffsynth/train.csv …"
    )

    COLUMNS = ("video", "prompt", "input_audio")

    def __init__(self, layout: Layout):
        super().__init__(layout)
        files = layout.text_files(self.entries[0])
        self._tables = {split: csv.writer(file, lineterminator="\n") for split, file in files.items()}
        for table in self._tables.values():
            table.writerow(self.COLUMNS)

    def clip(self, row: Row) -> None:
        video = row["file_path"]
        self._tables[row["split"]].writerow((video, self.layout.texts(row)[0], video))


class JsonLines(Format):
    """All columns of the metadata, one JSON object per line; `split` is one of them."""

    entries = ("metadata.jsonl",)
    title = "JSON lines"
    language = "python"
    load = 'import pandas\n\nclips = pandas.read_json("metadata.jsonl", lines=True, dtype=False)'

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._file = layout.text_file("metadata.jsonl")

    def clip(self, row: Row) -> None:
        _write_line(self._file, row)


class DataJuicer(Format):
    """Data-Juicer's own format, with its tokens for a video and for the end of a text.

    Source: modelscope/data-juicer, tools/fmt_conversion/README.md and its multimodal/README.md. Relative paths count
    from the folder of the list.
    """

    entries = ("data-juicer/{split}.jsonl",)
    title = "Data-Juicer"
    language = "sh"
    load = "dj-process --config my.yaml --dataset_path data-juicer/train.jsonl"

    VIDEO, END = "<__dj__video>", "<|__dj__eoc|>"

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._files = layout.text_files(self.entries[0])

    def clip(self, row: Row) -> None:
        text = self._plain(self.layout.texts(row)[0])
        line = {
            "text": f"{self.VIDEO} {text} {self.END}",
            "videos": [_above(row["file_path"], 1)],
            "meta": self.layout.facts(row),
        }
        _write_line(self._files[row["split"]], line)

    def _plain(self, text: str) -> str:
        """`text` without what Data-Juicer would take for a second video, a picture, a sound or the end."""
        return text.replace("__dj__", " dj ")


class PromptLists(Format):
    """Two files per split: one has one prompt per line, the other has the path of the prompt's video in that line."""

    folder: ClassVar[str]

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._prompts, self._videos = (
            layout.text_files(f"{self.folder}/{{split}}/{name}.txt") for name in ("prompts", "videos")
        )

    def clip(self, row: Row) -> None:
        self._prompts[row["split"]].write(in_a_line(self.layout.texts(row)[0]) + "\n")
        self._videos[row["split"]].write(_above(row["file_path"], 2) + "\n")


class Diffusers(PromptLists):
    """The format of the training examples of huggingface/diffusers (examples/cogvideo/README.md, first data format)."""

    folder = "diffusers"
    entries = ("diffusers/{split}/prompts.txt", "diffusers/{split}/videos.txt")
    title = "Diffusers"
    language = "sh"
    load = (
        "accelerate launch /path/to/diffusers/examples/cogvideo/train_cogvideox_lora.py \\\n"
        "    --instance_data_root diffusers/train --caption_column prompts.txt --video_column videos.txt …"
    )


class Finetrainers(PromptLists):
    """The two files, and the dataset's configuration with its buckets as [frames, height, width].

    Source: a-r-r-o-w/finetrainers, docs/dataset/README.md, examples/training/sft, and finetrainers/functional/video.py
    for `reshape_mode`: only `resize_crop` keeps the shape of what is seen. Without buckets it would batch no two clips.
    """

    folder = "finetrainers"
    entries = ("finetrainers/training.json", "finetrainers/{split}/prompts.txt", "finetrainers/{split}/videos.txt")
    title = "Finetrainers"
    language = "sh"
    load = "accelerate launch /path/to/finetrainers/train.py --dataset_config finetrainers/training.json …"

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._shapes = Shapes(layout)

    def clip(self, row: Row) -> None:
        super().clip(row)
        self._shapes.add(row)

    def finish(self) -> None:
        dataset = {
            "data_root": "finetrainers/train",
            "dataset_type": "video",
            "video_resolution_buckets": self._shapes.all(),
            "reshape_mode": "resize_crop",
        }
        write_json(self.layout.dataset / "finetrainers" / "training.json", {"datasets": [dataset]})


def _write_line(file: Any, row: Row) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _above(path: str, levels: int) -> str:
    """A path below the dataset, as seen from a folder `levels` levels further down."""
    return str(PurePosixPath(*[".."] * levels, path))
