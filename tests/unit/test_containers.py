"""Containers and streams that are easily read wrongly: covers, turns, cropping, late tracks, cut-off files, damage."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cut_sources import cut_settings, h264, make, read_number, run
from films import SETTINGS, decoded, entry

from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.cut.clip import cut_clip
from clipmill.cut.verify import SourceFrames
from clipmill.decode import matroska
from clipmill.decode.frames import FrameArchive
from clipmill.decode.parts import as_of_part
from clipmill.decode.reading import frame_times
from clipmill.decode.shard import decode_shard
from clipmill.decode.sound import read_sound

SIZE = (160, 96)
RATE = 48000
pytestmark = pytest.mark.slow


def cut(path: Path, start: int = 0, end: int = 48, **settings: Any) -> tuple[dict, Path]:
    """Decode a video and cut a clip from it: its row, and its file."""
    film = decoded(path)
    source = SourceFrames.of(film.signals, frame_times(film.row, film.signals), start, end)
    clip = film.clip(start, end, target_frames=None)
    file = path.with_name(f"{path.name}.clip.mp4")
    return cut_clip(path, file, film.row, clip, source, cut_settings(**settings)), file


def shown(path: Path) -> list[np.ndarray]:
    """The frames of a file as ffmpeg's library decodes them, RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A video of 120 frames, 5 s, a key frame every 20, whose frames carry their number."""
    return make(tmp_path_factory.mktemp("plain") / "plain.mp4", h264(20), SIZE)


@pytest.fixture(scope="module")
def beeps(tmp_path_factory) -> Path:
    """Five seconds of noise that is loud in the first tenth of each second, and the louder the later."""
    t = np.arange(5 * RATE) / RATE
    noise = np.random.default_rng(5).uniform(-1, 1, len(t)) * np.where(t % 1 < 0.1, 0.2 + 0.15 * np.floor(t), 0)
    raw = tmp_path_factory.mktemp("beeps") / "beeps.raw"
    raw.write_bytes((noise * 32767).astype("<i2").tobytes())
    wav = raw.with_suffix(".wav")
    run("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", str(raw), str(wav))
    return wav


# --- which stream is the video ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.mp4", "c.mov", "c.mkv"])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_cover_in_a_track_of_its_own_is_not_the_video(plain, tmp_path, name, is_first, ending):
    cover = tmp_path / f"cover{ending}"
    cv2.imwrite(str(cover), np.full((400, 400, 3), 90, np.uint8))
    both = ("-map", "1", "-map", "0") if is_first else ("-map", "0", "-map", "1")
    run("-i", str(plain), "-i", str(cover), *both, "-c", "copy", "-disposition:v", "0", str(tmp_path / name))
    row, file = cut(tmp_path / name, 20, 60)
    assert (row["cut_frames"], row["cut_width"], row["cut_height"]) == (40, *SIZE)
    assert [read_number(picture) for picture in shown(file)] == list(range(20, 60))


