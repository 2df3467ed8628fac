"""A clip file that somebody has changed or removed is noticed, and made again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from clipmill.dataset.damage import damaged_clips
from clipmill.store import tables
from clipmill.store.clip_files import is_intact, state_of
from clipmill.store.layout import Paths

SHARDS = ("000000", "000001")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a clip of some bytes")
    return path


def overwrite(path: Path) -> None:
    """In place, with as many bytes, so that all hard links show it."""
    with open(path, "r+b") as handle:
        handle.write(b"damage")
    os.utime(path, ns=(1, 1))


def test_what_is_seen_of_a_file(file: Path):
    row = state_of(file)
    assert is_intact(file, row)
    for damage in (overwrite, lambda path: path.write_bytes(b"short"), Path.unlink, Path.mkdir):
        damage(file)
        assert not is_intact(file, row), damage


def test_a_copy_is_read_once_and_gets_the_time_of_the_first_file(file: Path):
    row = state_of(file)
    os.utime(file, ns=(5, 5))
    assert is_intact(file, row)
    assert file.stat().st_mtime_ns == row["cut_time"]


def test_rows_of_older_versions_have_the_size_alone(file: Path):
    row = {"cut_bytes": file.stat().st_size, "cut_time": None, "cut_digest": None}
    overwrite(file)
    assert is_intact(file, row)
    assert not is_intact(file, {**row, "cut_bytes": 1})


@pytest.fixture
def outdir(tmp_path: Path) -> Path:
    """Two shards with two clips each, one of which has been exported."""
    outdir, exported = tmp_path / "out", []
    for number, shard in enumerate(SHARDS):
        rows = []
        for name in ("kept", "new"):
            clip_id = f"v{number}_{name}"
            source = Paths(outdir).clip_files / shard / f"v{number}" / f"{clip_id}.mp4"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(clip_id.encode())
            rows.append(
                {"clip_id": clip_id, **state_of(source), "file": str(source.relative_to(Paths(outdir).clip_files))}
            )
            if name == "kept":
                link = clip_of(outdir, number)
                link.parent.mkdir(parents=True)
                link.hardlink_to(source)
                exported.append({"clip_id": clip_id})
        failed = {"clip_id": f"v{number}_failed", "error_kind": "bad_cut", "error": "?"}
        tables.CUTS.write(tables.CUTS.of(outdir, shard), [*rows, failed])
    tables.METADATA.write(Paths(outdir).metadata, exported)
    return outdir


def clip_of(outdir: Path, number: int) -> Path:
    return Paths(outdir).dataset / "clips" / f"v{number}" / f"v{number}_kept.mp4"


def test_a_whole_dataset_has_no_damage(outdir: Path):
    assert damaged_clips(outdir, SHARDS) == {}
    assert damaged_clips(outdir, ("000002",)) == {}
    shutil.rmtree(Paths(outdir).clip_files / "000000" / "v0")
    assert damaged_clips(outdir, SHARDS) == {"000000": 1}, "the clip that is in no dataset yet; the other one is there"


@pytest.mark.parametrize("damage", [overwrite, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_clips_are_counted_by_shard(outdir: Path, damage):
    damage(clip_of(outdir, 1))
    assert damaged_clips(outdir, SHARDS) == {"000001": 1}


def test_before_the_first_export_the_cut_files_count(outdir: Path):
    shutil.rmtree(Paths(outdir).dataset)
    assert damaged_clips(outdir, SHARDS) == {}
    overwrite(Paths(outdir).clip_files / "000000" / "v0" / "v0_new.mp4")
    assert damaged_clips(outdir, SHARDS) == {"000000": 1}
