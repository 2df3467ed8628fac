"""Videos that cannot be used say why; a shard costs each video once; memory does not grow with length."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from films import SETTINGS, SIZE, Film, decoded, entry, panned, standing
from index_runs import refuse

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.journal import Journal
from clipmill.base.opencv import cv2
from clipmill.decode.frames import ArchiveWriter
from clipmill.decode.looks import Watch
from clipmill.decode.shard import decode_shard
from clipmill.decode.video import DecodePaths, DecodeSettings, decode_key, decode_video
from clipmill.demo import render
from clipmill.store import tables

FILM = Film(panned(), seconds=4, settings={"keyframe_interval": 24})
FAST_START = {"movflags": "+faststart"}


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Whole videos, to be broken."""
    folder = tmp_path_factory.mktemp("whole")
    FILM.render(folder / "v.mp4")
    FILM.render(folder / "v.mkv")
    Film(panned(), seconds=4, settings={**FILM.settings, "container_options": FAST_START}).render(folder / "fast.mp4")
    return folder


def fails(path: Path) -> ItemError:
    """The error of decoding `path`, after which no files are left."""
    with pytest.raises(ItemError) as caught:
        decoded(path)
    assert [entry.name for entry in path.with_name(f"{path.name}.decoded").rglob("*") if entry.is_file()] == []
    return caught.value


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=48000, layout="mono")
        for chunk in range(20):
            output.mux(sound.encode(render._sine(chunk)))
        output.mux(sound.encode())


def still_image(ending: str):
    def write(path: Path) -> None:
        picture = path.with_suffix(ending)
        cv2.imwrite(str(picture), render.gradient(SIZE))
        picture.rename(path)

    return write


def folder(path: Path) -> None:
    path.mkdir()
    (path / "something").touch()


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda path: path.touch(), "empty", "the file has 0 bytes; copy it again or remove it"),
        (lambda path: path.write_bytes(b"x" * 5000), "not_a_video", "not a readable video (Invalid data"),
        (lambda path: path.write_text("<html>not found</html>"), "not_a_video", "not a readable video"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\n/etc/passwd\n"), "playlist", "a playlist that points to"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile v.mp4\n"), "not_a_video", "not a readable video"),
        (still_image(".png"), "still_image", "a single picture, not a video; remove it or name it in `exclude`"),
        (still_image(".jpg"), "still_image", "a single picture, not a video"),
        (still_image(".bmp"), "still_image", "a single picture, not a video"),
        (still_image(".webp"), "still_image", "a single picture, not a video"),
        (audio_only, "no_video", "no video stream (1 audio streams); remove it or name it in `exclude`"),
        (folder, "not_a_video", "not a readable video (Is a directory)"),
    ],
)
def test_files_that_are_no_videos(tmp_path, make, kind, message):
    path = tmp_path / "film.mp4"
    make(path)
    error = fails(path)
    assert (error.kind, error.lasting) == (kind, True)
    assert str(error).startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("name", ["v.mp4", "fast.mp4", "v.mkv"])
