"""Cutting clips: what is refused, what stops the job, and what the file is like beyond its frames."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import stat
import subprocess
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from cut_sources import FPS, Source, check, cut_settings, h264, make, read, run, sources_in

from clipmill.base.errors import ItemError, SetupError
from clipmill.cut import clip as cut
from clipmill.cut import verify
from clipmill.cut.clip import cut_clip
from clipmill.cut.verify import SourceFrames

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return sources_in(tmp_path_factory.mktemp("sources"))


# --- what goes wrong ------------------------------------------------------------------------------------------------


def altered(video: Source, start: int, end: int, target: Path, frames: SourceFrames, **settings) -> dict:
    clip, _ = video.clip(start, end)
    return cut_clip(video.path, target, video.video, clip, frames, cut_settings(**settings))


@pytest.mark.parametrize(
    ("fault", "mode"),
    [*itertools.product(["other shot", "one late", "one early"], ["auto", "reencode"]), ("one grey frame", "reencode")],
)
def test_a_file_that_shows_something_else_is_refused(source, tmp_path, mode, fault):
    video = source("closed.mp4")
    frames = video.frames.part(40, 80)
    wanted = {
        "other shot": video.frames.thumbnail[80:120],
        "one late": video.frames.thumbnail[41:81],
        "one early": np.concatenate([frames.thumbnail[:1], frames.thumbnail[:-1]]),
        "one grey frame": np.where(np.arange(40)[:, None] == 17, np.uint8(128), frames.thumbnail),
    }[fault]
    with pytest.raises(ItemError) as caught:
        altered(video, 40, 80, tmp_path / "clip.mp4", replace(frames, thumbnail=wanted), mode=mode)
    assert caught.value.kind == "bad_cut"
    assert list(tmp_path.iterdir()) == []


FAULTS = ("other packet", "one packet less", "another file")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *itertools.product(["closed.mp4", "av1.mkv", "svt_av1.mp4"], FAULTS),
        ("closed.mp4", "times changed places"),  # the packets of AV1 come in the order of their frames
    ],
)
def test_a_copy_that_is_not_the_sources_is_refused(source, tmp_path, monkeypatch, kind, fault):
    video = source(kind)
    ffmpeg = cut.run_ffmpeg

    def run_badly(arguments, write):
        result = ffmpeg(arguments, write)
        with_fault(Path(arguments[-1].removeprefix("file:")), fault, source("without_b.mp4").path)
        return result

    monkeypatch.setattr(cut, "run_ffmpeg", run_badly)
    with pytest.raises(ItemError, match="the copied clip failed its check"):
        video.cut(tmp_path / "clip.mp4", 40, 80, mode="copy")
    assert list(tmp_path.iterdir()) == []


def with_fault(path: Path, fault: str, other: Path) -> None:
    """Write the packets of a clip of 40 frames again, with a fault."""
    with av.open(other if fault == "another file" else path) as clip:
        stream = clip.streams.video[0]
        packets = [packet for packet in clip.demux(stream) if packet.size][:40]
        middle = [number for number, packet in enumerate(packets) if not packet.is_keyframe][20:]
        first, second = packets[middle[0]], packets[middle[1]]
        if fault == "times changed places":
            first.pts, second.pts = second.pts, first.pts
        if fault == "other packet":
            again = av.Packet(bytes(second))
            again.pts, again.dts, again.time_base = first.pts, first.dts, first.time_base
            packets[middle[0]] = again
        if fault == "one packet less":
            packets.remove(second)
        written = io.BytesIO()
        with av.open(written, "w", format="mp4") as target:
            to = target.add_stream_from_template(stream, opaque=True)  # AV1's decoder has another name than its encoder
            for packet in packets:
                packet.stream = to
                target.mux(packet)
    path.write_bytes(written.getvalue())


@pytest.mark.parametrize(
    ("kind", "decoded"),
    [("closed.mp4", 17), ("vp9.webm", 17), ("av1.mkv", 17), ("svt_av1.mp4", 17), ("h264.ts", 40)],
)
def test_a_copy_with_the_sources_packets_is_decoded_in_part(source, tmp_path, monkeypatch, kind, decoded):
    """16 frames and the key frame after them; all, if the packets differ, as those of a transport stream do in mp4."""
    seen = []
    decode = verify._decode
    monkeypatch.setattr(verify, "_decode", lambda *arguments: seen.append(decode(*arguments)) or seen[-1])
    assert source(kind).cut(tmp_path / "clip.mp4", 40, 80)["cut_method"] == "copy"
    thumbnails, _ = seen[0]
    assert len(thumbnails) == decoded


def test_a_clip_ends_with_its_last_frame_after_a_gap(tmp_path):
    """A file that was cut by copying lacks frames before its last one, whose packet is not the last."""
    whole = make(tmp_path / "whole.mp4", h264(20, ":bframes=3:b-adapt=0"))
    run("-i", str(whole), "-t", "4", "-c", "copy", str(tmp_path / "cut.mp4"))
    video = Source(tmp_path / "cut.mp4")
    gap = np.diff(video.frames.time)[-5:].max()
    assert gap > 1.5 / FPS
    for mode in ("copy", "reencode"):
        row = video.cut(tmp_path / "clip.mp4", 40, video.frames.frames, mode=mode)
        assert read(tmp_path / "clip.mp4")[0] == read(video.path)[0][40:]
        assert row["cut_seconds"] == pytest.approx(video.frames.time[-1] - video.frames.time[40], abs=0.01)


@pytest.mark.parametrize("fault", ["stretched", "one jump"])
def test_a_file_with_other_times_is_refused(source, tmp_path, fault):
    video = source("closed.mp4")
    frames = video.frames.part(40, 80)
    times = frames.time.copy()
    if fault == "stretched":
        times = times[0] + (times - times[0]) * 1.1
    else:
        times[20:] += 0.1
    with pytest.raises(ItemError, match=" s away from its time"):
        altered(video, 40, 80, tmp_path / "clip.mp4", replace(frames, time=times))


def test_a_copy_that_fails_is_encoded_instead(source, tmp_path):
    video = source("open.mp4")
    unclean = int(np.flatnonzero(video.frames.is_key & ~video.frames.is_clean[:-1])[0])
    frames = replace(video.frames.part(unclean, 100), is_clean=np.ones(101 - unclean, bool))
    row = altered(video, unclean, 100, tmp_path / "clip.mp4", frames)
    assert row["cut_method"] == "reencode" and row["copy_failed"]
    check(row, tmp_path / "clip.mp4", video, unclean, 100)
    with pytest.raises(ItemError, match="the copied clip failed its check") as caught:
        altered(video, unclean, 100, tmp_path / "copy.mp4", frames, mode="copy")
    assert caught.value.kind == "no_copy" and not (tmp_path / "copy.mp4").exists()


def test_mode_copy_says_why_not(source, tmp_path):
    with pytest.raises(ItemError, match="no key frame") as caught:
        source("long_gop.mp4").cut(tmp_path / "clip.mp4", 40, 85, mode="copy")
    assert caught.value.kind == "no_copy" and list(tmp_path.iterdir()) == []


def test_a_vanished_source_may_come_back(source, tmp_path, monkeypatch):
    video = source("closed.mp4")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.path.read_bytes())
    gone = Source(copy)
    monkeypatch.setattr(
        cut, "run_ffmpeg", lambda arguments, write: copy.unlink() or subprocess.CompletedProcess([], 1, b"", b"x")
    )
    for _ in range(2):  # while ffmpeg runs, and before
        with pytest.raises(ItemError) as caught:
            gone.cut(tmp_path / "clip.mp4", 40, 80)
        assert caught.value.kind == "vanished" and not caught.value.lasting
    assert list(tmp_path.iterdir()) == []


def fake_ffmpeg(path: Path, said: str) -> Path:
    path.write_text(f"#!/bin/sh\necho 'av_interleaved_write_frame(): {said}' >&2\nexit 228\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_job(source, tmp_path, monkeypatch, code):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake_ffmpeg(tmp_path / "ffmpeg", os.strerror(code))))
    with pytest.raises(OSError) as caught:
        source("closed.mp4").cut(tmp_path / "out" / "clip.mp4", 40, 80)
    assert caught.value.errno == code


def test_an_ffmpeg_that_was_killed_stops_the_job(source, tmp_path, monkeypatch):
    fake = fake_ffmpeg(tmp_path / "ffmpeg", "")
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(SetupError, match="memory"):
        source("closed.mp4").cut(tmp_path / "out" / "clip.mp4", 40, 80)


def test_ffmpegs_own_words_are_in_the_message(source, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake_ffmpeg(tmp_path / "ffmpeg", "the moon is full")))
    with pytest.raises(ItemError, match="the moon is full"):
        source("closed.mp4").cut(tmp_path / "out" / "clip.mp4", 40, 80)


def test_without_ffmpeg_the_set_up_is_at_fault(source, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="IMAGEIO_FFMPEG_EXE"):
        source("closed.mp4").cut(tmp_path / "clip.mp4", 40, 80)


@pytest.mark.parametrize("mode", ["copy", "reencode"])
@pytest.mark.parametrize(
    "name", ["-i.mp4", "a b'c\"d.mp4", "100%d %03d.mp4", "line\nbreak.mp4", "http:x|y.mp4", "[ä]{}.mp4"]
)
def test_names_are_taken_literally(source, tmp_path, name, mode):
    video = source("closed.mp4")
    (tmp_path / name).write_bytes(video.path.read_bytes())
    clip, frames = video.clip(40, 80)
    target = tmp_path / "out" / name
    cut_clip(tmp_path / name, target, video.video, clip, frames, cut_settings(mode=mode))
    assert read(target)[0] == list(range(40, 80))
    assert [path.name for path in target.parent.iterdir()] == [name]


# --- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["copy", "reencode"])
def test_the_same_bytes_each_time_and_nothing_of_where_it_came_from(source, tmp_path, mode):
    titled = tmp_path / "titled.mkv"
    tags = ("-metadata", "title=secret", "-metadata:s:v", "comment=secret", "-metadata", "location=secret")
    run("-y", "-i", str(source("closed.mp4").path), "-c", "copy", *tags, str(titled))
    video = Source(titled)
    for name in ("a.mp4", "b.mp4"):
        video.cut(tmp_path / name, 40, 80, mode=mode)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert b"secret" not in data and b"Lavf" not in data
    assert data.index(b"moov") < data.index(b"mdat")


def beep(path: Path, seconds: float, start: float, end: float) -> Path:
    rate = 44100
    time_ = np.arange(int(rate * seconds)) / rate
    samples = np.where((time_ >= start) & (time_ < end), 16000 * np.sin(2 * np.pi * 1000 * time_), 0).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def heard(path: Path) -> float | None:
    """When the sound of a clip begins to be loud; None without a sound track."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        assert container.streams.audio[0].codec_context.name == "aac"
        frames = list(container.decode(audio=0))
    loud = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in frames])) > 0.1
    return frames[0].time + float(np.argmax(loud)) / frames[0].sample_rate


