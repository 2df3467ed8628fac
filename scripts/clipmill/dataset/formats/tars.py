"""The webdataset format: tar files of a given size, with three members per clip: video, metadata and text."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipmill.base.files import TEMPORARY, atomic, write_json
from clipmill.dataset.formats.layout import Format, Layout
from clipmill.dataset.formats.tree import size_and_time
from clipmill.store.table import Row


class WebDataset(Format):
    """`train-000000.tar` and so on, with `<key>.mp4`, `<key>.json`, `<key>.txt`; `train.json` lists them.

    Source: webdataset/webdataset, README.md, and docs/wids.md for the list. The list exists exactly when all tar files
    are complete. A key is the clip's id with `%2E` for a dot, since a dot would end the key.
    A tar file whose content has not changed is left alone: notes outside the dataset say what each was made of.
    """

    entries = ("webdataset/{split}.json",)
    title = "WebDataset"
    language = "python"
    load = (
        "import webdataset\n\n"
        'shards = "webdataset/train-{000000..000000}.tar"  # how many there are stands in webdataset/train.json\n'
        'clips = webdataset.WebDataset(shards, shardshuffle=False).decode().to_tuple("mp4", "txt", "json")'
    )

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._folder = layout.dataset / "webdataset"
        self._notes = _Notes(layout.state / "webdataset.json")
        for _, path in layout.by_split(self.entries[0]):
            (layout.dataset / path).unlink(missing_ok=True)
        self._tars = {split: _Tars(self._folder, split, layout.tar_bytes, self._notes) for split in layout.splits}

    def clip(self, row: Row) -> None:
        key = row["clip_id"].replace(".", "%2E")
        text = self.layout.texts(row)[0]
        about = json.dumps({"text": text, **self.layout.facts(row)}, ensure_ascii=False)
        video = self.layout.dataset / row["file_path"]
        self._tars[row["split"]].add(_Member(key, video, row["cut_bytes"], about.encode(), text.encode()))

    def finish(self) -> None:
        for split, path in self.layout.by_split(self.entries[0]):
            shards = self._tars[split].finish()
            about = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split}
            write_json(self.layout.dataset / path, {**about, "shardlist": shards})
        last = max(len(self._tars["train"].shards) - 1, 0)
        self.load = type(self).load.replace("..000000", f"..{last:06d}")
        self._notes.write()

    def clean(self) -> None:
        whole = {shard["url"] for tars in self._tars.values() for shard in tars.shards}
        for split in self._tars:
            self.remove(self.layout.dataset, split, whole)

    @classmethod
    def files(cls, dataset: Path, split: str) -> Iterable[Path]:
        return sorted((dataset / "webdataset").glob(f"{split}-*.tar"))

    @classmethod
    def remove(cls, dataset: Path, split: str, whole: Collection[str] = ()) -> None:
        """Remove the tar files of a split except the `whole` ones, and files that a killed export left."""
        for pattern in (f"{split}-*.tar", f".{split}-*.tar{TEMPORARY}"):
            for file in (dataset / "webdataset").glob(pattern):
                if file.name not in whole:
                    file.unlink()


@dataclass(frozen=True)
class _Member:
    key: str
    video: Path
    size: int
    about: bytes
    text: bytes

    @property
    def room(self) -> int:
        """Bytes of a clip in a tar file: each of its members has a header, and both come in blocks of 512 bytes."""
        return sum(512 + -(-size // 512) * 512 for size in (self.size, len(self.about), len(self.text)))


class _Notes:
    """Notes on what each tar file was made of, by its name. They are kept from one export to the next."""

    def __init__(self, path: Path):
        self._path = path
        self._before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._now: dict[str, Any] = {}

    def holds(self, tar: Path, made_of: str) -> bool:
        return self._before.get(tar.name) == [made_of, *(size_and_time(tar) or ())]

    def add(self, tar: Path, made_of: str) -> None:
        written = size_and_time(tar)
        assert written is not None
        self._now[tar.name] = [made_of, *written]

    def write(self) -> None:
        write_json(self._path, self._now)


class _Tars:
    """The tar files of one split. Holds the texts of one of them in memory, and no video."""

    def __init__(self, folder: Path, split: str, most: int, notes: _Notes):
        self._folder, self._split, self._most, self._notes = folder, split, most, notes
        self._members: list[_Member] = []
        self._room = 0
        self.shards: list[dict[str, Any]] = []

    def add(self, member: _Member) -> None:
        if self._members and self._room + member.room > self._most:
            self._write()
        self._members.append(member)
        self._room += member.room

    def finish(self) -> list[dict[str, Any]]:
        if self._members:
            self._write()
        return self.shards

    def _write(self) -> None:
        tar = self._folder / f"{self._split}-{len(self.shards):06d}.tar"
        made_of = self._made_of()
        if not self._notes.holds(tar, made_of):
            with atomic(tar) as temporary, tarfile.open(temporary, "w") as archive:
                for member in self._members:
                    with open(member.video, "rb") as video:
                        archive.addfile(_tar_info(f"{member.key}.mp4", member.size), video)
                    for ending, content in ((".json", member.about), (".txt", member.text)):
                        archive.addfile(_tar_info(member.key + ending, len(content)), io.BytesIO(content))
        self._notes.add(tar, made_of)
        self.shards.append({"url": tar.name, "nsamples": len(self._members), "filesize": tar.stat().st_size})
        self._members, self._room = [], 0

    def _made_of(self) -> str:
        digest = hashlib.sha256()
        for member in self._members:
            parts = (member.key, size_and_time(member.video), member.about, member.text)
            digest.update(repr(parts).encode())
        return digest.hexdigest()


def _tar_info(name: str, size: int) -> tarfile.TarInfo:
    """A member without owner and time, so that the same clips make the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member