def test_truncated_files(whole, tmp_path, name, share):
    path = tmp_path / name
    content = (whole / name).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    error = fails(path)
    if name == "v.mp4":  # its index stood at the end
        assert error.kind in ("not_a_video", "no_video")
    else:
        assert error.kind in ("truncated", "corrupt")
        assert 0 < seconds_told(error) < 4 * share + 0.5
    if name == "v.mkv":
        assert str(error).endswith("s of 4.00 s; copy it again or remove it")


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_files_without_their_beginning(whole, tmp_path, name):
    content = (whole / name).read_bytes()
    (tmp_path / name).write_bytes(content[len(content) // 3 :])
    assert fails(tmp_path / name).kind == "not_a_video"


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize("place", [0.4, 0.7])
@pytest.mark.parametrize("filler", [b"\0", b"\xa5"])
def test_overwritten_bytes(whole, tmp_path, name, place, filler):
    content = bytearray((whole / name).read_bytes())
    start = int(len(content) * place)
    content[start : start + 2000] = filler * 2000
    (tmp_path / name).write_bytes(content)
    error = fails(tmp_path / name)
    # Matroska's reader may find no way beyond the damage, and then it is the file's end.
    assert error.kind in (("corrupt",) if name == "v.mp4" else ("corrupt", "truncated"))
    assert 4 * place - 1.3 < seconds_told(error) < 4 * place + 0.3  # what was read before lies before the damage


def seconds_told(error: ItemError) -> float:
    return float(str(error).split(" s")[0].split()[-1])


def test_a_video_that_goes_or_changes_meanwhile(whole, tmp_path, monkeypatch):
    path = tmp_path / "v.mp4"
    path.write_bytes((whole / "v.mp4").read_bytes())
    video, paths = entry(path), DecodePaths(tmp_path / "f.zip", tmp_path / "s.parquet")

    def error():
        with pytest.raises(ItemError) as caught:
            decode_video(video, paths, SETTINGS, 1)
        assert not caught.value.lasting
        assert not any(map(os.path.lexists, (paths.frames, paths.signals)))
        return caught.value.kind

    os.utime(path, ns=(1, 1))
    assert error() == "changed"
    video = entry(path)
    with monkeypatch.context() as patch:  # while it is being decoded
        add = ArchiveWriter.add
        patch.setattr(ArchiveWriter, "add", lambda *args: (add(*args), os.utime(path, ns=(2, 2))))
        assert error() == "changed"
    video = entry(path)
    with monkeypatch.context() as patch:  # so that what is read of it is broken
        patch.setattr(ArchiveWriter, "add", lambda *args: (add(*args), os.truncate(path, 9000)))
        assert error() == "changed"
    shutil.copyfile(whole / "v.mp4", path)
    video = entry(path)
    with monkeypatch.context() as patch:  # when it is open and not read yet
        patch.setattr("clipmill.decode.video.Watch", lambda *args: (path.unlink(), Watch(*args))[1])
        assert error() == "vanished"
    shutil.copyfile(whole / "v.mp4", path)
    video = entry(path)
    monkeypatch.setattr("clipmill.decode.media.Path.stat", refuse)
    assert error() == "unreadable"
    monkeypatch.undo()
    path.unlink()
    assert error() == "vanished"


# --- shards -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shard(whole, tmp_path):
    """Two good videos and a bad one between them."""
    videos = []
    for number, name in enumerate(("v.mp4", "v.mkv")):
        path = tmp_path / f"{number}{name}"
        path.write_bytes((whole / name).read_bytes())
        videos.append(entry(path, f"v{number}"))
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    return [videos[0], entry(tmp_path / "bad.mp4", "bad"), videos[1]]


def run_shard(videos, outdir, settings=SETTINGS, threads=2, rate=1.0):
    return decode_shard(videos, outdir, "000000", settings, threads, rate)[0]


@pytest.mark.slow
def test_a_shard_has_a_row_for_each_video(shard, tmp_path):
    rows = run_shard(shard, tmp_path / "out")
    assert [row["video_id"] for row in rows] == ["v0", "bad", "v1"]
    assert [row.get("error_kind") for row in rows] == [None, "not_a_video", None]
    tables.VIDEOS.write(tmp_path / "t.parquet", rows)
    assert [row["frames"] for row in tables.VIDEOS.rows(tmp_path / "t.parquet")] == [96, None, 96]
    for row in (rows[0], rows[2]):
        paths = DecodePaths.of(tmp_path / "out", "000000", row["video_id"])
        assert paths.hold(row["decode_key"])
        assert not paths.hold("another key")
    assert run_shard(shard, tmp_path / "again", threads=1) == rows


def files(outdir: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (outdir / "work").rglob("v*.*")}


@pytest.mark.slow
def test_a_shard_decodes_each_video_once(shard, tmp_path, monkeypatch):
    outdir = tmp_path / "out"
    rows = run_shard(shard, outdir)
    before = files(outdir)
    assert set(before) == {"v0.zip", "v0.parquet", "v1.zip", "v1.parquet"}
    with monkeypatch.context() as patch:
        patch.setattr("clipmill.decode.video.decode_video", lambda *_: pytest.fail("decoded again"))
        assert run_shard(shard, outdir) == rows
        renamed = [{**video, "name": "new", "path": "/new"} for video in shard]
        assert {(row["name"], row["path"]) for row in run_shard(renamed, outdir)} == {("new", "/new")}

    DecodePaths.of(outdir, "000000", "v0").frames.unlink()
    DecodePaths.of(outdir, "000000", "v1").signals.write_bytes(b"PAR1")
    assert run_shard(shard, outdir) == rows
    assert all(files(outdir)[name] > time for name, time in before.items())

    before = files(outdir)
    os.utime(shard[0]["path"], ns=(5, 5))
    changed = [{**shard[0], "mtime_ns": 5}, *shard[1:]]
    again = run_shard(changed, outdir)
    assert again[1:] == rows[1:]
    keys = {"decode_key": "", "source_key": ""}
    assert {**again[0], **keys} == {**rows[0], **keys}
    assert {name for name, time in files(outdir).items() if before[name] != time} == {"v0.zip", "v0.parquet"}


def test_a_video_that_breaks_loses_its_files_and_may_come_back(shard, tmp_path):
    outdir = tmp_path / "out"
    run_shard(shard, outdir)
    source = Path(shard[0]["path"])
    content = source.read_bytes()
    source.unlink()
    again = [{**shard[0], "size_bytes": 5}, *shard[1:]]
    assert run_shard(again, outdir)[0]["error_kind"] == "vanished"
    assert set(files(outdir)) == {"v1.zip", "v1.parquet"}
    source.write_bytes(content)
    again[0] = entry(source, "v0")
    assert run_shard(again, outdir)[0]["frames"] == 96


def test_what_may_go_otherwise_the_next_time_is_tried_again(shard, tmp_path):
    """The file comes back as it was: same size, same time."""
    source, away = Path(shard[0]["path"]), tmp_path / "away"
    source.rename(away)
    assert [row.get("error_kind") for row in run_shard(shard, tmp_path / "out")] == ["vanished", "not_a_video", None]
    away.rename(source)
    assert [row.get("error_kind") for row in run_shard(shard, tmp_path / "out")] == [None, "not_a_video", None]


@pytest.mark.parametrize("change", [{"samples_per_second": 3}, {"sample_short_side": 64}, {"sample_quality": 50}])
def test_the_key_depends_on_file_and_settings(shard, change):
    key = decode_key(shard[0], SETTINGS)
    assert decode_key(shard[0], DecodeSettings(**{**vars(SETTINGS), **change})) != key
    assert decode_key({**shard[0], "size_bytes": 1}, SETTINGS) != key
    assert decode_key({**shard[0], "mtime_ns": 1}, SETTINGS) != key
    assert decode_key({**shard[0], "name": "x", "path": "x", "returns": 9, "video_id": "x"}, SETTINGS) == key


def test_too_many_bad_videos_stop_the_shard(tmp_path):
    videos = []
    for number in range(25):
        (tmp_path / f"{number}.mp4").write_bytes(b"x")
        videos.append(entry(tmp_path / f"{number}.mp4", str(number)))
    with pytest.raises(SetupError, match=r"^20 of 20 videos failed, more than max_error_rate 0.5 allows"):
        run_shard(videos, tmp_path / "out", rate=0.5)
    with Journal(tmp_path / "out" / "work" / "journals" / "decode" / "000000.jsonl") as journal:
        known = [journal.get(video["video_id"], decode_key(video, SETTINGS)) for video in videos]
    assert sum(row is not None for row in known) == 20


# --- memory -----------------------------------------------------------------------------------------------------------

DECODE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from films import decoded
result = decoded(Path(sys.argv[1]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
# Not ru_maxrss, which a process takes over from the one that started it.
print(result.row["frames"], result.row["samples"], int(status["VmHWM"].split()[0]) // 1024)
"""


def looped(source: Path, target: Path, times: int) -> Path:
    """The packets of `source` again and again."""
    with av.open(str(source)) as inputs, av.open(str(target), "w") as output:
        stream = inputs.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in inputs.demux(stream) if packet.size]
        length = round(Fraction(len(packets)) / stream.average_rate / stream.time_base)
        for number in range(times):
            for packet in packets:
                packet.pts, packet.dts = packet.pts + length * bool(number), packet.dts + length * bool(number)
                packet.stream = copy
                output.mux(packet)
    return target


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    settings = {"b_frames": 0, "options": {"preset": "ultrafast"}}
    Film(standing(render.gradient), seconds=20, size=(640, 360), fps=4, settings=settings).render(
        tmp_path / "short.mkv"
    )
    looped(tmp_path / "short.mkv", tmp_path / "long.mkv", 30)
    peaks = {}
    for name, minutes in (("short.mkv", 1 / 3), ("long.mkv", 10)):
        places = [str(Path(__file__).parents[level] / below) for level, below in ((0, ""), (1, ""), (2, "scripts"))]
        child = [sys.executable, "-c", DECODE, str(tmp_path / name), *places]
        out = subprocess.run(child, capture_output=True, text=True, check=True).stdout
        frames, samples, peaks[name] = map(int, out.split())
        assert (frames, samples) == (round(minutes * 240), round(minutes * 120))
    assert peaks["long.mkv"] < 600  # MB, of which the imported libraries are about half
    assert peaks["long.mkv"] - peaks["short.mkv"] < 300  # to hold the pictures would take 800 more
