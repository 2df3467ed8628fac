"""The report of real runs: it is there, asks for nothing, and its sliders say what the workflow then does."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from runs import LAST, Run, Saved, wait_for

from browser import in_chromium, opened
from clipmill.filters.thresholds import at_quantile
from clipmill.store.review import read_review

pytestmark = pytest.mark.browser

HOSTILE = ("<script>alert(1)</script>.mp4", '"><img src=x onerror=alert(1)>.mp4')
PICTURES = ("coffee.png", "chelsea.png", "astronaut.png")
SPEEDS = (0, 3, 6, 12, 20, 30)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Fourteen videos of different speeds and sizes, two of them with names that would like to be more, one broken."""
    run = Run(tmp_path_factory.mktemp("report") / "run")
    run.settings |= {"cascade": False, "filters": {"area": {"min": None}, "motion": {"min": 5}}}
    for number, speed in enumerate(SPEEDS):
        run.video(f"{speed} a.mp4", speed=speed, picture=PICTURES[number % 3])
        run.video(f"{speed} b.mp4", speed=speed, picture=PICTURES[(number + 1) % 3], size=(96, 128))
    for name in HOSTILE:
        run.video(name)
    run.video("broken.mp4").write_bytes(b"no video")
    run.done()
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def report(run: Run) -> Path:
    return run.outdir / "report.html"


def test_a_run_makes_the_report_names_it_and_does_nothing_the_second_time(run):
    again = run.run()
    assert again.nothing_done, again.output
    (run.outdir / "benchmarks" / "cut" / "000000.tsv").write_text("s\tmax_rss\tcpu_time\n1\t1\t1\n")
    assert run.run().nothing_done
    report(run).unlink()
    outcome = run.done()
    assert outcome.jobs == {"write_report": 1}
    assert report(run).exists()
    outcome = run.done("--forcerun", "export_dataset")
    assert outcome.jobs == LAST
    assert f"report   {Path('..', 'out', 'report.html')}" in outcome.output


def test_settings_that_re_run_nothing_do_not_re_run_the_report(run):
    assert run.run(config={"resources": {"cut": {"mem_mb": 2000}}, "max_error_rate": 0.4}).nothing_done


@in_chromium
def test_the_page_loads_shows_its_pictures_and_asks_for_nothing(run):
    with opened(report(run)) as page:
        sizes = page.widths()
        assert len(sizes) > 30 and min(sizes) > 0
        assert page.page.locator(".lost").count() == 0
        text = page.page.locator("body").inner_text()
        assert all(name in text for name in HOSTILE)
        assert "decode" in text and "not_a_video" in text and "PP-OCRv6_det_small" in text and "Apache-2.0" in text
        page.page.locator("#config summary").click()
        assert "videos_per_shard: 4" in page.page.locator("#config").inner_text()
        assert page.told == [] and page.overflow == 0
    with opened(report(run), beside=(run.outdir / "dataset").as_uri()) as page:
        page.clip("kept").hover()
        page.page.wait_for_selector('.screen[data-plays="video"] video', state="attached")
        assert page.told == []


def moves(page) -> None:
    """Some thresholds are loosened, some made stricter, one is taken away and one is new."""
    page.set("motion", "min", 15.0)
    page.set("motion", "max", 190.0)
    page.set("consistency", "min", None)
    page.set("brightness", "max", 140.0)
    page.set("aesthetic", "min", 2.0)


@in_chromium
def test_what_the_sliders_say_is_what_the_workflow_then_keeps(run):
    found = run.verdicts()
    with opened(report(run)) as page:
        assert page.kept == sum(row["kept"] for row in found) > 4
        moves(page)
        kept, states = page.kept, page.states()
        stages = {name: page.number(name) for name in ("area", "brightness", "motion", "aesthetic", "text_area")}
        hours = page.page.locator('[data-stage="files"] [data-is="hours"]').text_content()
        changes = page.yaml
        assert (page.unknown, states["unknown"]) == (0, 0)
    outcome = run.done(config=changes)
    assert "score_clips" not in outcome.jobs and "write_report" in outcome.jobs
    after = run.verdicts()
    assert kept == sum(row["kept"] for row in after) != sum(row["kept"] for row in found)
    assert float(hours) == pytest.approx(run.summary()["hours"]["dataset"], abs=0.0006)
    with opened(report(run)) as page:
        assert page.kept == kept
        assert {name: page.number(name) for name in stages if page.number(name)} == {
            name: count for name, count in stages.items() if count
        }
        assert page.yaml is None and page.told == []