@pytest.mark.parametrize("mode", ["copy", "reencode"])
@pytest.mark.parametrize("name,codec", [("s.mp4", "aac"), ("s.mkv", "libopus"), ("s.ts", "mp2"), ("late.mkv", "aac")])
def test_the_sound_stays_with_the_picture(source, tmp_path, name, codec, mode):
    sound = beep(tmp_path / "beep.wav", 5, 2.5, 3)
    shift = 0.3 if name == "late.mkv" else 0.0
    inputs = ("-i", str(source("closed.mp4").path), "-itsoffset", str(shift), "-i", str(sound))
    run("-y", *inputs, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", codec, str(tmp_path / name))
    video = Source(tmp_path / name)
    video.cut(tmp_path / "clip.mp4", 40, 80, mode=mode, audio=True)
    assert heard(tmp_path / "clip.mp4") == pytest.approx(2.5 + shift - 40 / FPS, abs=0.01)
    video.cut(tmp_path / "mute.mp4", 40, 80, mode=mode)
    assert heard(tmp_path / "mute.mp4") is None


def test_a_sound_track_that_ended_before_the_clip_does_no_harm(source, tmp_path):
    inputs = ("-i", str(source("closed.mp4").path), "-i", str(beep(tmp_path / "beep.wav", 1, 0, 1)))
    run("-y", *inputs, "-map", "0:v", "-map", "1:a", "-c:v", "copy", str(tmp_path / "s.mp4"))
    row = Source(tmp_path / "s.mp4").cut(tmp_path / "clip.mp4", 40, 80, audio=True)
    assert row["cut_frames"] == 40


def test_ffmpeg_dies_with_its_job(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from clipmill.cut.clip import run_ffmpeg; "
        "run_ffmpeg(['-v', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc', '-f', 'null', sys.argv[2]])"
    )
    scripts = Path(cut.__file__).parents[2]
    job = subprocess.Popen([sys.executable, "-c", program, str(scripts), str(tmp_path / "mark")])
    try:
        assert _wait_for(lambda: _running(tmp_path / "mark") - {job.pid})
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    assert _wait_for(lambda: not _running(tmp_path / "mark"))


def _running(mark: Path) -> set[int]:
    """Processes with `mark` among their arguments."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(mark).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def _wait_for(condition, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
