"""Interlaced videos become whole in kept frames and clips; telecined ones are dropped."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from films import SETTINGS, entry
from interlaced_films import (
    BOTTOM,
    H264,
    MPEG2,
    PLAIN,
    TOP,
    coded,
    letters,
    panned,
    pulled_down,
    scenery,
    shares_of_combs,
    woven,
)

from clipmill.cut.shard import cut_shard
from clipmill.decode.deinterlace import Deinterlacer
from clipmill.decode.parts import field_order_of
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.decode.shard import decode_shard
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store.layout import Paths
from clipmill.store.tables import by_video
from default_config import CUT_SETTINGS, SPLIT_SETTINGS

SHARD, SIZE = "000000", (320, 240)
PAN = panned(cv2.GaussianBlur(scenery(SIZE), (0, 0), 1), SIZE, (4, 0), 150)  # as soft as cameras' pictures are
TOP_FIRST, BOTTOM_FIRST = woven(PAN), woven(PAN, False)
WHOLE = PAN[:75]

# Name -> frames, coding, field order.
FILMS: dict[str, tuple[list[np.ndarray], tuple[str, ...], str]] = {
    "top.ts": (TOP_FIRST, (*TOP, *H264), "tff"),
    "bottom.mp4": (BOTTOM_FIRST, (*BOTTOM, *H264, "-x264-params", "bff=1"), "bff"),
    "top.mpg": (TOP_FIRST, (*TOP, *MPEG2), "tff"),
    "untagged top.mp4": (TOP_FIRST, (*PLAIN, *H264), "tff"),
    "untagged bottom.mkv": (BOTTOM_FIRST, (*PLAIN, *H264), "bff"),
    "untagged.mpg": (TOP_FIRST, (*PLAIN, *MPEG2), "tff"),
    "wrongly tagged.ts": (BOTTOM_FIRST, (*TOP, *H264), "bff"),
    "ten bits.mkv": (TOP_FIRST, ("-vf", "setfield=prog,format=yuv420p10le", *H264), "tff"),
    "raw.avi": (TOP_FIRST, ("-vf", "setfield=prog,format=uyvy422", "-c:v", "rawvideo"), "tff"),
    "film in fields.ts": (WHOLE, (*TOP, *H264), "progressive"),
    "progressive.mp4": (WHOLE, (*PLAIN, *H264), "progressive"),
    "telecined.mp4": (pulled_down(PAN[:60]), (*PLAIN, *H264), "telecined"),
    "telecined.mpg": (pulled_down(PAN[:60]), (*TOP, *MPEG2), "telecined"),
}
INTERLACED = [name for name, (_, _, order) in FILMS.items() if order in ("tff", "bff")]


class Made:
    """The films decoded, split and cut, with one value of `decode.deinterlace`."""

    def __init__(self, outdir: Path, paths: list[Path], deinterlace: Any, **cut: Any):
        self.outdir = outdir
        videos = [entry(path, path.name) for path in paths]
        rows, parts = decode_shard(videos, outdir, SHARD, replace(SETTINGS, deinterlace=deinterlace), 2, 0.0)
        self.videos: dict[str, Any] = {row["video_id"]: {"error_kind": None, **row} for row in rows}
        self.parts = by_video(parts)
        settings = SplitSettings(**{**SPLIT_SETTINGS, "min_seconds": 0.5, "deinterlace": deinterlace})
        self.clips = split_shard(self.videos.values(), parts, outdir, SHARD, settings).clips
        fit = [clip for clip in self.clips if clip["unfit"] is None]
        cut_settings = {**CUT_SETTINGS, "min_seconds": 0.5, "deinterlace": deinterlace, **cut}
        cuts = cut_shard(fit, self.videos, self.parts, outdir, SHARD, cut_settings, 2, 0.0)
        self.cuts = {cut["clip_id"].rpartition("_")[0]: cut for cut in cuts}

    def unfit(self, name: str) -> set[str | None]:
        return {clip["unfit"] for clip in self.clips if clip["video_id"] == name}

    def kept_frames(self, name: str) -> list[np.ndarray]:
        (clip,) = [clip for clip in self.clips if clip["video_id"] == name]
        with KeptFrames(self.outdir, SHARD) as kept:
            return [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in kept.frames(clip, FrameChoice())]

    def file(self, name: str) -> list[np.ndarray]:
        with av.open(str(Paths(self.outdir).clip_files / self.cuts[name]["file"])) as container:
            return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("interlaced")
    return [coded(folder / name, frames, *arguments) for name, (frames, arguments, _) in FILMS.items()]


@pytest.fixture(scope="module")
def made(files, tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("auto"), files, "auto")


pytestmark = pytest.mark.slow


def error(frames: list[np.ndarray], pictures: list[np.ndarray]) -> float:
    """Mean difference of frames and pictures, in grey levels."""
    inner = slice(8, -8)
    return float(np.mean([cv2.absdiff(a, b)[inner, inner].mean() for a, b in zip(frames, pictures, strict=True)]))


@pytest.mark.parametrize("name", FILMS)
def test_the_field_order_is_found(made, name):
    frames, _, order = FILMS[name]
    (part,) = made.parts[name]
    assert part["field_order"] == made.videos[name]["field_order"] == order
    assert part["interlaced_frames"] == (None if order == "progressive" else f"0-{len(frames)}")
    assert {clip["field_order"] for clip in made.clips if clip["video_id"] == name} == {order}
    assert made.unfit(name) == {"telecined" if order == "telecined" else None}


@pytest.mark.parametrize("name", INTERLACED)
def test_clips_show_the_pictures_of_the_first_fields(made, name):
    before, after = shares_of_combs(FILMS[name][0]).mean(), shares_of_combs(made.file(name)).mean()
    assert before > 0.03 and after < 0.005
    assert made.cuts[name]["progressive"] and made.cuts[name]["cut_method"] == "reencode"
    assert error(made.file(name), PAN[::2]) < 3 < error(made.file(name), FILMS[name][0])


@pytest.mark.parametrize("name", INTERLACED)
def test_kept_frames_have_no_combs(made, name):
    assert shares_of_combs(made.kept_frames(name)).mean() < 0.005


def flickering(film: list[np.ndarray]) -> list[np.ndarray]:
    """A film with a number in bits below: the first one is black in each other picture, and white between them."""
    shown = []
    for number, picture in enumerate(film):
        bits = (number >> np.arange(8) & 1).astype(np.uint8) * 215 + 20
        shown.append(picture.copy())
        shown[-1][120:160] = np.repeat(bits, SIZE[0] // 8)
    return shown


@pytest.mark.parametrize("kind", [(*TOP, *MPEG2), (*TOP, *H264)])
def test_what_flickers_from_field_to_field_leaves_no_combs(tmp_path, kind):
    film = flickering(PAN[:100])
    path = coded(tmp_path / "flicker.ts", woven(film), *kind)
    made = Made(tmp_path / "out", [path], "auto")
    for pictures in (made.kept_frames(path.name), made.file(path.name)):
        assert shares_of_combs(pictures).mean() < 0.006, "a black and white bit has 0.02 of the picture"
    assert error(made.file(path.name), film[::2]) < 3


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("page", [letters(SIZE, 20, 2), scenery(SIZE)])
def test_what_stands_still_keeps_all_lines(depth, page):
    picture = panned(page, SIZE, (0, 0), 1)[0]
    frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=f"yuv420p{depth}le".replace("8le", ""))
    frame.time_base = Fraction(1, 25)
    deinterlacer = Deinterlacer(frame, "tff")
    whole = [deinterlacer.add(frame) for _ in range(5)]
    for one in (*whole[2:], deinterlacer.end()):  # but for the first frame: nothing shows yet that it stands still
        assert one is not None and one.format.name == frame.format.name
        assert np.array_equal(one.to_ndarray(), frame.to_ndarray())


@pytest.mark.parametrize("name", ["film in fields.ts", "progressive.mp4"])
def test_progressive_films_keep_all_lines(made, name):
    assert error(made.file(name), WHOLE) < 2


def test_what_is_done_is_part_of_the_key_of_pictures(made, files, tmp_path):
    off = Made(tmp_path, files, "off")
    for name, (_, _, order) in FILMS.items():
        same = made.videos[name]["source_key"] == off.videos[name]["source_key"]
        assert same == (order not in ("tff", "bff") and name != "telecined.mpg") or name == "film in fields.ts", name
        assert off.videos[name]["field_order"] == order and off.unfit(name) == {None}
        assert off.cuts[name]["progressive"] == (order == "progressive" and name != "film in fields.ts"), name
    assert shares_of_combs(off.kept_frames("top.ts")).mean() > 0.03, "left as it is"
    assert shares_of_combs(off.file("top.ts")).mean() > 0.03


def test_interlaced_clips_can_be_dropped(files, tmp_path):
    drop = Made(tmp_path, files, "drop")
    reasons = {"tff": "interlaced", "bff": "interlaced", "telecined": "telecined", "progressive": None}
    for name, (_, _, order) in FILMS.items():
        assert drop.unfit(name) == {reasons[order]}


def test_clips_for_a_trainer_are_progressive(files, tmp_path):
    made = Made(tmp_path, files, "auto", fps=16, codec="h264", size={"short_side": 128, "multiple_of": 16})
    for name in INTERLACED:
        assert made.cuts[name]["progressive"] and made.cuts[name]["constant_rate"]
    assert made.cuts["film in fields.ts"]["progressive"]


def test_only_the_interlaced_scene_of_a_film_is_changed(tmp_path):
    other = panned(scenery(SIZE, "astronaut.png"), SIZE, (3, 0), 120)
    path = coded(tmp_path / "mixed.mp4", [*WHOLE, *woven(other), *WHOLE], *PLAIN, *H264, "-g", "250")
    made = Made(tmp_path / "out", [path], "auto")
    (part,) = made.parts["mixed.mp4"]
    first, end = map(int, part["interlaced_frames"].split("-"))
    assert part["field_order"] == "tff" and abs(first - 75) <= 8 and abs(end - 135) <= 8
    assert [clip["field_order"] for clip in made.clips] == ["progressive", "tff", "progressive"]
    assert [field_order_of(part, *span) for span in ((0, 75), (75, 135), (100, 104))] == ["progressive", "tff", "tff"]


def test_each_part_of_a_video_has_its_own_field_order(tmp_path):
    """Their frames are decoded by clipmill itself and handed to ffmpeg."""
    large = (384, 288)
    other = woven(panned(cv2.GaussianBlur(scenery(large), (0, 0), 1), large, (4, 0), 150), False)
    bottom = (*BOTTOM, *H264, "-x264-params", "bff=1")
    films = {"a.ts": (TOP_FIRST, (*TOP, *H264)), "b.ts": (other, bottom), "c.ts": (WHOLE, (*PLAIN, *H264))}
    pieces = [coded(tmp_path / name, film, *arguments).read_bytes() for name, (film, arguments) in films.items()]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(pieces))
    made = Made(tmp_path / "out", [path], "auto")
    assert [part["field_order"] for part in made.parts["joined.ts"]] == ["tff", "bff", "progressive"]
    files = sorted(Paths(tmp_path / "out").clip_files.rglob("*.mp4"))
    assert len(files) == 3
    for file in files:
        with av.open(str(file)) as container:
            pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert shares_of_combs(pictures).mean() < 0.005
