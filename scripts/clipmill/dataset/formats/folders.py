"""Formats that are folders of videos: each has hard links of its own to the clip files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from clipmill.dataset.formats.layout import Format, JsonLists, Layout
from clipmill.dataset.formats.tree import Tree
from clipmill.store.table import Row


class Linked(Format):
    """Formats with one folder of files per split, as links to clips. Only files with the `endings` belong to them."""

    folder: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.trees = {split: self._tree(layout.dataset, split) for split in layout.splits}

    def clean(self) -> None:
        for tree in self.trees.values():
            tree.remove_others()

    @classmethod
    def files(cls, dataset: Path, split: str) -> Iterable[Path]:
        return cls._tree(dataset, split).files()

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


class FastVideo(Linked):
    """One folder per split with `videos/` and `videos2caption.json`, the trainer's "merged" kind of dataset.

    Source: hao-ai-lab/FastVideo, docs/training/data_preprocess.md, and scripts/dataset_preparation/prepare_json_file.py
    for the facts of a video, which fastvideo/workflow/preprocess/components.py needs.
    """

    entries = ("fastvideo/{split}/videos2caption.json",)
    folder = "fastvideo"
    endings = (".mp4",)
    title = "FastVideo"
    language = "sh"
    load = (
        "torchrun --nproc_per_node=1 -m fastvideo.pipelines.preprocess.v1_preprocessing_new --mode preprocess \\\n"
        "    --preprocess.dataset_type merged --preprocess.dataset_path fastvideo/train …"
    )

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._lists = JsonLists(layout, self.entries[0])

    def clip(self, row: Row) -> None:
        name = f"{row['video_id']}/{row['clip_id']}.mp4"
        self.trees[row["split"]].link(self.layout.dataset / row["file_path"], f"videos/{name}")
        facts = {
            "path": name,
            "resolution": {"width": row["cut_width"], "height": row["cut_height"]},
            "size": row["cut_bytes"],
            "fps": row["cut_fps"],
            "duration": row["cut_seconds"],
            "num_frames": row["cut_frames"],
            "cap": self.layout.texts(row),
        }
        self._lists.add(row["split"], facts)

    def finish(self) -> None:
        self._lists.finish()
