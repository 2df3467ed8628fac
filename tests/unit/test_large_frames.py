"""Large pictures beside the kept frames: for which videos they are made, and what they are good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import SETTINGS, Film, entry, panned, written

from clipmill.base.opencv import cv2
from clipmill.decode.frames import FrameArchive, member
from clipmill.decode.part_pictures import has_large
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.decode.shard import decode_shard
from clipmill.decode.video import LARGE_FRAMES
from clipmill.demo.render import Frame, Rate, Size
from clipmill.split.crop.overlays import place_again
from clipmill.split.crop.rectangle import Box
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store.layout import Paths
from default_config import CONFIG, SPLIT_SETTINGS

pytestmark = pytest.mark.slow

SHARD = "000000"
SMALL_KEPT = replace(SETTINGS, sample_short_side=50)


def decoded_shard(folder: Path, films: dict[str, Film], extras: tuple[str, ...]) -> list:
    for name, film in films.items():
        if not (folder / f"{name}.mp4").exists():
            film.render(folder / f"{name}.mp4")
    videos = [entry(folder / f"{name}.mp4", name) for name in films]
    return decode_shard(videos, folder / "out", SHARD, SMALL_KEPT, 1, 1.0, extras)[0]


def pictures(folder: Path, name: str) -> dict[str, bytes]:
    """The kept frames of a video as they are stored."""
    with FrameArchive(Paths(folder / "out").frames(SHARD, name)) as archive:
        return {member(sample): archive.data(sample) for sample in range(2)}


def large_pictures(folder: Path, name: str) -> list[np.ndarray]:
    span = {"video_id": name, "start_frame": 0, "end_frame": 24, "seconds": 1.0}
    with KeptFrames(folder / "out", SHARD) as kept:
        return kept.frames(span, FrameChoice()).large()


def test_only_videos_twice_as_large_as_kept_frames_have_them():
    assert has_large((1920, 1080), 512) and has_large((1080, 1920), 512) and has_large((1024, 1024), 512)
    assert not has_large((1280, 720), 512) and not has_large((1920, 1023), 512)


def test_they_are_made_once_they_are_wanted_and_change_nothing_else(tmp_path):
    films = {"small": Film(panned(), size=(160, 90)), "large": Film(panned(), size=(240, 136))}
    rows = decoded_shard(tmp_path, films, ())
    before, kept = written(tmp_path), pictures(tmp_path, "large")
    assert large_pictures(tmp_path, "large") == []
    assert decoded_shard(tmp_path, films, (LARGE_FRAMES,)) == rows
    after = written(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {name for name in after if "large" in name}
    assert pictures(tmp_path, "large") == kept
    assert [picture.shape for picture in large_pictures(tmp_path, "large")] == [(100, 176, 3)] * 2
    assert large_pictures(tmp_path, "small") == []
    for wanted in ((LARGE_FRAMES,), ()):
        assert decoded_shard(tmp_path, films, wanted) == rows
    assert written(tmp_path) == after, "nothing is written again"


BOARD = (101, 602, 462, 679)  # left, top, right, bottom


def with_a_board(size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
    left, top, right, bottom = BOARD
    for frame in panned("motorcycle_left.png", 20, 30)(size, seconds, fps):
        shown = frame.copy()
        shown[top:bottom, left:right] = (210, 120, 30)
        cv2.putText(shown, "CHANNEL", (left + 20, bottom - 20), cv2.FONT_HERSHEY_DUPLEX, 1.5, (245, 245, 245), 3)
        yield shown


def test_clips_are_cropped_as_the_large_pictures_show(tmp_path):
    """A board of a film of 720 lines, which the large pictures show at its full size."""
    path = Film(with_a_board, 4, (1280, 720), 4).render(tmp_path / "v.mp4")
    crop = {**CONFIG["crop"], "overlays": True, "masks": True}
    split_settings = SplitSettings(**{**SPLIT_SETTINGS, "min_seconds": 1.0, "crop": crop})
    errors = []
    for extras in ((), (LARGE_FRAMES,)):
        settings = replace(SETTINGS, sample_short_side=360)
        videos, parts = decode_shard([entry(path)], tmp_path / "out", SHARD, settings, 1, 1.0, extras)
        videos = [{**video, "error_kind": None, "error": None} for video in videos]
        clip = split_shard(videos, parts, tmp_path / "out", SHARD, split_settings).clips[0]
        errors.append(np.abs(np.subtract(clip["masked"], BOARD)).max())
    assert errors[1] < min(0.5, errors[0])


def test_a_faint_board_is_not_lost_beside_its_text():
    """The text is placed by itself in the large pictures, but the board goes on to its straight edges."""
    board = np.zeros((200, 500), np.uint8)
    board[60:140, 80:420] = 8
    cv2.putText(board, "CHANNEL", (130, 120), cv2.FONT_HERSHEY_DUPLEX, 1.5, 150, 3)
    frames = [np.repeat((60 + light + board)[..., None], 3, 2).astype(np.uint8) for light in range(8)]
    assert place_again(frames, Box(80, 60, 420, 140)) == pytest.approx((80, 60, 420, 140), abs=1)
    without = np.where(board == 8, 0, board)
    frames = [np.repeat((60 + light + without)[..., None], 3, 2).astype(np.uint8) for light in range(8)]
    assert place_again(frames, Box(80, 60, 420, 140)).left > 120
