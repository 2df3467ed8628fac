"""How many overlays of made films are found, how exactly they are cut, and what is cut where there is none.

    python tests/bench/bench_overlays.py [--films 64] [--plain 96] [--seed fresh] [--keep FOLDER]

The films are those of tests/overlay_films.py. They are encoded, decoded and split as the workflow does it, with
`crop.overlays: true` and everything else by default.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

from films import SETTINGS, entry

from bench import table
from clipmill.decode.reading import FrameChoice, Frames, KeptFrames, read_signals
from clipmill.decode.video import LARGE_FRAMES, DecodePaths, decode_video
from clipmill.split.crop.rectangle import Box, even_inside, largest_between
from clipmill.split.crop.scene import CropSettings, Scenes
from overlay_films import LINES, PLAIN, OverlayFilm, PlainFilm

INSIDE, OUTSIDE = 2, 3  # pixels by which an exact cut may miss an overlay; even numbers cost one


@dataclass(frozen=True)
class Result:
    """What became of a film's overlay. `cut`: pixels by which the crop is outside of it; None if it was not found.

    `edges`: errors of the edges, in pixels outwards.
    """

    name: str
    film: str
    lines: int
    kept: int
    even: bool
    cut: float | None
    edges: tuple[float, ...]
    elsewhere: int  # boxes that are no overlay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--plain", type=int, default=96)
    parser.add_argument("--seed", default="fresh")
    parser.add_argument("--keep", type=Path, help="where films and what decode made of them stay")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as name, ProcessPoolExecutor(os.cpu_count()) as pool:
        place = args.keep or Path(name)
        found = list(pool.map(partial(overlaid, place), [f"{args.seed} {number}" for number in range(args.films)]))
        wrong = list(pool.map(partial(plain, place, args.seed), range(args.plain)))
    if args.verbose:
        for one in sorted(found, key=lambda one: (one.cut is not None, one.even)):
            print(one)
    show(found)
    cut = Counter(kind for kind, is_cut, _ in wrong if is_cut)
    print(f"\ncut without an overlay: {cut.total()} of {args.plain}: {dict(cut)}")
    if args.verbose:
        for kind, is_cut, about in wrong:
            if is_cut:
                print(kind, about)


def show(found: list[Result]) -> None:
    rows = [(str(lines), *numbers([one for one in found if one.lines == lines])) for lines in LINES]
    rows.append(("even behind", *numbers([one for one in found if one.even])))
    rows.append(("at most 10 kept frames", *numbers([one for one in found if one.kept <= 10])))
    rows.append(("all", *numbers(found)))
    table(
        ["lines", "films", "found", "exact cuts", "edges within 2 pixels", "median error, pixels", "boxes elsewhere"],
        rows,
    )


def numbers(films: list[Result]) -> tuple[str, ...]:
    hits = [one for one in films if one.cut is not None]
    edges = np.abs([edge for one in hits for edge in one.edges])
    exact = sum(-INSIDE <= one.cut <= OUTSIDE for one in hits if one.cut is not None)
    errors = (f"{(edges <= 2).mean():.0%}", f"{np.median(edges):.1f}") if hits else ("", "")
    return (str(len(films)), str(len(hits)), str(exact), *errors, str(sum(one.elsewhere for one in films)))


def overlaid(place: Path, name: str) -> Result:
    film = OverlayFilm(f"overlay {name}")
    kept, masked = split(film, place / f"overlay {name}")
    true = Box(*film.mark.box)
    boxes = [box for box in masked if _meet(box, true)]
    about = f"{film.picture}, {film.moving}, crf {film.crf}"
    rest = len(masked) - len(boxes)
    if not boxes:
        return Result(name, about, film.size[1], kept, film.even, None, (), rest)
    outer = Box(*np.array(boxes)[:, :2].min(0), *np.array(boxes)[:, 2:].max(0))
    edges = true.left - outer.left, true.top - outer.top, outer.right - true.right, outer.bottom - true.bottom
    x, y, width, height = even_inside(largest_between(Box(0, 0, *film.size), masked))
    beyond = max(x - true.right, true.left - x - width, y - true.bottom, true.top - y - height)
    return Result(
        name, about, film.size[1], kept, film.even, beyond, tuple(round(float(edge), 1) for edge in edges), rest
    )


def plain(place: Path, seed: str, number: int) -> tuple[str, bool, str]:
    kind = list(PLAIN)[number % len(PLAIN)]
    name = f"{kind} {seed} {number // len(PLAIN)}"
    film = PlainFilm(name, kind)
    _, boxes = split(film, place / name)
    return film.kind, bool(boxes), f"{name} {film.size} {boxes}"


def _meet(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def split(film: OverlayFilm | PlainFilm, place: Path) -> tuple[int, list[Box]]:
    """The number of kept frames of a film of one scene, and the boxes of what is found to be laid over it."""
    outdir = place.with_name(f"{place.name}.out")
    video_file = place.with_suffix(".mp4")
    paths = DecodePaths.of(outdir, "000000", "v", {LARGE_FRAMES})
    if not paths.signals.exists():
        for file in (paths.frames, paths.signals):
            file.parent.mkdir(parents=True, exist_ok=True)
        film.render(video_file)
        decode_video(entry(video_file), paths, SETTINGS, 1)
    signals = read_signals(outdir, "000000", "v")
    with KeptFrames(outdir, "000000") as kept:

        def chosen(start: int, end: int, count: int) -> Frames:
            span = {"video_id": "v", "start_frame": start, "end_frame": end, "seconds": 0.0}
            return kept.frames(span, FrameChoice(count=count))

        def masked(overlays: bool) -> tuple[Box, ...]:
            settings = CropSettings(borders=True, overlays=overlays, min_area=0, masks=True)
            scenes = Scenes(signals, 0, film.size, chosen, settings, lambda *span: chosen(*span).large())
            return scenes.crop(0, len(signals)).masked

        bars = masked(False)
        return len(chosen(0, len(signals), 1000)), [box for box in masked(True) if box not in bars]


if __name__ == "__main__":
    main()
