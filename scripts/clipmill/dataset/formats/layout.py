"""The common parts of the dataset's formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

from clipmill.base.files import open_text
from clipmill.dataset.formats.assign import NO_BUCKET, Bucket, Buckets
from clipmill.dataset.formats.masks import Masks
from clipmill.shapes.sizes import Size
from clipmill.store.table import Row
from clipmill.store.tables import REVIEWED
from clipmill.texts.heard import with_heard

# What every dataset has beside its clips: their table, and the card.
METADATA, CARD = "metadata.parquet", "README.md"

# Columns of the metadata that formats write beside the text: every clip of the dataset has them.
FACTS = (
    *("clip_id", "video_id", "name", "start", "end", "fps"),
    *("cut_seconds", "cut_frames", "cut_fps", "cut_width", "cut_height", "cut_sound"),
)
# The shape if the config has no buckets: near to those of the trainers' own examples; 33 is 4n+1 and 8n+1 at once.
USUAL_SIZE, USUAL_FRAMES = (960, 544), 33
USUAL_STEP = 32  # what the sides of a size of that area are multiples of: all models take such sizes
CAPTIONS = {"text": "text", "caption": "caption", "short": "caption_short"}  # name in the config -> column


@dataclass(frozen=True)
class Layout:
    """One export: where it goes and what the config's `export` says. `stack` closes what the formats have open."""

    dataset: Path
    state: Path  # a folder outside the dataset for notes that make a second export cheaper
    splits: tuple[str, ...]
    captions: tuple[str, ...]
    buckets: Buckets
    tar_bytes: int
    stack: ExitStack
    text_prefix: str = ""
    text_suffix: str = ""
    masks: Masks | None = None  # if the config wants masks

    def by_split(self, template: str) -> list[tuple[str, str]]:
        """Each split with the path that `template` gives it."""
        return [(split, template.format(split=split)) for split in self.splits]

    def text_file(self, below: str) -> TextIO:
        """A text file below the dataset. It replaces the older file when all files are complete."""
        return open_text(self.stack, self.dataset / below)

    def text_files(self, template: str) -> dict[str, TextIO]:
        """One such file per split, at the path that `template` gives."""
        return {split: self.text_file(path) for split, path in self.by_split(template)}

    def whole_text(self, text: str, row: Row) -> str:
        """A text on the picture of a clip as a trainer gets it: what is heard comes last, prefix and suffix are around.

        The column `text` of METADATA is so already.
        """
        return self.text_prefix + with_heard(text, row) + self.text_suffix

    def texts(self, row: Row) -> list[str]:
        """The clip's captions in the order of the config, without those it lacks; `text` if it has none of them.

        What a person wrote stands alone: the other captions may have the faults that it corrects.
        """
        if row["text_source"] == REVIEWED:
            return [row["text"]]
        whole = {name: row[column] for name, column in CAPTIONS.items()}
        others = {name: text for name, text in whole.items() if name != "text" and text is not None}
        whole |= {name: self.whole_text(text, row) for name, text in others.items()}
        return [whole[name] for name in self.captions if whole[name] is not None] or [row["text"]]

    def mask(self, row: Row) -> bytes | None:
        """The mask of a clip as a PNG; None if nothing of it is hidden."""
        return self.masks.png(row) if self.masks else None

    def facts(self, row: Row) -> Row:
        """FACTS, and if the config asks for several captions, the clip's `captions`: a list of one or more."""
        facts = {name: row[name] for name in FACTS}
        return facts | ({"captions": self.texts(row)} if len(self.captions) > 1 else {})


class Format:
    """One layout of the dataset, fed with the rows of METADATA in their order.

    `entries`: the files below the dataset folder that a reader begins with; `{split}` stands for a split. `load`: code
    or a command that reads the format, for the card; it is run in the dataset folder.
    """

    entries: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    language: ClassVar[str]
    load: str

    def __init__(self, layout: Layout):
        self.layout = layout

    def clip(self, row: Row) -> None:
        """Take one clip, whose file lies at its `file_path` already."""

    def finish(self) -> None:
        """Write the parts that come after the last clip. Only then do open files replace older ones."""

    def clean(self) -> None:
        """Remove files that are no longer part of the dataset, after all files are in place."""

    @classmethod
    def files(cls, dataset: Path, split: str) -> Iterable[Path]:
        """The files of a split that the `entries` refer to, except the clips of the metadata."""
        return ()

    @classmethod
    def remove(cls, dataset: Path, split: str) -> None:
        """Remove the files of a split that is no longer wanted, except `entries`."""


class JsonLists:
    """One JSON list per split, one line per clip, written as the clips come."""

    def __init__(self, layout: Layout, template: str):
        self._files = layout.text_files(template)
        self._begun: set[str] = set()

    def add(self, split: str, entry: Row) -> None:
        self._files[split].write(",\n" if split in self._begun else "[\n")
        self._files[split].write("  " + json.dumps(entry, ensure_ascii=False))
        self._begun.add(split)

    def finish(self) -> None:
        for split, file in self._files.items():
            file.write("\n]\n" if split in self._begun else "[]\n")


def size_of(bucket: Bucket) -> Size:
    """The size that a trainer is given for the clips of a bucket: the bucket's, or one with the area of USUAL_SIZE."""
    if bucket.bucket_width and bucket.bucket_height:
        return bucket.bucket_width, bucket.bucket_height
    width, height = USUAL_SIZE
    if ratio := bucket.bucket_aspect_ratio:
        area = width * height
        width, height = (round((area * part) ** 0.5 / USUAL_STEP) * USUAL_STEP for part in (ratio, 1 / ratio))
    return width, height


def frames_of(bucket: Bucket) -> int:
    """The number of frames that a trainer is given for the clips of a bucket."""
    return bucket.bucket_frames or USUAL_FRAMES


class Shapes:
    """The shapes of the training clips as [frames, height, width], for trainers that get them in a list."""

    def __init__(self, layout: Layout):
        self._without_buckets = layout.buckets == Buckets()
        self._found: set[tuple[int, int, int]] = set()

    def add(self, row: Row) -> None:
        bucket = bucket_of(row)
        if row["split"] == "train" and (bucket != NO_BUCKET or self._without_buckets):
            width, height = size_of(bucket)
            if bucket.bucket_aspect_ratio is None and row["cut_width"] < row["cut_height"]:
                width, height = height, width
            self._found.add((frames_of(bucket), height, width))

    def all(self) -> list[tuple[int, int, int]]:
        """Those of the clips; the usual one if there are none."""
        return sorted(self._found) or [(USUAL_FRAMES, *USUAL_SIZE[::-1])]


def bucket_of(row: Mapping[str, Any]) -> Bucket:
    """The bucket in a row of METADATA."""
    return Bucket(**{name: row[name] for name in Bucket.__dataclass_fields__})


def in_a_line(text: str) -> str:
    """`text` in one line, for a file with one text per line."""
    return " ".join(text.split())
