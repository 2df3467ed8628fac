"""The page of thresholds that were learned from a person's decisions: each score, and how sure its bound is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.files import write_text
from clipmill.filters.calibrate import said
from clipmill.filters.learn import MAX, MIN
from clipmill.filters.learned import Learned, bounds_in_words, share, what_is_learned
from clipmill.report import page
from clipmill.report.scales import BINS, histogram

HERE = Path(__file__).parent
TAIL = 0.005  # share of the clips that the histogram counts in its outermost bins


def write_page(learned: Learned, output: Path) -> None:
    """Write the page to `output`, one file that needs no other."""
    names = sorted(learned.scores, key=lambda name: -_gain(learned, name))
    view = {
        "clips": len(learned.decided.kept),
        "informing": len(learned.informing),
        "sentences": what_is_learned(learned),
        "proposed": [_change(learned, name) for name in learned.proposed],
        "scores": [_score(learned, name) for name in names],
        "bins": BINS,
    }
    write_text(output, page.render(view, HERE))


def _gain(learned: Learned, name: str) -> float:
    found = learned.scores[name]
    return -2 if found.gain is None else found.gain.value + 2 * found.informs


def _change(learned: Learned, name: str) -> dict[str, str]:
    both = {"old": learned.filters.get(name, {}), "new": learned.proposed[name]}
    return {"name": name, **{key: _in_words(bound) for key, bound in both.items()}}


def _in_words(bound: Mapping[str, Any]) -> str:
    ends = [f"{side} {said(value)}" for side in (MIN, MAX) if (value := bound.get(side)) is not None]
    return ", ".join(ends) or "none"


def _score(learned: Learned, name: str) -> dict[str, Any]:
    """The card of a score."""
    found, values, kept = learned.scores[name], learned.decided.values[name], learned.decided.kept
    finite = np.isfinite(values)
    card: dict[str, Any] = {
        "name": name,
        "clips": found.clips,
        "informs": found.informs,
        "bounds": bounds_in_words(found) if found.informs else "",
        "precision": share(found.precision),
        "recall": share(found.recall),
        "kept_back": "This is looser than your bound, which stays." if name in learned.kept_back else "",
        "kept": "",
    }
    if not found.clips:
        return card
    low, high = np.quantile(values[finite], [TAIL, 1 - TAIL]).tolist()
    high = high if high > low else low + (abs(low) or 1.0)
    span = np.array([low, high])

    def place(value: float) -> float:
        return round(float(np.clip((value - low) / (high - low), 0, 1)) * BINS, 3)

    counts = [histogram(values[finite & which], span) for which in (kept, ~kept)]
    # Shares, since a person keeps more clips than it drops, or fewer.
    heights = [count / max(1, count.sum()) for count in counts]
    most = max(height.max() for height in heights)
    shown = found.bounds.values() if found.informs else ()
    fields = [(place(bound.low), place(bound.high)) for bound in shown]
    return card | {
        "low": low,
        "high": high,
        "kept": page.bars(heights[0], most),
        "dropped": page.bars(heights[1], most),
        "lines": [place(bound.value) for bound in shown],
        "fields": [{"left": left, "width": round(right - left, 3)} for left, right in fields],
    }