def unknown(path: Path, target: Path) -> Path:
    """The file with another name of its first video codec, which FFmpeg does not know."""
    content = path.read_bytes()
    begin = content.index(b"stsd") if path.suffix == ".mp4" else 0
    name, other = (b"avc1", b"xyz1") if path.suffix == ".mp4" else (b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")
    target.write_bytes(content[:begin] + content[begin:].replace(name, other, 1))
    return target


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_video_without_a_decoder_says_so_unless_another_has_one(plain, tmp_path, name):
    run("-i", str(plain), "-c", "copy", str(tmp_path / name))
    with pytest.raises(ItemError) as caught:
        decoded(unknown(tmp_path / name, tmp_path / f"alone_{name}"))
    assert caught.value.kind == "no_decoder"
    large = make(tmp_path / "large.mp4", h264(20), (320, 192))
    run("-i", str(large), "-i", str(plain), "-map", "0", "-map", "1", "-c", "copy", str(tmp_path / f"two_{name}"))
    assert decoded(tmp_path / f"two_{name}").row["width"] == 320
    assert decoded(unknown(tmp_path / f"two_{name}", tmp_path / f"beside_{name}")).row["width"] == 160


# --- sizes and turns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (1200, 3), (5, 2)])
def test_tiny_and_flat_pictures_are_decoded(tmp_path, size):
    noise = np.random.default_rng(1).integers(0, 255, (12, size[1], size[0], 3), np.uint8)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", "6", "-i", "-")
    run(*raw, "-c:v", "png", str(tmp_path / "v.mkv"), input=noise.tobytes())
    film = decoded(tmp_path / "v.mkv")
    assert (film.row["width"], film.row["height"], film.row["frames"]) == (*size, 12)
    assert film.picture().shape[:2] == size[::-1]


def test_a_picture_too_small_for_a_file_says_so(tmp_path):
    run("-f", "lavfi", "-i", "testsrc=s=1x40:d=3:r=24", "-c:v", "png", str(tmp_path / "v.mkv"))
    with pytest.raises(ItemError) as caught:
        cut(tmp_path / "v.mkv")
    assert caught.value.kind == "too_small"


def test_whatever_goes_wrong_costs_its_video_alone(plain, tmp_path, monkeypatch):
    def fail(video, *_):
        raise ZeroDivisionError(f"{object()} in {video['name']}")

    monkeypatch.setattr("clipmill.decode.shard.decode_video", fail)
    rows, parts = decode_shard([entry(plain)], tmp_path, "000000", SETTINGS, 1, 1.0)
    assert (rows[0]["error_kind"], parts) == ("failed", [])
    assert "ZeroDivisionError: <object object> in plain.mp4" in rows[0]["error"]


@pytest.mark.parametrize(("angle", "turn"), [(2, 0), (45, 0), (91, 90), (178, 180), (-88, 270)])
@pytest.mark.parametrize("mode", ["auto", "reencode"])
def test_an_odd_turn_goes_to_the_nearest_quarter(plain, tmp_path, angle, turn, mode):
    path = tmp_path / "turned.mp4"
    run("-display_rotation", str(angle), "-i", str(plain), "-c", "copy", str(path))
    film = decoded(path)
    assert film.row["rotation"] == turn
    assert (film.row["width"], film.row["height"]) == (SIZE if turn in (0, 180) else SIZE[::-1])
    row, file = cut(path, 20, 60, mode=mode)
    assert (row["cut_width"], row["cut_height"]) == (film.row["width"], film.row["height"])
    assert row["cut_method"] == ("copy" if mode == "auto" and not turn else "reencode")
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
    assert {frame.rotation for frame in frames} == {0}
    back = [np.rot90(frame.to_ndarray(format="rgb24"), -turn // 90) for frame in frames]
    assert [read_number(picture) for picture in back] == list(range(20, 60))


# --- cropping ---------------------------------------------------------------------------------------------------------


def with_aperture(path: Path, target: Path, numbers: tuple[int, ...], shape: tuple[int, int] | None = None) -> Path:
    """The mp4 file with a clean aperture: width, height, right, down, each over a number; maybe with a pixel shape."""
    content = bytearray(path.read_bytes())
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    box += struct.pack(">I4s2I", 16, b"pasp", *shape) if shape else b""
    place, boxes = 0, []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = content.index(name, place)
        boxes.append(place - 4)
    entry_at = boxes[-1] + 16
    end = entry_at + struct.unpack_from(">I", content, entry_at)[0]
    own = entry_at + 86
    while own < end:  # what the encoder wrote of the shape
        size = struct.unpack_from(">I", content, own)[0]
        if content[own + 4 : own + 8] == b"pasp":
            content[own + 4 : own + 8] = b"free"
        own += size
    content[end:end] = box
    for at in (*boxes, entry_at):
        struct.pack_into(">I", content, at, struct.unpack_from(">I", content, at)[0] + len(box))
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("numbers", "left", "top", "size"),
    [
        ((160, 1, 64, 1, 0, 1, 0, 1), 0, 16, (160, 64)),
        ((120, 1, 80, 1, -4, 1, 2, 1), 16, 10, (120, 80)),
        ((301, 2, 96, 1, 0, 1, 0, 1), 4, 0, (150, 96)),
    ],
)
@pytest.mark.parametrize("ending", ["mov", "mkv"])
def test_what_a_container_crops_is_cropped_everywhere(plain, tmp_path, numbers, left, top, size, ending):
    path = with_aperture(plain, tmp_path / "v.mov", numbers)
    if ending == "mkv":  # ffmpeg turns it into PixelCrop
        run("-i", str(path), "-c", "copy", str(tmp_path / "v.mkv"))
        path = tmp_path / "v.mkv"
        assert any(matroska.croppings(path)[0])
    film = decoded(path)
    assert (film.row["width"], film.row["height"], film.row["cropped"]) == (*size, True)
    whole = shown(plain)
    part = [picture[top : top + size[1], left : left + size[0]] for picture in whole]
    kept = film.picture()[:, :, ::-1]
    assert np.abs(kept.astype(int) - part[0]).mean() < 6
    row, file = cut(path, 20, 60)
    assert (row["cut_method"], row["cut_width"], row["cut_height"]) == ("reencode", size[0] // 2 * 2, size[1])
    assert np.abs(shown(file)[5].astype(int) - part[25][:, : size[0] // 2 * 2]).mean() < 6


def test_an_aperture_does_not_change_the_shape_of_pixels(plain, tmp_path):
    """FFmpeg's reader takes the shape from the track's size where the file states none."""
    aperture = (120, 1, 96, 1, 0, 1, 0, 1)
    square = decoded(with_aperture(plain, tmp_path / "square.mov", aperture)).row
    assert (square["pixel_aspect"], square["width"], square["height"]) == (1, 120, 96)
    wide = decoded(with_aperture(plain, tmp_path / "wide.mov", aperture, (4, 3))).row
    assert (wide["pixel_aspect"], wide["width"], wide["height"]) == (pytest.approx(4 / 3), 160, 96)


@pytest.mark.parametrize(
    "numbers", [(170, 1, 96, 1, 0, 1, 0, 1), (100, 0, 96, 1, 0, 1, 0, 1), (100, 1, 96, 1, 90, 1, 0, 1)]
)
def test_an_aperture_that_cannot_be_is_not_obeyed(plain, tmp_path, numbers):
    row = decoded(with_aperture(plain, tmp_path / "v.mov", numbers)).row
    assert (row["width"], row["height"], row["cropped"]) == (*SIZE, False)


@pytest.mark.parametrize(("left", "method"), [(0, "copy"), (16, "reencode")])
def test_what_the_codec_crops_is_cropped_in_copies_too(plain, tmp_path, left, method):
    """By default FFmpeg's library crops less at the left: readers of a copy would see more than is to be shown."""
    crop = f"h264_metadata=crop_left={left}:crop_right={24 - left}:crop_top=10:crop_bottom=6"
    run("-i", str(plain), "-c", "copy", "-bsf:v", crop, str(tmp_path / "v.mp4"))
    row, file = cut(tmp_path / "v.mp4", 20, 60)
    assert (row["cut_method"], row["cut_width"], row["cut_height"]) == (method, 136, 80)
    assert shown(file)[0].shape == (80, 136, 3)
    assert np.abs(shown(file)[5].astype(int) - shown(plain)[25][10:90, left : left + 136]).mean() < 6


# --- whole or cut off -------------------------------------------------------------------------------------------------


def late(plain: Path, beeps: Path, target: Path, picture: float, sound: float, *coding: str) -> Path:
    """A file whose picture and sound begin after so many seconds; the beeps are at whole seconds of the picture."""
    given = ("-itsoffset", str(picture), "-i", str(plain), "-itsoffset", str(sound), "-i", str(beeps))
    tracks = ("-map", "0:v", "-map", "1:a")
    if not coding:
        run(*given, *tracks, "-c:v", "copy", "-c:a", "aac", str(target))
        return target
    # Where the start of a frame lies over two packets, FFmpeg's reader gives it and some more frames the time stamps of
    # the next ones. The size of frames decides it, which depends on the processor.
    for quality in range(3, 9):
        run("-y", *given, *tracks, *coding, "-q:v", str(quality), str(target))
        with av.open(str(target)) as container:
            times = [frame.pts for packet in container.demux() for frame in packet.decode() if packet.stream.index == 0]
        if len(set(np.diff(times))) == 1:
            return target
    raise AssertionError("FFmpeg reads each of the files unevenly")


MPEG = ("-fps_mode", "passthrough", "-c:v", "mpeg2video", "-c:a", "mp2")


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.mov", "v.ts", "v.flv", "v.avi", "v.mpg"])
@pytest.mark.parametrize(("picture", "sound"), [(4, 0), (0, 3)])
def test_a_track_that_begins_later_is_no_loss(plain, beeps, tmp_path, name, picture, sound):
    coding = MPEG if name == "v.mpg" else ()
    row = decoded(late(plain, beeps, tmp_path / name, picture, sound, *coding)).row
    assert row["frames"] == 120 and row["seconds"] == pytest.approx(5, abs=0.1)


def test_subtitles_and_sound_may_go_on_after_the_picture(plain, beeps, tmp_path):
    (tmp_path / "s.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\none\n\n2\n00:00:20,000 --> 00:00:30,000\ntwo\n")
    for number, tracks in enumerate(((plain, tmp_path / "s.srt"), (plain, beeps, tmp_path / "s.srt"))):
        for ending, text in (("mkv", "srt"), ("mp4", "mov_text")):
            given = [word for track in tracks for word in ("-i", str(track))]
            maps = [word for track in range(len(tracks)) for word in ("-map", str(track))]
            path = tmp_path / f"{number}.{ending}"
            run(*given, *maps, "-c", "copy", "-c:a", "aac", "-c:s", text, str(path))
            assert decoded(path).row["seconds"] == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("sound", [0, 3])
@pytest.mark.parametrize(("name", "kinds"), [("v.mkv", {"truncated"}), ("v.flv", {"truncated", "corrupt"})])
def test_a_file_with_sound_that_was_cut_off_is_found(plain, beeps, tmp_path, name, kinds, sound):
    content = late(plain, beeps, tmp_path / name, 0, sound).read_bytes()
    for share in (0.3, 0.5):
        (tmp_path / f"cut_{name}").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ItemError) as caught:
            decoded(tmp_path / f"cut_{name}")
        assert caught.value.kind in kinds


def test_a_header_may_state_more_than_was_recorded(plain, tmp_path):
    """As it does where a recorder's file was given a length later. A file that was cut off is still found."""
    path = tmp_path / "v.mkv"
    run("-i", str(plain), "-c", "copy", "-map_metadata", "-1", str(path))
    content = path.read_bytes().replace(b"DURATION", b"IRRITANT")  # the track's own
    at = content.index(b"\x44\x89\x88") + 3
    content = content[:at] + struct.pack(">d", 12000.0) + content[at + 8 :]
    path.write_bytes(content)
    assert decoded(path).row["seconds"] == pytest.approx(5, abs=0.01)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ItemError, match=r"of 12.00 s; copy it again or remove it"):
        decoded(path)


# --- sound ------------------------------------------------------------------------------------------------------------


def onsets(path: Path, seconds: float) -> list[float]:
    """When the beeps of a file begin, in seconds after its picture."""
    sound = read_sound(path, 0, seconds)
    loud = np.abs(sound.samples).max(axis=1) > 0.05
    starts = np.flatnonzero(loud & ~np.roll(loud, 1))
    return [
        start / sound.rate
        for number, start in enumerate(starts)
        if number == 0 or start - starts[number - 1] > RATE / 4
    ]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.ts", "v.mpg"])
@pytest.mark.parametrize(("picture", "sound"), [(0, 0), (4, 2), (0, 2)])
@pytest.mark.parametrize("mode", ["auto", "reencode"])
def test_sound_is_in_place_whichever_track_begins_later(plain, beeps, tmp_path, name, picture, sound, mode):
    path = late(plain, beeps, tmp_path / name, picture, sound, *(MPEG if name == "v.mpg" else ()))
    delay = sound - picture
    row, file = cut(path, 36, 110, audio=True, mode=mode)
    assert row["cut_sound"]
    begin = 36 / 24 + row["cut_start"]
    wanted = [n + delay - begin for n in range(5) if 0.01 < n + delay - begin < row["cut_seconds"] - 0.01]
    found = [time for time in onsets(file, row["cut_seconds"]) if time > 0.01]
    assert found == pytest.approx(wanted, abs=0.02)


def test_sound_that_nothing_decodes(plain, beeps, tmp_path):
    path = late(plain, beeps, tmp_path / "v.mkv", 0, 0)
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    assert decoded(path).row["has_audio"] is False
    row, _ = cut(path, audio=True)
    assert row["cut_sound"] is False
    with pytest.raises(ItemError) as caught:
        cut(path, audio="required")
    assert caught.value.kind == "no_decoder"
    with pytest.raises(ItemError) as caught:
        cut(plain, audio="required")
    assert caught.value.kind == "no_sound"


def test_a_gap_in_the_sound_stays_in_its_place(plain, beeps, tmp_path):
    path = tmp_path / "v.mkv"
    drop = ("-bsf:a", "noise=drop='gt(pts*tb,0.5)*lt(pts*tb,1.8)'")
    run(
        "-i",
        str(plain),
        "-i",
        str(beeps),
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        *drop,
        str(path),
    )
    _, file = cut(path, 0, 100, audio=True)
    assert [time for time in onsets(file, 4) if time > 0.01] == pytest.approx([2, 3, 4], abs=0.02)


# --- damage -----------------------------------------------------------------------------------------------------------


DAMAGED = {
    "v.ts": h264(20, ":bframes=3"),
    "v.mp4": h264(20, ":bframes=3"),
    "v.mkv": h264(20),
    "v.mpg": ("-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "3"),
    "v.avi": ("-c:v", "mpeg4", "-bf", "2", "-g", "20", "-q:v", "3"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_can_be_left_out(tmp_path, name):
    path = make(tmp_path / name, DAMAGED[name], (320, 192))
    whole = decoded(path)
    content, draw = bytearray(path.read_bytes()), random.Random(3)
    at = int(len(content) * 0.45)
    content[at : at + 300] = bytes(draw.randrange(256) for _ in range(300))
    path.write_bytes(content)
    with pytest.raises(ItemError) as caught:
        decoded(path)
    assert caught.value.kind == "corrupt"
    film = decoded(path, settings=replace(SETTINGS, damaged="keep"))
    assert "damage at " in film.row["changes"]
    assert 60 < film.row["frames"] < 120 and film.row["seconds"] == pytest.approx(film.row["frames"] / 24, abs=0.1)
    found, known = (
        np.array([list(one) for one in signals["thumbnail"].to_pylist()]) for signals in (film.signals, whole.signals)
    )
    apart = np.abs(found[:, None] - known).mean(axis=2)
    assert apart.min(axis=1).max() == 0, "no frame is damaged"
    numbers = apart.argmin(axis=1)
    gaps = np.flatnonzero(np.diff(numbers) != 1) + 1
    assert film["is_key"][gaps].all()
    source = SourceFrames.of(film.signals, frame_times(film.row, film.signals), int(gaps[-1]), film.row["frames"])
    clip = film.clip(int(gaps[-1]), target_frames=None)
    assert film.parts[-1]["start_frame"] == gaps[-1]
    video = as_of_part(film.row, film.parts[-1])
    row = cut_clip(path, tmp_path / "clip.mp4", video, clip, source, cut_settings(min_seconds=0.1))
    assert row["cut_frames"] == film.row["frames"] - gaps[-1]
    assert [read_number(picture) for picture in shown(tmp_path / "clip.mp4")] == numbers[gaps[-1] :].tolist()


def test_a_whole_video_is_the_same_with_either_setting(plain):
    refusing, keeping = decoded(plain), decoded(plain, settings=replace(SETTINGS, damaged="keep"))
    assert refusing.signals.equals(keeping.signals)
    with FrameArchive(refusing.paths.frames) as one, FrameArchive(keeping.paths.frames) as other:
        assert one.data(3) == other.data(3)
