"""Kills at random moments, by SIGKILL, until a run has finished in spite of them; and the next one, and so on.

    python tests/bench/bench_kills.py [--videos 200] [--kills 100] [--seed 0]

Mostly all processes die at once, as with a node; else Snakemake alone or one process of a job. After each run it is
told whether all that it leaves is byte for byte what an undisturbed one leaves, and whether any item was done twice.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import psutil

sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / "workflow"),
    str(Path(__file__).resolve().parents[2] / "scripts"),
]

from runs import SETTINGS, Run, fill, whole_lines

EARLIEST, LATEST = 2, 12  # seconds after the start
LONGEST_REST = 3  # seconds that what is left of a run may live on


def kill(main: Popen, chance: random.Random) -> str:
    """Kill a part of a run, and say which."""
    victim = chance.choices(["all", "snakemake", "one process"], [6, 2, 2])[0]
    if victim == "snakemake":
        main.kill()
    elif victim == "one process" and (below := psutil.Process(main.pid).children(recursive=True)):
        chance.choice(below).kill()
    if victim != "all":
        time.sleep(chance.uniform(0, LONGEST_REST))
    return victim  # `started` kills all at its end


def disturbed(run: Run, chance: random.Random, most: int) -> Counter[str]:
    """Kill a run until it has come to its end, or `most` times; then let it finish."""
    kills: Counter[str] = Counter()
    while kills.total() < most:
        with run.started() as main:
            try:
                code = main.wait(chance.uniform(EARLIEST, LATEST))
                if code:  # of itself, and not by a kill
                    sys.exit(run.said.read_text(encoding="utf-8"))
                return kills
            except TimeoutExpired:
                kills[kill(main, chance)] += 1
    run.done()
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    settings = {**SETTINGS, "videos_per_shard": 20}
    with tempfile.TemporaryDirectory(prefix="clipmill-kills-") as folder:
        videos = Path(folder) / "videos"
        for number in range(args.videos):
            fill(videos, number)
        started = time.monotonic()
        undisturbed = Run(Path(folder) / "undisturbed", settings, str(videos))
        undisturbed.done()
        print(f"undisturbed: {time.monotonic() - started:.0f} s, {len(undisturbed.train())} clips", flush=True)
        total: Counter[str] = Counter()
        while total.total() < args.kills:
            started = time.monotonic()
            run = Run(Path(folder) / "killed", settings, str(videos))
            kills = disturbed(run, chance, args.kills - total.total())
            total += kills
            equal = run.left() == undisturbed.left()
            journals = (run.outdir / "work" / "journals").rglob("*.jsonl")
            records = [(path, json.loads(line)) for path in journals for line in whole_lines(path)]
            lines = Counter((path, record["item"], record["key"]) for path, record in records)
            twice = sum(count > 1 for count in lines.values())
            print(
                f"{dict(kills)}: {time.monotonic() - started:.0f} s, {len(run.train())} clips, "
                f"{'equal bytes' if equal else 'NOT EQUAL'}, {twice} of {len(lines)} items done twice",
                flush=True,
            )
            if not equal or twice:
                sys.exit(1)
            shutil.rmtree(run.place)
        print(f"{total.total()} kills: {dict(total)}")


if __name__ == "__main__":
    main()
