"""How far `frozen_share` is from the truth, on made films with pauses and at rates that they were not filmed at.

    python tests/bench/bench_frozen.py --seed 1 --rounds 3

Each round has one film of each scene without a pause, with one in its midst, and with one that lasts to the end. Rates
and encodings are drawn. `--code FOLDER`: the scripts of another version, to be measured on the same films.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--code", type=Path, default=TESTS.parent / "scripts")
    return parser.parse_args()


ARGUMENTS = arguments()
sys.path[:0] = [str(ARGUMENTS.code), str(TESTS), str(TESTS / "unit")]

from films import decoded, shown_at
from moving_scenes import Camera, Scene, Thing

from bench import table
from clipmill.demo import render
from clipmill.split.measured import technical_score

SIZE, SECONDS = (640, 360), 4
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png")
RATES = ((24, 24), (24, 30), (12, 24), (12.5, 30), (24, 60), (30, 30))  # filmed at, and shown at
ENCODINGS = {
    "CRF 23": {"options": {"crf": "23"}},
    "CRF 30": {"options": {"crf": "30"}},
    "HEVC, CRF 26": {"codec": "libx265", "options": {"crf": "26"}},
    "CRF 23, ultrafast": {"options": {"crf": "23", "preset": "ultrafast"}},
    "CRF 23, key frames": {"options": {"crf": "23"}, "keyframe_interval": 24},
}


def main() -> None:
    chance = np.random.default_rng(ARGUMENTS.seed)
    errors: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as folder:
        for _ in range(ARGUMENTS.rounds):
            for name, scene in scenes(chance):
                for pause in ("", "pause", "pause at the end"):
                    filmed, shown = RATES[chance.integers(len(RATES))]
                    encoding = str(chance.choice(list(ENCODINGS)))
                    frames = [*shown_at(shown, paused(list(scene.film(SECONDS, filmed)), pause, chance), filmed)]
                    render.encode(Path(folder) / "film.mp4", frames, SIZE, shown, **ENCODINGS[encoding])
                    film = decoded(Path(folder) / "film.mp4")
                    found = technical_score(film.clip(), film.signals)["frozen_share"]
                    true = np.mean([np.array_equal(*pair) for pair in zip(frames[:-1], frames[1:], strict=True)])
                    print(f"{name}, {filmed} to {shown}, {encoding}, {pause}: {true:.2f}, found {found:.2f}")
                    is_converted = "other rate" if filmed != shown else ""
                    kind = ", ".join(filter(None, [name, pause and "pause", is_converted]))
                    errors[kind].append(abs(found - true))
    rows = [(kind, len(found), float(np.mean(found)), within(found)) for kind, found in sorted(errors.items())]
    table(["films", "count", "mean error", "within 0.05"], rows)


def within(errors: Sequence[float]) -> float:
    return float(np.mean(np.array(errors) <= 0.05))


def scenes(chance: np.random.Generator) -> Iterator[tuple[str, Scene]]:
    """Of each kind one that is drawn; pixels and seconds."""

    def photograph() -> str:
        return str(chance.choice(PHOTOGRAPHS))

    def thing(side: int, low: float, high: float) -> Thing:
        return Thing("gravel.png", side, (0, 40), chance.uniform(low, high), 5)

    yield "pan by 0.3 to 1.5", Scene(photograph(), Camera(chance.uniform(0.3, 1.5), chance.uniform(-0.3, 0.3)))
    yield "pan by 2 to 5", Scene(photograph(), Camera(chance.uniform(2, 5), chance.uniform(-1, 1)))
    yield "pan by 10 to 25", Scene(photograph(), Camera(chance.uniform(10, 25), chance.uniform(-5, 5)))
    yield "pan by 40 to 80", Scene(photograph(), Camera(chance.uniform(40, 80), chance.uniform(-5, 5)))
    yield "mouth", Scene(photograph(), things=(thing(12, 8, 15),))
    yield "object", Scene(photograph(), things=(thing(60, 20, 40),))
    yield "object, noise of 3", Scene(photograph(), noise=3, things=(thing(60, 20, 40),))
    yield "pan by 15, noise of 4", Scene(photograph(), Camera(15), noise=4)
    yield "noise of 5", Scene(photograph(), noise=5)


def paused(frames: list[render.Frame], pause: str, chance: np.random.Generator) -> list[render.Frame]:
    """The frames with one of them shown for a while, of the same length."""
    if not pause:
        return frames
    count = len(frames)
    start = int(count * chance.uniform(0.25, 0.6))
    length = int(count * chance.uniform(0.25, 0.45)) if pause == "pause" else count
    return [*frames[:start], *[frames[start]] * length, *frames[start:]][:count]


if __name__ == "__main__":
    main()
