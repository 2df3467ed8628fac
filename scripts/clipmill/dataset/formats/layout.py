"""What the formats of the dataset have in common."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

from clipmill.base.files import open_text
from clipmill.dataset.formats.assign import Bucket, Buckets

# Columns of the metadata that formats tell beside the text: every clip of the dataset has them.
FACTS = ("clip_id", "video_id", "name", "start", "end", "cut_seconds", "cut_frames", "cut_width", "cut_height", "fps")
# Where the config has no buckets: a shape that the trainers' own examples come near; 33 is 4n+1 and 8n+1 at once.
USUAL_SIZE, USUAL_FRAMES = (960, 544), 33
CAPTIONS = {"text": "text", "caption": "caption", "short": "caption_short"}  # name in the config -> column


@dataclass(frozen=True)
class Layout:
    """One export: where it goes and what the config's `export` says. `stack` closes what the formats have open."""

    dataset: Path
    state: Path  # a folder outside the dataset for what makes a second export cheaper
    splits: tuple[str, ...]
    captions: tuple[str, ...]
    buckets: Buckets
    tar_bytes: int
    stack: ExitStack

    def by_split(self, template: str) -> list[tuple[str, str]]:
        """Each split with the path that `template` gives it."""
        return [(split, template.format(split=split)) for split in self.splits]

    def text_file(self, below: str) -> TextIO:
        """A file below the dataset that stands in place of its older self when all files are whole."""
        return open_text(self.stack, self.dataset / below)

    def text_files(self, template: str) -> dict[str, TextIO]:
        """Such a file for each split, where `template` puts it."""
        return {split: self.text_file(path) for split, path in self.by_split(template)}

    def texts(self, row: dict[str, Any]) -> list[str]:
        """The clip's captions in the order of the config, without those it lacks; `text`, where it has no other."""
        found = [row[CAPTIONS[name]] for name in self.captions if row[CAPTIONS[name]] is not None]
        return found or [row["text"]]

    def facts(self, row: dict[str, Any]) -> dict[str, Any]:
        """FACTS, and where several captions are asked for the clip's `captions`, a list of one or more."""
        facts = {name: row[name] for name in FACTS}
        return facts | ({"captions": self.texts(row)} if len(self.captions) > 1 else {})


class Format:
    """One layout of the dataset, fed with the rows of METADATA in their order.

    `entries`: the files below the dataset folder that a reader begins with, `{split}` filled in. `load`: how to read
    it, for a person; commands start in the dataset folder.
    """

    entries: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    language: ClassVar[str]
    load: ClassVar[str]

    def __init__(self, layout: Layout):
        self.layout = layout

    def clip(self, row: dict[str, Any]) -> None:
        """Take one clip, whose file lies at its `file_path` already."""

    def finish(self) -> None:
        """Write what comes after the last clip, before the files that are open stand in place of older ones."""

    def clean(self) -> None:
        """Remove what is no longer part of the dataset, after all files stand in place."""

    @classmethod
    def remove(cls, dataset: Path, split: str) -> None:
        """Remove the files of a split that is no longer asked for, but for `entries`."""


def bucket_of(row: dict[str, Any]) -> Bucket:
    """The bucket that a row of METADATA tells."""
    return Bucket(**{name: row[name] for name in Bucket.__dataclass_fields__})


def in_a_line(text: str) -> str:
    """`text` for a file that has a text a line."""
    return " ".join(text.split())
