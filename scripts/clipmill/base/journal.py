"""The finished items of a job: a file of JSON lines that survives a kill at any moment.

Each line holds an item's identity, a key that stands for everything its value depends on, and the value. A
torn last line (the job died while writing) is ignored and overwritten. The file is locked while a job holds it,
so that two jobs never work on one shard.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from clipmill.base.errors import SetupError
from clipmill.base.files import naming_full_disk
from clipmill.base.locks import try_lock


def fingerprint(*parts: Any) -> str:
    """A short stable hash of JSON-like values: the key under which a journal keeps a value."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """The finished items of one step and shard. Use as a context manager; `get`, then `add`."""

    def __init__(self, path: Path):
        self.path = path
        self._values: dict[tuple[str, str], Any] = {}
        self._handle: BinaryIO  # open inside the context

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.path, "a+b")
        if not try_lock(self._handle):
            self._handle.close()
            raise SetupError(
                f"{self.path}: another job is working on this shard; wait for it or cancel it, then run again"
            )
        self._load()
        return self

    def __exit__(self, *_: object) -> None:
        with naming_full_disk(self.path):  # closing tries once more to write the lines that could not be written
            self._handle.close()

    def _load(self) -> None:
        whole = 0
        self._handle.seek(0)
        for line in self._handle:
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line)
                self._values[record["item"], record["key"]] = record["value"]
            except (ValueError, KeyError, TypeError):
                break  # after a node was lost a line may be padding; the lines after it are not trusted
            whole += len(line)
        self._handle.truncate(whole)
        self._handle.seek(0, os.SEEK_END)

    def get(self, item: str, key: str) -> Any | None:
        """The value of `item` under `key`, or None where it is not finished yet."""
        return self._values.get((item, key))

    def values(self) -> Iterator[tuple[str, Any]]:
        """The items with their values; an item that is finished under several keys comes several times."""
        return ((item, value) for (item, _), value in self._values.items())

    def add(self, records: Iterable[tuple[str, str, Any]]) -> None:
        """Append (item, key, value) records and sync them to disk before returning."""
        records = list(records)
        if not records:
            return
        lines = [
            json.dumps({"item": item, "key": key, "value": value}, separators=(",", ":")) + "\n"
            for item, key, value in records
        ]
        with naming_full_disk(self.path):
            self._handle.write("".join(lines).encode())
            self._handle.flush()
            os.fsync(self._handle.fileno())
        self._values.update(((item, key), value) for item, key, value in records)
