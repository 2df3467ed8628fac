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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

import rate_films
from bench import snakemake, table
from clipmill.shapes.rates import exact_rate
from rate_films import RATES, film, not_nearest

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
        times = dict(film(place / "videos", number) for number in range(args.videos))
        rows = []
        for target, cut in TARGETS.items():
            found = [
                judged(place / "out" / "dataset" / clip["file_path"], clip, times[clip["name"]], cut["fps"])
                for clip in dataset(place, cut)
            ]
            rows.append((target, len(found), *map(sum, zip(*found, strict=True))))
        table(["", "clips", "frames", "frames that are not the nearest", "files of another rate or number"], rows)
        as_they_are, copied = dataset(place, {}), []
        for rate in RATES:
            found = []
            for clips in (as_they_are, dataset(place, {"fps": float(rate)})):
                own = [clip["cut_method"] for clip in clips if abs(clip["fps"] - rate) < 0.01]
                found.append(f"{own.count('copy')} of {len(own)}")
            copied.append((f"{float(rate):g}", *found))
        table(["frames per second", "copied as they are", "copied with cut.fps"], copied)


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


def judged(path: Path, clip: dict[str, Any], times: np.ndarray, fps: float) -> tuple[int, int, int]:
    """Of a clip's file: its frames, those that are not the nearest, and 1 if its rate or number of frames is wrong."""
    shown, average = rate_films.read(path)
    rate = exact_rate(fps)
    even = all(time == place / rate for place, (time, _) in enumerate(shown))
    exact = even and average == rate and clip["target_frames"] in (None, len(shown))
    start = times[clip["start_frame"]] + clip["cut_start"]
    return len(shown), not_nearest(shown, times, clip["start_frame"], clip["end_frame"], start), not exact


if __name__ == "__main__":
    main()
