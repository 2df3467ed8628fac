"""Clips made for a trainer, read back: which frames they hold, and how many of them are copied.

    python tests/bench/bench_targets.py [--videos 40]

The workflow cuts made films of several shots, with all frame rates in use, with even and uneven times, in several
containers. Each frame carries its number. The first table says, for some rates and frame lists, how many frames of the
files are not the nearest ones in time, and how many files are not of the wanted rate and number of frames. The second
one says how many clips are copied if the rate is the source's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

from bench import snakemake, table
from clipmill.demo import render
from clipmill.shapes.rates import exact_rate

SIZE = (320, 240)
BITS = 16
RATES = [Fraction(25, 2), Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001)]
ENDINGS = ("mp4", "mkv")
SHOTS, SHOT_SECONDS = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"), (4.3, 11.2, 6.7, 7.9)
TARGETS: dict[str, dict[str, Any]] = {
    "fps 16": {"fps": 16},
    "fps 24": {"fps": 24},
    "fps 16, frames [33, 49, 81]": {"fps": 16, "frames": [33, 49, 81]},
    "fps 24, frames 8n+1": {"fps": 24, "frames": "8n+1"},
    "fps 29.97, frames 4n+1": {"fps": 29.97, "frames": "4n+1"},
}
FILTERED = ("area", "aspect_ratio", "fps", "brightness", "border_area", "frozen_share", "motion", "text_area")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as name:
        place = Path(name)
        times = {f"{number}": film(place / "videos", number) for number in range(args.videos)}
        rows = []
        for target, cut in TARGETS.items():
            clips = dataset(place, cut)
            wrong, files, frames = 0, 0, 0
            for clip in clips:
                off, good, count = judged(place / "out" / "dataset" / clip["file_path"], clip, times, cut)
                wrong, files, frames = wrong + off, files + (not good), frames + count
            rows.append((target, len(clips), frames, wrong, files))
        table(["", "clips", "frames", "frames that are not the nearest", "files of another rate or number"], rows)
        as_they_are, copied = dataset(place, {}), []
        for rate in RATES:
            found = []
            for clips in (as_they_are, dataset(place, {"fps": float(rate)})):
                own = [clip["cut_method"] for clip in clips if abs(clip["fps"] - rate) < 0.01]
                found.append(f"{own.count('copy')} of {len(own)}")
            copied.append((f"{float(rate):g}", *found))
        table(["frames per second", "copied as they are", "copied with cut.fps"], copied)


def film(folder: Path, number: int) -> np.ndarray:
    """Write a film of several shots; return the times of its frames and its end."""
    rate = RATES[number % len(RATES)]
    ending = ENDINGS[number // len(RATES) % len(ENDINGS)]
    uneven = number % 5 == 4
    path = folder / f"{number}.{ending}"
    path.parent.mkdir(exist_ok=True)
    frames = list(numbered(shots(number, rate)))
    steps = np.full(len(frames), float(1 / Fraction(rate)))
    if uneven:
        steps *= render.generator(path.name).uniform(0.6, 1.4, len(steps))
    times = np.cumsum([0, *steps])
    options = {"preset": "ultrafast" if number % 3 else "veryfast"}
    settings = {"times": times[:-1].tolist()} if uneven else {}
    render.encode(path, frames, SIZE, rate, options=options, **settings)
    return times


def shots(number: int, rate: Any) -> Iterator[np.ndarray]:
    for place, seconds in enumerate(SHOT_SECONDS):
        picture = render.photograph(SHOTS[(number + place) % len(SHOTS)])
        yield from render.pan(picture, SIZE, seconds, rate, 10 + 5 * place, 40 * number)


def numbered(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, each with its number as a bar of black and white bits."""
    for number, frame in enumerate(frames):
        frame = frame.copy()
        bits = (number >> (np.arange(SIZE[0]) * BITS // SIZE[0])) & 1
        frame[-24:] = (16 + 223 * bits)[None, :, None]
        yield frame


def number_of(frame: av.VideoFrame) -> int:
    row = frame.to_ndarray(format="gray")[-12].astype(int)
    places = ((np.arange(BITS) + 0.5) * frame.width / BITS).astype(int)
    return int(sum(int(row[place] > 128) << bit for bit, place in enumerate(places)))


def dataset(place: Path, cut: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the workflow, and return the dataset's table."""
    config = {
        "videos": str(place / "videos"),
        "outdir": str(place / "out"),
        "filters": dict.fromkeys((*FILTERED, "consistency"), {"min": None, "max": None}),
        "text_checks": {"same_text": None},
        "split": {"pieces": "exact" if "frames" in cut else "key_frames", "min_seconds": 1},
        "cut": cut,
    }
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    command = snakemake("--configfile", str(place / "config.json"))
    subprocess.run(command, cwd=TESTS.parent, check=True, stdout=subprocess.DEVNULL)
    return pq.read_table(place / "out" / "dataset" / "metadata.parquet").to_pylist()


def judged(
    path: Path, clip: dict[str, Any], times: dict[str, np.ndarray], cut: dict[str, Any]
) -> tuple[int, bool, int]:
    """Of a clip's file: how many frames are not the nearest, whether its rate and number are right, and its frames."""
    own = times[Path(clip["name"]).stem]
    rate = exact_rate(cut["fps"])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = [(frame.pts * stream.time_base, number_of(frame)) for frame in container.decode(stream)]
        exact = stream.average_rate == rate and all(time == place / rate for place, (time, _) in enumerate(shown))
    exact = exact and clip["target_frames"] in (None, len(shown))
    inside = np.arange(clip["start_frame"], clip["end_frame"])
    first = own[clip["start_frame"]] + clip["cut_start"]
    wrong = 0
    for time, number in shown:
        away = np.abs(own[inside] - first - float(time))
        wrong += number not in inside or away[number - inside[0]] > away.min() + 2e-3  # Matroska has milliseconds
    return wrong, bool(exact), len(shown)


if __name__ == "__main__":
    main()
