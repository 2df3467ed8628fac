"""How many transitions of made films each detector finds, and how many clips hold two shots.

    python tests/bench/bench_shots.py [--films 20] [--detectors combined content adaptive transnetv2] [--videos …]

The films are those of tests/shot_films.py: ten shots each, nine transitions of eight kinds, flashes and whip pans. Half
of them show pictures that the network of `combined` has not seen. The workflow decodes, splits and scores them with
each detector, and everything else by default, except that all clips get all scores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

from bench import snakemake, table
from clipmill.demo import render
from clipmill.store import tables
from clipmill.store.table import Table
from default_config import CONFIG
from shot_films import DISTURBANCES, KINDS, PHOTOGRAPHS, Found, ShotFilm, matches, render_film

DETECTORS = ("combined", "content", "adaptive", "transnetv2")
CONSISTENCY = CONFIG["filters"]["consistency"]["min"]
SHOTS, DISTURBED = 10, 0.4
SIZES, RATES = ((480, 270), (320, 180), (640, 360)), (24, 25, 30)
PICTURES = PHOTOGRAPHS, PHOTOGRAPHS[9:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--detectors", nargs="*", choices=DETECTORS, default=DETECTORS[:3])
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="real videos to show transitions of")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as name:
        place = Path(name)
        (place / "videos").mkdir()
        films = {f"{number}.mp4": made(number, place / "videos") for number in range(args.films)}
        for video in args.videos:
            (place / "videos" / video.name).symlink_to(video.resolve())
        columns = {}
        for detector in args.detectors:
            filtered(place, detector)
            videos = {row["name"]: row["video_id"] for row in rows(tables.VIDEOS, place)}
            found = by_video(tables.TRANSITIONS, place)
            verdicts = by_video(tables.VERDICTS, place)
            judged = Judged()
            for name, film in films.items():
                judged.add(film, found[videos[name]], verdicts[videos[name]])
            columns[detector] = judged.column()
            for video in args.videos:
                places = (f"{row['start_frame']}–{row['end_frame']} {row['kind']}" for row in found[videos[video.name]])
                print(f"{detector}, {video.name}: {', '.join(places)}", flush=True)
    table(["", *columns], [(row, *(column[row] for column in columns.values())) for row in columns[args.detectors[0]]])


def made(number: int, folder: Path) -> ShotFilm:
    """A film, encoded into `folder`."""
    pictures = PICTURES[number % len(PICTURES)]
    film = ShotFilm(f"film {number}", SIZES[number % len(SIZES)], RATES[number % len(RATES)], pictures)
    frames = render_film(film, SHOTS, KINDS, DISTURBED)
    options = {"preset": "ultrafast", "crf": "20"}
    render.encode(folder / f"{number}.mp4", frames, film.size, film.fps, options=options)
    return film


def filtered(place: Path, detector: str) -> None:
    """Run the workflow up to the filters."""
    split = f"split={{detector: {detector}, transnetv2: {{where: everywhere}}}}"
    config = [f"videos={place / 'videos'}", f"outdir={place / 'out'}", split, "cascade=False"]
    command = [*snakemake("--config", *config), "--until", "filter_clips"]
    subprocess.run(command, cwd=TESTS.parent, check=True, capture_output=True)


def rows(kind: Table[Any], place: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(kind.of(place / "out", "any").parent.glob("*.parquet")) for row in kind.rows(path)]


def by_video(kind: Table[Any], place: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {row["video_id"]: [] for row in rows(tables.VIDEOS, place)}
    for row in rows(kind, place):
        found[row["video_id"]].append(row)
    return found


class Judged:
    """What a detector made of the films."""

    def __init__(self) -> None:
        self.there, self.found, self.false = Counter[str](), Counter[str](), Counter[str]()
        self.clips: Counter[tuple[str, bool]] = Counter()  # found, or consistent too; whether of one shot
        self.seconds = 0.0
        self.consistency: dict[bool, list[float]] = {True: [], False: []}  # of clips of one shot, and of others

    def add(self, film: ShotFilm, transitions: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
        places = [(row["start_frame"], row["end_frame"]) for row in transitions]
        matched = matches(places, film)
        self.there.update(transition.kind for transition in film.transitions)
        self.found.update(film.transitions[number].kind for number in matched)
        rest = [place for number, place in enumerate(places) if number not in matched.values()]
        self.false.update(filter(None, (_cause(place, film) for place in rest)))
        for row in verdicts:
            if row["reason"] == "too_short":
                continue
            pure = film.of_one_shot(row["start_frame"], row["end_frame"])
            self.clips["found", pure] += 1
            if row["consistency"] is not None:
                self.consistency[pure].append(row["consistency"])
            if row["consistency"] is not None and row["consistency"] >= CONSISTENCY:
                self.clips["consistent", pure] += 1
                self.seconds += row["seconds"] * pure

    def column(self) -> dict[str, str]:
        """The numbers, as a column of the table."""
        hits = self.found.total()
        f1 = 2 * hits / (self.there.total() + hits + self.false.total())
        column = {kind: f"{self.found[kind]}/{self.there[kind]}" for kind in KINDS}
        column |= {f"false at a {kind}": str(self.false[kind]) for kind in DISTURBANCES}
        column |= {"false elsewhere": str(self.false["shot"]), "F1": f"{f1:.2f}"}
        for which in ("found", "consistent"):
            mixed, pure = self.clips[which, False], self.clips[which, True]
            column[f"clips {which}"] = str(mixed + pure)
            column[f"clips {which} that hold two shots"] = f"{mixed / max(1, mixed + pure):.0%}"
        column["seconds of consistent clips of one shot"] = f"{self.seconds:.0f}"
        for least in (0.3, 0.4, 0.5, 0.6):
            passed = (np.mean(np.array(self.consistency[pure]) >= least) for pure in (True, False))
            column[f"consistency ≥ {least}: clips of one shot / of two"] = " / ".join(
                f"{share:.0%}" for share in passed
            )
        return column


def _cause(place: Found, film: ShotFilm) -> str | None:
    """What a false transition was taken from: a disturbance, or the shot. None at the fades of the film's own ends."""
    start, end = place

    def near(one: Any) -> bool:
        return bool(start <= one.end + 2 and end >= one.start - 2)

    if any(map(near, film.ends)):
        return None
    return next((one.kind for one in film.disturbances if near(one)), "shot")


if __name__ == "__main__":
    main()
