"""A review page of thousands of made clips, and a scroll through it that counts cards and times frames."""

from __future__ import annotations

from pathlib import Path

from made_report import ORDER, bounds, row

from clipmill.filters.columns import WORDS
from clipmill.report import page as report_page
from clipmill.report.judge import Judge
from clipmill.review import HERE
from clipmill.review import page as page_data

FILTERS = bounds(motion=(1, 20), brightness=(20, None), transfer={"allow": ["sdr"]})
MANY = 20_000
SENTENCE = "a man in a red coat walks slowly along the river while the camera pans to the left"
# Scrolls through the whole list and a little back. Returns the most cards that were in the document, those put
# there per frame, the median and the longest frame in milliseconds, and the height of the list.
SCROLL = """async () => {
  const list = document.querySelector('[data-is="clips"]'), height = list.offsetHeight;
  const frames = [];
  let most = 0, made = 0, before = performance.now();
  const watch = new MutationObserver((changes) => { for (const one of changes) made += one.addedNodes.length; });
  watch.observe(list, { childList: true });
  const steps = 60;
  for (let step = 0; step <= steps; step++) {
    const share = step < steps / 2 ? (2 * step) / steps : 1 - (step - steps / 2) / 1500;
    scrollTo({ top: share * height, behavior: "instant" });
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - before);
    before = now;
    most = Math.max(most, list.childElementCount);
  }
  watch.disconnect();
  frames.sort((one, other) => one - other);
  return { most, made: made / steps, median: frames[steps >> 1], longest: frames[steps], height };
}"""


def many_clips(path: Path) -> Path:
    """A page of MANY kept clips with texts of sixty words, as `write_review` would make it without pictures."""
    judge = Judge(FILTERS, ORDER, cascade=False)
    one = row(0, FILTERS, transfer="sdr", **dict.fromkeys((n for n in judge.filters if n not in WORDS), 1.234567))
    words = SENTENCE.split(" ")
    rows = [
        {
            **one,
            "clip_id": f"a-video-{n // 10}_{n:012d}",
            "video_id": f"a-video-{n // 10}",
            "name": f"video {n // 10}.mp4",
        }
        | {"motion": n * 7919 % MANY + 0.5, "text": f"{n} " + " ".join(words[(n + k) % 18] for k in range(60))}
        | {"file_path": f"clips/a-video-{n // 10}/a-video-{n // 10}_{n:012d}.mp4", "split": "train"}
        for n in range(MANY)
    ]
    for entry in rows:
        entry |= dict.fromkeys(set(page_data.columns(judge, [])) - entry.keys())
    data = page_data.data(rows, [None] * MANY, ["0123456789abcdef"] * MANY, judge, [])
    view = {"total": MANY, "kept": MANY, "near": 0, "videos": 2000, "data": data | {"strips": [None] * MANY}}
    path.write_text(report_page.render(view, HERE), encoding="utf-8")
    return path
