"""Two runs side by side: what differs; in real Chromium, choosing between captions without knowing whose they are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from made_report import Finished, bounds, row

from browser import IN_CHROMIUM, opened
from clipmill.base.errors import SetupError
from clipmill.compare import write_comparison
from clipmill.compare.runs import Comparison, FinishedRun

pytestmark = [pytest.mark.browser, *IN_CHROMIUM]  # named here: see tests/conftest.py

FILTERS = bounds(motion=(1, None))
STRICTER = bounds(motion=(3, None))
SETTINGS = {"clips": 100, "seed": 0}
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)> "a" & {{ 7*7 }}'


def captions(rows: list[dict], words: str, **by_number: str) -> list[dict]:
    """The rows with other texts: `words` and the number of the clip, or those that are given."""
    return [
        {**one, "text": by_number.get(f"n{number}", f"{words} {number}.")} if one["text"] else one
        for number, one in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Thirty clips of ten videos, of which b lacks one and has another; b is stricter, and one text is the same."""
    folder = tmp_path_factory.mktemp("both")
    rows, others = ([row(n, filters, motion=float(n % 5)) for n in range(33)] for filters in (FILTERS, STRICTER))
    Finished(folder / "a", FILTERS, captions(rows[:30], "By the first", n4="The same", n8=HOSTILE), ["v1"])
    Finished(folder / "b", STRICTER, captions(others, "By the second", n4="the  SAME")[3:])
    return folder / "a", folder / "b"


def compared(both: tuple[Path, Path]) -> Comparison:
    return Comparison.of(FinishedRun.read("a", both[0]), FinishedRun.read("b", both[1]))


def test_clips_only_in_one_and_verdicts_that_differ_and_why(both):
    found = compared(both)
    assert {name: len(rows) for name, rows in found.only_in(found.a).items()} == {"video 0.mp4": 3}
    assert {name: len(rows) for name, rows in found.only_in(found.b).items()} == {"video 10.mp4": 3}
    (change,) = found.changes()
    assert (change.before, change.after) == ("kept", "motion low")
    assert change.clips == sum(n % 5 in (1, 2) for n in range(3, 30))
    assert change.examples[0]["values"] == [{"name": "motion", "a": 1.0, "b": 1.0}]


def test_captions_are_drawn_and_placed_by_the_seed(both):
    found = compared(both)
    differing, equal = found.with_two_texts()
    assert equal == 1 and len(differing) == sum(n % 5 >= 3 for n in range(3, 30)) - 1
    pairs = found.pairs(differing, 6, 1)
    assert len(pairs) == 6 and pairs == found.pairs(differing, 6, 1) != found.pairs(differing, 6, 2)
    assert [pair.row["clip_id"] for pair in found.pairs(differing, 3, 1)] == [pair.row["clip_id"] for pair in pairs[:3]]
    many = found.pairs([one for one in differing for _ in range(1)], 100, 3)
    assert {pair.left for pair in many} == {"a", "b"}
    for pair in many:
        assert pair.texts["a"].startswith(("By the first", "<script")) and pair.texts["b"].startswith("By the second")


def test_runs_without_a_clip_in_common_or_that_are_not_finished_are_refused(both, tmp_path):
    others = [{**row(n, FILTERS), "clip_id": f"other_{n}"} for n in range(3)]
    Finished(tmp_path / "c", FILTERS, others)
    with pytest.raises(
        SetupError, match=r"compare: the runs have no clip in common \(30 clips in .*a and 3 clips in .*c\)"
    ):
        write_comparison(both[0], tmp_path / "c", SETTINGS, tmp_path / "compare.html")
    with pytest.raises(SetupError, match=r"run_b: .*none has no verdicts.parquet and summary.json; name the outdir"):
        write_comparison(both[0], tmp_path / "none", SETTINGS, tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()


def test_a_run_compared_with_itself_has_nothing_to_choose_between(both, tmp_path):
    write_comparison(both[0], both[0], SETTINGS, tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "All clips in common have the same verdict." in page and 'class="card choice"' not in page


def test_choices_by_key_are_blind_kept_and_counted(both, tmp_path):
    path = tmp_path / "compare.html"
    write_comparison(*both, SETTINGS, path)
    with opened(path) as page:
        cards = page.page.locator(".choice")
        sides = cards.evaluate_all("all => all.map((one) => one.dataset.left)")
        count = len(sides)
        assert count == cards.count() > 8 and page.text("done") == "0"
        assert "a is preferred" not in page.page.locator("main").inner_text()
        # The first run's text is always the better one, but for the last two.
        for left in sides[:-2]:
            page.page.keyboard.press("ArrowLeft" if left == "a" else "2")
        page.page.keyboard.press("0")
        assert page.text("done") == str(count - 1) and page.text("tally") == ""
        assert not cards.last.locator(".said").inner_text()
        page.page.keyboard.press("u")
        page.page.keyboard.press("1" if sides[-2] == "b" else "ArrowRight")
        page.page.reload()
        page.page.wait_for_selector("html[data-ready]", state="attached")
        assert page.text("done") == str(count - 1)
        page.page.keyboard.press("0")  # the last one, where it goes on
        page.page.locator('[data-is="reveal"]').click()
        wins, of = count - 2, count - 1
        low, high = (round(100 * value) for value in wilson(wins, of))
        share = round(100 * wins / of)
        assert page.text("tally") == (
            f"a {wins}, b 1, as good 1: a is preferred in {share} % of {of} (95 %: {low} % to {high} %)"
        )
        with page.page.expect_download() as download:
            page.page.locator('[data-is="save"]').click()
        lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
        assert [line["better"] for line in lines] == ["a"] * wins + ["b", None]
        assert [line["left"] for line in lines] == sides
        assert page.page.locator("img").count() == 3 * sum(n // 3 == 1 and n % 5 >= 3 and n != 4 for n in range(30))
        assert [told for told in page.told if not told.startswith("request: blob:")] == []


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1600, "light")])
def test_the_page_fits_its_window_and_what_comes_from_outside_is_text(both, tmp_path, width, scheme):
    path = tmp_path / "compare.html"
    write_comparison(*both, SETTINGS, path)
    with opened(path, width, scheme) as page:
        assert page.overflow == 0 and page.told == []
        assert HOSTILE in page.page.locator(".side p").all_inner_texts()


def wilson(wins: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Where the true share lies: the roots of (share − p)² = z² p (1 − p) / n, found by bisection."""

    def root(low: float, high: float) -> float:
        def outside(p: float) -> float:
            return (wins / of - p) ** 2 - z * z * p * (1 - p) / of

        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if (outside(middle) > 0) == (outside(low) > 0) else (low, middle)
        return low

    found = root(0.0, wins / of), root(1.0, wins / of)
    assert all(math.isfinite(value) for value in found)
    return found