@in_chromium
def test_with_a_cascade_what_is_unknown_is_what_the_workflow_then_scores(run):
    run.settings |= {"cascade": True}
    run.done()
    before = run.verdicts()
    unscored = sum(row["consistency"] is None for row in before)
    with opened(report(run)) as page:
        assert (page.kept, page.unknown) == (sum(row["kept"] for row in before), 0)
        page.set("motion", "min", 1.0)
        page.set("motion", "max", None)
        sure, unknown, changes = page.kept, page.unknown, page.yaml
        assert f"unknown: {unknown} " in page.text("result")
    assert sure == sum(row["kept"] for row in before) and 0 < unknown <= unscored
    journals = run.written("consistency")
    run.done(config=changes)
    after = run.verdicts()
    assert sum(row["consistency"] is not None for row in after) - (len(before) - unscored) == unknown
    assert sure < sum(row["kept"] for row in after) <= sure + unknown
    assert journals["consistency"] == len(before)  # those scored without a cascade were found again


@in_chromium
def test_where_a_quantile_would_be_found_anew_its_number_keeps_what_the_page_says(run):
    run.settings |= {"cascade": True, "filters": {**run.settings["filters"], "consistency": {"min": "q0.5"}}}
    run.done()
    before = run.verdicts()
    with opened(report(run)) as page:
        assert page.kept == sum(row["kept"] for row in before)
        scored = [row for row in before if row["consistency"] is not None]
        least = sorted(row["motion"] for row in scored)[len(scored) // 2]
        page.set("motion", "min", least)
        kept, changes = page.kept, page.yaml
    at = run.summary()["thresholds"]["consistency"]["min"]["value"]
    assert changes["filters"] == {"motion": {"min": least}, "consistency": {"min": at}}
    left = np.array([row["consistency"] for row in scored if row["motion"] >= least])
    assert kept == (left >= at).sum() != (left >= at_quantile(left, 0.5, "min")["value"]).sum()
    run.done(config=changes)
    assert kept == sum(row["kept"] for row in run.verdicts())


@in_chromium
def test_missing_frames_cost_their_pictures_alone(run):
    video_id = next(row["video_id"] for row in run.verdicts() if row["name"] == "20 a.mp4")
    (archive,) = (run.outdir / "work" / "frames").rglob(f"{video_id}.zip")
    archive.unlink()
    assert run.done("--forcerun", "write_report").jobs == {"write_report": 1}
    with opened(report(run)) as page:
        lost = page.page.locator("figure.clip", has=page.page.locator(".lost"))
        assert lost.count() > 0 and set(lost.locator(".name").all_text_contents()) == {"20 a.mp4"}
        assert page.page.locator("figure.clip img").count() > 10
        assert page.told == []


@in_chromium
def test_browse_serves_the_run_and_takes_decisions_while_a_run_is_at_work_beside_it(run):
    with run.started("browse") as main:
        address = wait_for(lambda: re.search(r"http://\S+", run.said.read_text()), lambda: main.poll() is None)[0]
        beside = address.removesuffix("review.html")
        with opened(run.outdir / "review.html", 1600, "dark", address, beside) as page:
            cards = page.page.locator(".one")
            assert cards.count() == sum(row["kept"] for row in run.verdicts())
            page.page.keyboard.press(" ")
            wait_for(lambda: cards.first.locator("video").evaluate("one => !one.paused && one.currentTime > 0"))
            page.page.keyboard.press("d")
            # Requests of the page go on while Playwright waits.
            wait_for(lambda: page.page.wait_for_timeout(20) or (run.outdir / "review.jsonl").exists())
            page.page.locator('[data-set="near"]').click()
            assert "Dropped by motion: " in cards.first.inner_text()
            page.page.keyboard.press("Home")  # from the button to the clip
            page.page.keyboard.press(" ")
            wait_for(lambda: cards.first.locator("video").evaluate("one => !one.paused && one.currentTime > 0"))
            assert page.told == [] and page.overflow == 0
        outcome = run.run()
        assert outcome.nothing_done
        assert f"the decisions in {Path('..', 'out', 'review.jsonl')} are not followed" in outcome.output
        os.killpg(main.pid, signal.SIGINT)  # as Ctrl-C does
        outcome = run.ended(main)
    said = outcome.output.rstrip().rpartition("Ctrl-C ends it.")[2].strip()
    assert (outcome.code, said) == (0, f"Ended: decisions are in {Path('..', 'out', 'review.jsonl')}.")
    (decision,) = read_review(run.outdir / "review.jsonl").values()
    assert decision.decision == "drop" and decision.clip_id in {row["clip_id"] for row in run.verdicts() if row["kept"]}


def test_sigterm_ends_browse(run):
    with run.started("browse") as main:
        wait_for(lambda: "Ctrl-C ends it." in run.said.read_text(), lambda: main.poll() is None)
        main.terminate()  # the command alone, as systemd does
        outcome = run.ended(main)
    assert outcome.code == 0 and "Ended: " in outcome.output
