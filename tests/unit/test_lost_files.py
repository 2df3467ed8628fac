"""What decode left and somebody has removed, damaged or mixed up: the item says so, and the next run decodes again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from films import SETTINGS, entry
from made_shards import Levels, Shard

from clipmill.base.errors import ItemError, SetupError
from clipmill.decode.reading import FrameChoice, KeptFrames, read_miniatures, read_signals
from clipmill.decode.shard import decode_shard
from clipmill.decode.video import MINIATURES
from clipmill.demo import render
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store import tables
from clipmill.store.index import lost_videos, note_lost, noted_again
from clipmill.store.layout import Paths
from default_config import SPLIT_SETTINGS

SHARD = "000000"
AGAIN = "run the same command again, which decodes the video again"


def remove(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def spoil(path: Path) -> None:
    """Only the pages in the middle: the end, which readers look at first, is whole."""
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 3] = b"\xff" * (len(content) // 3 - 4)
    path.write_bytes(content)


def another_table(path: Path) -> None:
    tables.MOTION.write(path, [{"clip_id": "x"}])


@pytest.mark.parametrize("damage", [remove, shorten, spoil, another_table])
def test_lost_signals_are_an_error_of_their_video(tmp_path: Path, damage):
    Shard(tmp_path, [[4], [4]])
    damage(path := Paths(tmp_path).signals(SHARD, "v0"))
    with pytest.raises(ItemError, match=f"^{path}: (missing|damaged); {AGAIN}$") as raised:
        read_signals(tmp_path, SHARD, "v0")
    assert (raised.value.kind, raised.value.lasting) == ("bad_signals", False)
    assert lost_videos(tmp_path, SHARD) == noted_again(tmp_path) == {"v0"}
    assert len(read_signals(tmp_path, SHARD, "v1")) == 4


def test_a_table_of_a_newer_clipmill_is_no_lost_one(tmp_path: Path, monkeypatch):
    Shard(tmp_path, [[4]])
    monkeypatch.setattr("clipmill.store.table.__version__", "0.0.1")
    with pytest.raises(SetupError, match="written by clipmill"):
        read_signals(tmp_path, SHARD, "v0")
    assert lost_videos(tmp_path, SHARD) == set()


@pytest.mark.parametrize("damage", [remove, shorten])
def test_lost_frames_and_signals_cost_their_video_its_score(tmp_path: Path, damage):
    shard = Shard(tmp_path, [[4], [4], [4]])
    damage(Paths(tmp_path).frames(SHARD, "v0"))
    damage(Paths(tmp_path).signals(SHARD, "v1"))
    rows = shard.score(Levels())
    assert [row.get("error_kind") for row in rows] == ["bad_frames", "bad_signals", None]
    assert all(row["error"].endswith(AGAIN) for row in rows[:2])
    assert lost_videos(tmp_path, SHARD) == {"v0", "v1"}


def test_the_report_notes_nothing(tmp_path: Path):
    """It can do without pictures: somebody may have removed them to save space."""
    shard = Shard(tmp_path, [[4]])
    Paths(tmp_path).frames(SHARD, "v0").unlink()
    with KeptFrames(tmp_path, SHARD, notes_lost=False) as kept, pytest.raises(ItemError):
        kept.frames(shard.clips[0], FrameChoice())
    assert lost_videos(tmp_path, SHARD) == set()


def test_a_frame_that_is_no_picture_is_lost_for_captions_too(tmp_path: Path):
    shard = Shard(tmp_path, [[4]])
    path = Paths(tmp_path).frames(SHARD, "v0")
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    with KeptFrames(tmp_path, SHARD) as kept, pytest.raises(ItemError, match="v0.zip"):
        kept.jpegs(shard.clips[0], FrameChoice())
    assert lost_videos(tmp_path, SHARD) == {"v0"}


# --- with real videos -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """An output folder after decoding two videos, and what the index says of them."""
    folder = tmp_path_factory.mktemp("lost")
    videos = []
    for name, speed in (("one", 20), ("two", 5)):
        shot = (render.photograph("coffee.png"), (64, 48), 1.5, 10)
        render.encode(folder / f"{name}.mp4", render.pan(*shot, speed), (64, 48), 10)
        videos.append(entry(folder / f"{name}.mp4", name))
    decode_shard(videos, folder / "out", SHARD, SETTINGS, 1, 1.0, {MINIATURES})
    return folder / "out", videos


@pytest.fixture
def outdir(decoded: tuple[Path, list[dict]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(decoded[0], tmp_path / "out"))


def again(decoded: tuple[Path, list[dict]], outdir: Path) -> tuple[list, list]:
    return decode_shard(decoded[1], outdir, SHARD, SETTINGS, 1, 1.0, {MINIATURES})


def test_what_is_lost_is_decoded_again_and_nothing_else(decoded, outdir: Path):
    """Damage in the middle of a file is not seen by its end: so a note counts more than the look of a file."""
    rows, parts = again(decoded, outdir)
    paths = Paths(outdir)
    files = [kind(SHARD, name) for name in ("one", "two") for kind in (paths.signals, paths.frames, paths.miniatures)]
    before = [path.stat().st_ino for path in files]
    spoil(paths.signals(SHARD, "one"))
    note_lost(outdir, SHARD, "one")
    assert again(decoded, outdir) == (rows, parts)
    new = [path.stat().st_ino != inode for path, inode in zip(files, before, strict=True)]
    assert new == [True] * 3 + [False] * 3
    assert lost_videos(outdir, SHARD) == noted_again(outdir) == set()
    assert len(read_signals(outdir, SHARD, "one", key=rows[0]["decode_key"])) == rows[0]["frames"]


def test_splitting_names_all_videos_whose_signals_are_lost(decoded, outdir: Path):
    rows, parts = again(decoded, outdir)
    rows = tables.VIDEOS.from_rows(rows).to_pylist()
    assert len(split_shard(rows, parts, outdir, SHARD, SplitSettings(**SPLIT_SETTINGS)).clips) > 0
    shutil.rmtree(outdir / "work" / "signals")
    with pytest.raises(SetupError, match=rf"one.parquet: missing; {AGAIN} \(and the files of 1 more video\)$"):
        split_shard(rows, parts, outdir, SHARD, SplitSettings(**SPLIT_SETTINGS))
    assert lost_videos(outdir, SHARD) == {"one", "two"}


def test_files_of_another_video_are_lost_ones(decoded, outdir: Path):
    rows, _ = again(decoded, outdir)
    paths = Paths(outdir)
    shutil.copy(paths.signals(SHARD, "one"), paths.signals(SHARD, "two"))
    with pytest.raises(ItemError, match="two.parquet: of another video or other settings"):
        read_signals(outdir, SHARD, "two", key=rows[1]["decode_key"])
    shutil.copy(paths.frames(SHARD, "two"), paths.frames(SHARD, "one"))
    clip = {"video_id": "one", "start_frame": 0, "end_frame": 10, "seconds": 1.0}
    with KeptFrames(outdir, SHARD) as kept, pytest.raises(ItemError, match="one.zip: of another video"):
        kept.frames(clip, FrameChoice())
    assert lost_videos(outdir, SHARD) == {"one", "two"}


@pytest.mark.parametrize("damage", [remove, shorten])
def test_lost_miniatures(outdir: Path, damage):
    damage(path := Paths(outdir).miniatures(SHARD, "one"))
    with pytest.raises(ItemError, match=f"^{path}: (missing|damaged); {AGAIN}$"):
        read_miniatures(outdir, SHARD, "one", [0])
    assert lost_videos(outdir, SHARD) == {"one"}
