"""The demo's videos: ten small files that show what the workflow finds, keeps and refuses.

`DEMO_VIDEOS` lists the content of each, so that a test can compare the workflow's findings with it.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from clipmill.base.files import atomic
from clipmill.demo import render
from clipmill.demo.render import Frame, Rate, Size

log = logging.getLogger("clipmill")

# Renders one shot, given the frame's size, the shot's seconds and the frames per second.
Look = Callable[[Size, float, Rate], Iterator[Frame]]

SUBTITLE = "Ten seconds to go. Is everyone ready?"
SLIDE = (
    "HOW A FOLDER OF VIDEOS BECOMES A DATA SET",
    "1. Every video is decoded once, from first to last frame",
    "2. Where the picture changes at once, there is a cut",
    "3. Between two cuts lies a scene, and a scene gives clips",
    "4. A clip that does not move is not worth learning from",
    "5. A clip full of letters, such as this one, is not either",
    "6. What is left gets a caption that says what is to be seen",
    "7. Clips and captions together make the training set",
)


@dataclass(frozen=True)
class Shot:
    """One shot: the frames between two cuts."""

    seconds: float
    look: Look


@dataclass(frozen=True)
class DemoVideo:
    """One file of the demo: its path below the folder, and its content.

    `sparse_from`: from this second on, every other frame is missing (variable frame rate). `broken`: only the file's
    first half is kept, and nothing can open it. `settings` go to `render.encode`.
    """

    name: str
    shots: tuple[Shot, ...]
    size: Size = (640, 360)
    fps: Rate = 24
    sparse_from: float | None = None
    broken: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> list[float]:
        """Where each shot ends, in seconds, to the frame."""
        counts = (render.frame_count(shot.seconds, self.fps) for shot in self.shots)
        return [float(count / Fraction(self.fps)) for count in itertools.accumulate(counts)]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.ends[-1]

    @property
    def cuts(self) -> list[float]:
        """Times of the hard cuts, in seconds: of each, the time of the first frame after the cut."""
        return self.ends[:-1]


def over(photograph: str, speed: float, direction: float = 0.0, zoom: float = 0.0, wobble: float = 0.0) -> Look:
    """A camera over a photograph; see `render.pan`."""

    def look(size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
        picture = render.photograph(photograph)
        return render.pan(picture, size, seconds, fps, speed, direction, zoom=zoom, wobble=wobble, name=photograph)

    return look


def motionless(photograph: str) -> Look:
    """A photograph that stands still."""
    return lambda size, seconds, fps: render.still(render.photograph(photograph), size, seconds, fps)


def slide(size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
    """A page full of text."""
    return render.still(render.text_page(SLIDE, size)[0], size, seconds, fps)


def titled(look: Look) -> Look:
    """The same shot with a subtitle."""
    return lambda size, seconds, fps: render.subtitle(look(size, seconds, fps), SUBTITLE, size)[0]


def boxed(look: Look, share: float) -> Look:
    """The same shot between black bars that cover `share` of the frame."""
    return lambda size, seconds, fps: render.letterbox(look(size, seconds, fps), share)


def dissolve(first: Look, second: Look, overlap: float) -> Look:
    """Two shots of equal length; the first fades into the second within `overlap` seconds."""

    def look(size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
        length = (seconds + overlap) / 2
        return render.fade(first(size, length, fps), second(size, length, fps), overlap, fps)

    return look


DEMO_VIDEOS = (
    DemoVideo(
        "four pictures.mp4",
        (
            Shot(5, over("coffee.png", 42, 20, zoom=0.01, wobble=3)),
            Shot(4, over("rocket.jpg", 55, 270, wobble=2)),
            Shot(6, over("motorcycle_left.png", 48, 180, zoom=0.015, wobble=2)),
            Shot(5, over("astronaut.png", 36, 250, zoom=-0.01, wobble=3)),
        ),
        settings={"audio": True},
    ),
    DemoVideo(
        "cross fade.mp4", (Shot(11, dissolve(over("chelsea.png", 40, wobble=2), over("coffee.png", 40, 90), 1.0)),)
    ),
    DemoVideo(
        "slow, medium, fast.mkv",
        (
            Shot(4, over("hubble_deep_field.jpg", 12)),
            Shot(4, over("ihc.png", 60, 45)),
            Shot(4, over("gravel.png", 220, 180)),
        ),
        fps=Fraction(30000, 1001),
    ),
    DemoVideo("nothing moves.mp4", (Shot(5, motionless("chelsea.png")),)),
    DemoVideo("lecture.mp4", (Shot(5, slide), Shot(5, titled(over("rocket.jpg", 45, 90, wobble=2))))),
    DemoVideo(
        "wide screen.mp4", (Shot(6, boxed(over("motorcycle_left.png", 50, zoom=0.01), 0.25)),), size=(640, 480), fps=25
    ),
    DemoVideo(
        "holiday/day 1/upright.mp4",
        (Shot(6, over("astronaut.png", 40, 260, wobble=6)),),
        size=(360, 640),
        fps=30,
        settings={"rotation": 270, "audio": True},
    ),
    DemoVideo(
        "holiday/day 2/in the dark.mp4",
        (Shot(6, over("coffee.png", 50, 200, wobble=4)),),
        fps=30,
        sparse_from=3.0,
        settings={"b_frames": 0},
    ),
    DemoVideo(
        # A name that breaks code that does not quote, escape or encode: dash, quotes, wildcards, a bare %, letters with
        # combining accents, an emoji and a line break.
        '-y "it\'s" {shard} 100% $HOME *[a]; caf\u0065\u0301 \N{CLAPPER BOARD}\n(2).mp4',
        (Shot(5, over("chelsea.png", 45, 160, zoom=0.02, wobble=2)),),
    ),
    DemoVideo("broken off.mp4", (Shot(4, over("ihc.png", 40)),), broken=True),
)


def render_demo_videos(folder: Path) -> None:
    """Render every video below `folder` that is not there yet. Raises SetupError without scikit-image's pictures."""
    for video in DEMO_VIDEOS:
        path = folder / video.name
        if path.exists():
            continue
        log.info("rendering %r, %.1f s", video.name, video.seconds)
        render_demo_video(video, path)


def render_demo_video(video: DemoVideo, path: Path) -> None:
    """Render one video into the file `path`, whole or not at all."""
    frames: Iterator[Frame] = itertools.chain.from_iterable(
        shot.look(video.size, shot.seconds, video.fps) for shot in video.shots
    )
    settings = {"options": {"crf": "20"}, **video.settings}
    if video.sparse_from is not None:
        total, dense = (render.frame_count(seconds, video.fps) for seconds in (video.seconds, video.sparse_from))
        kept = [number < dense or number % 2 == 0 for number in range(total)]
        settings["times"] = [Fraction(number) / video.fps for number in itertools.compress(range(total), kept)]
        frames = itertools.compress(frames, kept)
    settings.setdefault("container", render.CONTAINERS[path.suffix])
    with atomic(path) as temporary:
        render.encode(temporary, frames, video.size, video.fps, **settings)
        if video.broken:
            os.truncate(temporary, temporary.stat().st_size // 2)
