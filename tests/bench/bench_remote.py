"""How much longer a run takes from a bucket than from a disk, by a connection of so many bytes per second.

From the bucket it runs as by default, and with jobs of their own for fetching (`fetch.own_jobs`), whose files are kept.

    python tests/bench/bench_remote.py --videos tests/data/videos --copies 20 --rate 50e6

The server is moto's, on this machine. So it and the slow connection take processor time that a real server would not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
from bucket_server import bucket_server, environment, fill
from slow_proxy import slow_proxy

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def run(place: Path, videos: str, own_jobs: bool, args: argparse.Namespace) -> tuple[float, float]:
    """Wall and processor seconds of a whole run. `own_jobs`: whether fetching has jobs of its own."""
    place.mkdir()
    config = {
        "videos": videos,
        "outdir": "out",
        "videos_per_shard": args.videos_per_shard,
        "text_checks": {"same_text": None},
        "fetch": {"own_jobs": own_jobs, "keep": own_jobs},
    }
    (place / "my.json").write_text(json.dumps(config))
    before, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [*SNAKEMAKE, "--configfile", "my.json", "--cores", str(args.cores)]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return time.monotonic() - before, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=ROOT / "tests" / "data" / "videos")
    parser.add_argument("--copies", type=int, default=20, help="of each video, under names of their own")
    parser.add_argument("--rate", type=float, default=50e6, help="bytes per second")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--videos-per-shard", type=json.loads, default=1000)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--together", action="store_true", help="all kinds at once: other work slows them alike")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, bucket_server() as url:
        place, files = Path(temporary), sorted(path for path in args.videos.iterdir() if path.is_file())
        local = place / "videos"
        local.mkdir()
        for number in range(args.copies):
            for file in files:
                # An appended free box makes each copy a file of its own.
                end = (
                    (8).to_bytes(4, "big") + b"free" + (8 + 4).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")
                )
                (local / f"{file.stem}-{number}{file.suffix}").write_bytes(file.read_bytes() + end)
        bucket = "s3://films/raw"
        fill(url, "films", {f"raw/{path.name}": path for path in local.iterdir()})
        size = sum(path.stat().st_size for path in local.iterdir())
        print(f"{len(list(local.iterdir()))} videos, {size / 1e6:.0f} MB, {args.rate / 1e6:.0f} MB/s", flush=True)
        with slow_proxy(url, args.rate) as proxy:
            os.environ.update(environment(proxy.url))
            kinds = {"disk": (str(local), False), "bucket": (bucket, False), "own jobs": (bucket, True)}
            for number in range(args.times):
                if args.together:
                    with ThreadPoolExecutor(len(kinds)) as pool:
                        jobs = {
                            kind: pool.submit(run, place / f"{kind} {number}", *kinds[kind], args) for kind in kinds
                        }
                        print(", ".join(f"{kind} {job.result()[0]:.1f} s" for kind, job in jobs.items()), flush=True)
                    continue
                for kind in kinds:
                    sent = proxy.sent
                    wall, processor = run(place / f"{kind} {number}", *kinds[kind], args)
                    came = (proxy.sent - sent) / 1e6
                    print(f"{kind:8} {wall:7.1f} s, {processor:6.1f} s of processor, {came:6.0f} MB came", flush=True)


if __name__ == "__main__":
    main()
