"""Measures what each step costs: the rates by which a plan reckons (docs/benchmarks.md, "Rates of a plan").

    python tests/bench/bench_rates.py

Each video is looped ten times, all go into one shard, and the jobs of a dry run are called one after the other, twice
each: the second time everything is in the journal, and what is left is the start of the job. Processor time, so other
work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import REAL_VIDEOS, REPOSITORY, loop, table, videos_of
from clipmill.models.backends import AVAILABLE
from clipmill.steps import METRICS, STEPS
from clipmill.store import benchmarks, tables
from clipmill.store.layout import Paths
from default_config import CONFIG

JOB = re.compile(r'^ *(python "\$CLIPMILL_SCRIPTS".*?)>\S+ 2>&1$', re.MULTILINE | re.DOTALL)
SHARD = "000000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=REAL_VIDEOS)
    parser.add_argument("--times", type=int, default=10, help="how often each video is looped")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as folder:
        place = Path(folder)
        for video in videos_of(args.videos):
            loop(video, place / "looped" / video.stem / video.name, args.times)
        first, again = (processor_seconds(jobs(place), place) for _ in range(2))
        rows = [(step, first[step], again[step]) for step in first]
        table(["step", "seconds of a core's time", "the same with all done"], rows)
        print("\n" + ", ".join(f"{value:,} {what}" for what, value in amounts(place / "out").items()))


def jobs(place: Path) -> list[str]:
    """The shell command of each job of a dry run of everything, in their order."""
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    config = ["--config", "videos=looped", "outdir=out", "videos_per_shard=1000"]
    asked = [*snakemake, "-n", "-p", "--forceall", *config]
    plan = subprocess.run(asked, cwd=place, check=True, capture_output=True, text=True)
    commands = JOB.findall(plan.stdout + plan.stderr)
    wanted = len(STEPS) - len(METRICS) + 1 + 3  # the metrics share a job; the check, the export and the report
    assert len(commands) == wanted, plan.stdout
    return commands


def processor_seconds(commands: list[str], place: Path) -> dict[str, float]:
    """What each step takes of the processor, as it measures itself. The first metric has the start of all."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENBLAS_NUM_THREADS": "1",  # as the rules set it
        "CLIPMILL_SCRIPTS": str(REPOSITORY / "scripts"),
        "CLIPMILL_OUTDIR": "out",
        "CLIPMILL_MAX_ERROR_RATE": "0.5",
        "CLIPMILL_FETCH": json.dumps(CONFIG["fetch"]),
        "CLIPMILL_RUNTIME_SETTINGS": json.dumps({step: {} for step in AVAILABLE}),
    }
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=place, env=environment, stderr=subprocess.DEVNULL, check=True)
    files = sorted(Paths(place / "out").benchmarks.glob("*/*.tsv"), key=lambda path: path.stat().st_mtime_ns)
    return {path.parent.name: benchmarks.read(path).processor_seconds for path in files}


def amounts(outdir: Path) -> dict[str, float]:
    """Of what, and how much, there was."""
    videos = tables.VIDEOS.rows(tables.VIDEOS.of(outdir, SHARD))
    clips = tables.CLIPS.rows(tables.CLIPS.of(outdir, SHARD))
    found = {"hours of video": round(sum(video["seconds"] for video in videos) / 3600, 4)}
    found["clips"] = sum(not clip["unfit"] for clip in clips)
    for table_, column in (
        (tables.CONSISTENCY, "consistency"),
        (tables.AESTHETIC, "aesthetic"),
        (tables.TEXT_SCORES, "text_area"),
    ):
        found[f"scored for {table_.name}"] = sum(
            row[column] is not None for row in table_.rows(table_.of(outdir, SHARD))
        )
    cuts = tables.CUTS.rows(tables.CUTS.of(outdir, SHARD))
    found["kept clips"] = len(cuts)
    found["of them copied"] = sum(cut["cut_method"] == "copy" for cut in cuts)
    for folder in ("frames", "signals", "clip_files"):
        files = (outdir / "work" / folder).rglob("*")
        found[f"bytes of {folder}"] = sum(file.stat().st_size for file in files if file.is_file())
    return found


if __name__ == "__main__":
    main()
