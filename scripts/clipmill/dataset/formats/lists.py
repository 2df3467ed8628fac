"""Formats that are lists of clips: they name the files in `clips/` and hold the texts themselves."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any, ClassVar

from clipmill.base.files import write_json
from clipmill.dataset.formats.layout import USUAL_FRAMES, Format, Layout, bucket_of, in_a_line
from clipmill.store.table import Row


class EasyAnimate(Format):
    """A list of `file_path`, `text`, `type`.

    Source: aigc-apps/EasyAnimate, README.md (data preprocessing) and easyanimate/video_caption/README.md.
    """

    entries = ("{split}.json",)
    title = "EasyAnimate"
    language = "sh"
    load = "accelerate launch scripts/train.py --train_data_dir=. --train_data_meta=train.json …"

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._files = layout.text_files(self.entries[0])
        self._begun: set[str] = set()

    def clip(self, row: Row) -> None:
        split = row["split"]
        entry = {"file_path": row["file_path"], "text": self.layout.texts(row)[0], "type": "video"}
        self._files[split].write(",\n" if split in self._begun else "[\n")
        self._files[split].write("  " + json.dumps(entry, ensure_ascii=False))
        self._begun.add(split)

    def finish(self) -> None:
        for split, file in self._files.items():
            file.write("\n]\n" if split in self._begun else "[]\n")


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
        "accelerate launch train_cogvideox_lora.py --instance_data_root diffusers/train \\\n"
        "    --caption_column prompts.txt --video_column videos.txt …"
    )


class Finetrainers(PromptLists):
    """The two files, and the dataset's configuration with its buckets as [frames, height, width].

    Source: a-r-r-o-w/finetrainers, docs/dataset/README.md, and examples/training/sft.
    """

    folder = "finetrainers"
    entries = ("finetrainers/training.json", "finetrainers/{split}/prompts.txt", "finetrainers/{split}/videos.txt")
    title = "Finetrainers"
    language = "sh"
    load = "accelerate launch train.py --dataset_config finetrainers/training.json …"

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._shapes: set[tuple[int, int, int]] = set()

    def clip(self, row: Row) -> None:
        super().clip(row)
        bucket = bucket_of(row)
        if bucket.bucket_width and bucket.bucket_height and row["split"] == "train":
            self._shapes.add((bucket.bucket_frames or USUAL_FRAMES, bucket.bucket_height, bucket.bucket_width))

    def finish(self) -> None:
        dataset: dict[str, Any] = {"data_root": "finetrainers/train", "dataset_type": "video"}
        if self._shapes:
            dataset |= {"video_resolution_buckets": sorted(self._shapes), "reshape_mode": "bicubic"}
        write_json(self.layout.dataset / "finetrainers" / "training.json", {"datasets": [dataset]})


def _write_line(file: Any, row: Row) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _above(path: str, levels: int) -> str:
    """A path below the dataset, as seen from a folder `levels` levels further down."""
    return str(PurePosixPath(*[".."] * levels, path))
