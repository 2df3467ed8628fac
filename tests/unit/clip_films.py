"""Videos of several shots, and the frames at which the cuts lie."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pyarrow as pa
from films import Film, panned
from whole import find_transitions, video_clips

from clipmill.demo import render
from clipmill.split.settings import SplitSettings
from clipmill.store.tables import Clip, DecodedVideo
from default_config import SPLIT_SETTINGS

DEFAULT = SplitSettings(**SPLIT_SETTINGS)
CONTENT = replace(DEFAULT, detector="content", stitch=False)
PICTURES = ("coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png", "gravel.png", "motorcycle_left.png")


def shots(*seconds: float, speed: float = 25):
    """Pans over different pictures in different directions, one after the other."""

    def frames(size, _, fps):
        looks = (panned(PICTURES[n % len(PICTURES)], speed, 37 * n)(size, each, fps) for n, each in enumerate(seconds))
        return itertools.chain.from_iterable(looks)

    return frames


def dissolve(size, seconds, fps):
    halves = [panned(name)(size, seconds / 2 + 0.5, fps) for name in ("coffee.png", "chelsea.png")]
    return render.fade(*halves, 1, fps)


def uneven(count: int) -> list[float]:
    return [n / 24 + 0.3 * (n // 20) for n in range(count)]


def content_clips(video: DecodedVideo, signals: pa.Table, settings: SplitSettings) -> list[Clip]:
    """The clips between cuts of PySceneDetect's content detector."""
    return video_clips(video, signals, find_transitions(signals, 24, settings), settings)


FILMS = {
    "shots.mp4": (Film(shots(1, 2, 1.5, 0.75, 1, 1), size=(320, 180)), [24, 72, 108, 126, 150]),
    "fast.mp4": (Film(shots(1, 2, speed=100), size=(320, 180), fps=25), [25]),
    "slow.mkv": (Film(shots(1, 2, 1.5), size=(480, 270), fps=15), [15, 45]),
    "uneven.mp4": (Film(shots(1, 1, 1), size=(320, 180), settings={"times": uneven(72)}), [24, 48]),
    "dissolve.mp4": (Film(dissolve, 3, size=(320, 180)), []),
    "one shot.mp4": (Film(panned(), 2, size=(320, 180)), []),
}
