"""The review page of twenty thousand clips, each with a file: its size, the frames of a scroll, a search and an order.

    python tests/bench/bench_review.py

The page is opened from disk in headless Chromium. A frame is the time between two calls of requestAnimationFrame. Its
work is the processor time of the page, which other programs on the machine do not lengthen.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

import numpy as np
from many_clips import MANY, SCROLL, many_clips
from playwright.sync_api import CDPSession, Page, sync_playwright

from browser import CHROMIUM
from clipmill.demo import render

SIZE, FPS, SECONDS = (640, 360), 24, 4
MOST_LINKS = 10_000  # to a file; file systems have their limits
JUMPS = 200
JUMP = """async (share) => {
  scrollTo({ top: share * document.documentElement.scrollHeight, behavior: "instant" });
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
}"""
# Changes a field, and waits until the page shows what follows from it.
CHANGE = """async ([field, value]) => {
  const input = document.querySelector(`[data-is="${field}"]`), start = performance.now();
  input.value = value;
  input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input"));
  const before = document.querySelector('[data-is="shown"]').textContent;
  do await new Promise(requestAnimationFrame);
  while (input.tagName !== "SELECT" && document.querySelector('[data-is="shown"]').textContent === before);
  return performance.now() - start;
}"""


def clip_files(folder: Path) -> None:
    """A file for each clip; they are links to a few."""
    frames = list(render.pan(render.photograph("coffee.png"), SIZE, SECONDS, FPS, 10))
    for number in range(MANY):
        if number % MOST_LINKS == 0:
            one = folder / f"clip-{number}.mp4"
            render.encode(one, frames, SIZE, FPS)
        video = folder / "dataset" / "clips" / f"a-video-{number // 10}"
        video.mkdir(parents=True, exist_ok=True)
        os.link(one, video / f"a-video-{number // 10}_{number:012d}.mp4")


def work_of_jump(page: Page, devtools: CDPSession, share: float) -> float:
    """Processor time of the page, in ms, from a jump to another part of the list until it is drawn: no card stays."""

    def processor_seconds() -> float:
        metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"]

    before = processor_seconds()
    page.evaluate(JUMP, share)
    return 1000 * (processor_seconds() - before)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="clipmill-review-") as name, sync_playwright() as playwright:
        folder = Path(name)
        clip_files(folder)
        path = many_clips(folder / "review.html")
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        start = time.monotonic()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        found = {"clips": MANY, "page, MB": path.stat().st_size / 1e6, "ready, s": time.monotonic() - start}
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        worked = [work_of_jump(page, devtools, number / JUMPS) for number in range(JUMPS)]
        found |= {"frame: work, ms, median": float(np.median(worked)), "frame: work, ms, most": max(worked)}
        scrolls = [page.evaluate(SCROLL) for _ in range(5)]
        for name in ("most", "made", "median", "longest"):
            found[f"scroll: {name}"] = max(one[name] for one in scrolls)
        found["words, ms"] = page.evaluate(CHANGE, ["search", "1234 coat"])
        found["no words, ms"] = page.evaluate(CHANGE, ["search", ""])
        found["order, ms"] = page.evaluate(CHANGE, ["sort", "motion"])
        browser.close()
    for name, value in found.items():
        print(f"{name:24s} {value:10.2f}")


if __name__ == "__main__":
    main()
