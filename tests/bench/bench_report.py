"""The report of a million clips: its time, its memory, the size of the page, and how fast a slider answers in Chromium.

    python tests/bench/bench_report.py [--clips 1000000] [--folder …]

All scores of all clips are there (as with `cascade: false`), drawn with a fixed seed; every video has frames and
signals, hard links of one and the same. The page is opened from disk in headless Chromium, where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(REPOSITORY / "scripts")]

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from made_report import signal_rows
from whole import ORDINARY, single_part

from clipmill import __version__
from clipmill.decode.frames import ArchiveWriter
from clipmill.decode.video import DecodePaths
from clipmill.demo import render
from clipmill.filters import columns, verdict
from clipmill.store import benchmarks, tables
from clipmill.store.benchmarks import Benchmark
from clipmill.store.layout import Paths
from default_config import SPLIT_SETTINGS

CLIPS_A_VIDEO, SHARD_CLIPS = 10, 1000
SAMPLES_A_SECOND, FPS = 2, 24
MOST_LINKS = 50_000  # to a file; file systems have their limits
CHROMIUM = "/usr/bin/chromium"
SIZES = np.array([(1920, 1080), (1280, 720), (854, 480), (1080, 1920), (640, 480)])
MOVES = 30  # of each slider that is moved
CONFIG = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
SENTENCE = (
    "a man woman dog street river walks turns slowly while camera pans left right bright light over green field small "
    "house stands near water people wearing red blue coats under grey sky"
)
WORDS = SENTENCE.split(" ")


def make_run(outdir: Path, clips: int) -> None:
    """An output folder as a run of so many clips would leave it, as far as the report looks."""
    chance = np.random.default_rng(1)
    bounds = verdict.active(CONFIG["filters"], list(columns.FILTERS))
    reasons: dict[str, int] = {}
    kept = 0
    outdir.mkdir(parents=True)
    with pq.ParquetWriter(outdir / "verdicts.parquet", tables.FINAL_VERDICTS.schema, compression="zstd") as writer:
        for first in range(0, clips, SHARD_CLIPS):
            table = _shard(chance, first, min(SHARD_CLIPS, clips - first), bounds)
            kept += sum(table["kept"].to_pylist())
            for reason in table["reason"].to_pylist():
                if reason:
                    reasons[reason] = reasons.get(reason, 0) + 1
            writer.write_table(table)
    videos = -(-clips // CLIPS_A_VIDEO)
    hours = clips * 4 / 3600
    summary = {
        "videos": {"decoded": videos, "failed": 0, "removed": 0},
        "clipmill": __version__,
        "scenes": clips,
        "clips": {"found": clips, "kept": kept},
        "dropped": reasons,
        "hours": {"videos": hours, "clips": hours, "dataset": kept * 4 / 3600},
        "errors": [],
        "settings": {step: CONFIG[step]["backend"] for step in ("text", "aesthetic", "caption", "rewrite")},
    }
    (outdir / "summary.json").write_text(json.dumps(summary))
    (outdir / "models.json").write_text("[]")
    (outdir / "errors.csv").write_text(",".join(tables.ERRORS.schema.names) + "\n")
    _frames(outdir, videos)
    for folder in ("decode", "split", "consistency", "aesthetic", "text", "filter", "caption", "rewrite", "cut"):
        for shard in range(-(-clips // SHARD_CLIPS)):
            job = Benchmark(61.5, 58.1, 0.5, 1, 512.25, True)
            benchmarks.write(Paths(outdir).benchmark(folder, f"{shard:06d}"), job)


def _video(clip: int) -> str:
    return f"video-{clip // CLIPS_A_VIDEO:07d}"


def _shard(chance: np.random.Generator, first: int, count: int, bounds: verdict.Bounds) -> pa.Table:
    numbers = range(first, first + count)
    video = np.array([number // CLIPS_A_VIDEO for number in numbers])
    width, height = SIZES[video * 7919 % len(SIZES)].T
    place = np.array([number % CLIPS_A_VIDEO for number in numbers]) * 4.0
    share = chance.random(count)
    scores = {
        "area": width * height,
        "aspect_ratio": np.round(width / height, 6),
        "bits_per_pixel": np.round(0.05 + video % 97 / 1000, 6),
        "video_seconds": np.full(count, 40.0),
        "motion": np.round(chance.lognormal(1.5, 1.2, count), 4),
        "motion_pixels": np.round(chance.lognormal(1.0, 1.2, count), 4),
        "sharpness": np.round(chance.gamma(4, 5, count), 4),
        "brightness": np.round(chance.normal(110, 35, count).clip(0, 255), 4),
        "contrast": np.round(chance.gamma(6, 9, count), 4),
        "colourfulness": np.round(chance.gamma(3, 12, count), 4),
        "border_area": np.round(np.where(share < 0.9, 0, chance.random(count) * 0.4), 4),
        "frozen_share": np.round(np.where(share < 0.8, 0, chance.random(count)), 4),
        "consistency": np.round(chance.beta(8, 2, count), 6),
        "aesthetic": np.round(chance.normal(4.6, 0.9, count), 4),
        "text_area": np.round(np.where(share < 0.6, 0, chance.beta(1, 12, count)), 6),
    }
    fps = np.array([24.0, 25.0, 29.97, 30.0])[video % 4]
    rows = []
    for at, number in enumerate(numbers):
        values = {name: column[at].item() for name, column in scores.items()}
        failure = verdict.out_of(bounds, {**values, "fps": fps[at].item()})
        reason, kept = str(failure) if failure else None, failure is None
        text = " ".join(WORDS[place] for place in chance.integers(0, len(WORDS), 60)) + "." if kept else None
        rows.append(
            {
                "clip_id": f"{_video(number)}_{at:08d}",
                "video_id": _video(number),
                "name": f"folder/{_video(number)}.mp4",
                "scene": number % CLIPS_A_VIDEO,
                "piece": 0,
                "start": place[at].item(),
                "end": place[at].item() + 4,
                "seconds": 4.0 - number % 100 / 100,
                "start_frame": int(place[at]) * FPS,
                "end_frame": (int(place[at]) + 4) * FPS,
                "width": int(width[at]),
                "height": int(height[at]),
                "fps": fps[at].item(),
                "kept": kept,
                "reason": reason,
                **values,
                "caption": text,
                "text": text,
                "cut_seconds": 4.0 - number % 100 / 100 if kept else None,
            }
        )
    return tables.FINAL_VERDICTS.from_rows(rows)


def _frames(outdir: Path, videos: int) -> None:
    """The index, and for each video the same frames and signals."""
    seconds = CLIPS_A_VIDEO * 4
    index = Paths(outdir)
    index.index.mkdir(parents=True)
    names = [_video(video * CLIPS_A_VIDEO) for video in range(videos)]
    shards = [video * CLIPS_A_VIDEO // SHARD_CLIPS for video in range(videos)]
    pq.write_table(pa.table({"video_id": names, "shard": shards}), index.videos)
    picture = render.photograph("coffee.png")
    frames = list(render.pan(picture, (910, 512), seconds, SAMPLES_A_SECOND, 10))
    cuts = range(4 * FPS, seconds * FPS, 4 * FPS)
    rows = signal_rows(seconds * FPS, FPS, dict.fromkeys(cuts, 40.0))
    _tables(outdir, names, shards, list(cuts))
    for number, (name, shard) in enumerate(zip(names, shards, strict=True)):
        paths = DecodePaths.of(outdir, f"{shard:06d}", name)
        for path in (paths.frames, paths.signals):
            path.parent.mkdir(parents=True, exist_ok=True)
        if number % MOST_LINKS == 0:
            one = paths
            archive = ArchiveWriter(one.frames, 90)
            for sample, frame in enumerate(frames):
                archive.add(sample, frame)
            archive.close("one")
            tables.SIGNALS.write(one.signals, rows)
            continue
        os.link(one.frames, paths.frames)
        os.link(one.signals, paths.signals)


def _tables(outdir: Path, names: list[str], shards: list[int], cuts: list[int]) -> None:
    """The tables of videos and transitions, shard by shard."""
    frames = CLIPS_A_VIDEO * 4 * FPS
    by_shard: dict[str, list[str]] = {}
    for name, shard in zip(names, shards, strict=True):
        by_shard.setdefault(f"{shard:06d}", []).append(name)
    index = Paths(outdir)
    index.shards.write_text("".join(f"{shard} {len(videos)}\n" for shard, videos in by_shard.items()))
    index.removed.write_text("")
    facts = {"source_key": "key", "frames": frames, "fps": FPS, "seconds": frames / FPS}
    for table in (tables.VIDEOS, tables.PARTS, tables.TRANSITIONS):
        table.of(outdir, "").parent.mkdir(parents=True)
    for shard, videos in by_shard.items():
        rows = [{"video_id": name, "name": f"{name}.mp4", **facts} for name in videos]
        tables.VIDEOS.write(tables.VIDEOS.of(outdir, shard), rows)
        tables.PARTS.write(tables.PARTS.of(outdir, shard), (single_part({**ORDINARY, **row}) for row in rows))
        found = [
            {"video_id": name, "start": cut / FPS, "end": cut / FPS, "start_frame": cut, "end_frame": cut}
            | {"kind": "cut", "strength": 0.9}
            for name in videos
            for cut in cuts
        ]
        tables.TRANSITIONS.write(tables.TRANSITIONS.of(outdir, shard), found)


def measure_report(outdir: Path) -> dict[str, float]:
    """Runs the tool as the rule does; seconds of wall and processor time, the most memory in MiB, MB of the page."""
    settings = {
        "filters": CONFIG["filters"],
        "order": list(columns.FILTERS),
        "cascade": False,
    }
    page = outdir / "report.html"
    command = [sys.executable, str(REPOSITORY / "scripts" / "report.py"), "--outdir", str(outdir)]
    command += ["--settings", json.dumps(settings), "--split", json.dumps(SPLIT_SETTINGS), "--output", str(page)]
    start = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "CLIPMILL_CONFIG": json.dumps(CONFIG)})
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the report failed: {status}")
    return {
        "seconds": time.monotonic() - start,
        "processor seconds": used.ru_utime + used.ru_stime,
        "MiB": used.ru_maxrss / 1024,
        "page, MB": page.stat().st_size / 1e6,
    }


# Moves one slider, and waits until the page is laid out again. The clock starts before the event.
MOVE = """async ([id, value]) => {
  const range = document.getElementById(id);
  const start = performance.now();
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => done()));
  document.body.getBoundingClientRect();
  const text = document.querySelector('[data-is="result"]').textContent;
  return [performance.now() - start, text];
}"""


def measure_page(page_path: Path) -> dict[str, float]:
    """Milliseconds from a slider's event to the new page, its layout included; seconds until sliders can be moved."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        start = time.monotonic()
        page.goto(page_path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        ready = time.monotonic() - start
        times, said = [], set()
        for name, end in (("motion", "min"), ("aesthetic", "min"), ("text_area", "max")):
            ends = page.locator(f"#{name}-{end}").evaluate("one => [Number(one.min), Number(one.max)]")
            for place in np.linspace(*ends, MOVES + 2)[1:-1].tolist():
                took, text = page.evaluate(MOVE, [f"{name}-{end}", place])
                times.append(took)
                said.add(text)
            page.evaluate("document.querySelector('[data-is=\"reset-all\"]').click()")
        browser.close()
    if len(said) < len(times) / 2:
        sys.exit(f"the sliders changed little: {said}")
    return {
        "slider moves": len(times),
        "ready, s": ready,
        "slider, ms, median": float(np.median(times)),
        "slider, ms, 95 %": float(np.quantile(times, 0.95)),
        "slider, ms, longest": max(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to make the run, and to find it the next time")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="clipmill-report-"))
    outdir = folder / f"{args.clips}"
    try:
        if not (outdir / "summary.json").exists():
            make_run(outdir, args.clips)
        found = measure_report(outdir)
        if Path(CHROMIUM).exists():
            found |= measure_page(outdir / "report.html")
        for name, value in found.items():
            print(f"{name:24s} {value:10.3f}")
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
