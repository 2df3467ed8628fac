"""The report in real Chromium, of made verdicts: what its thresholds recompute, and what must never happen in it."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from made_report import CONFIG, NAMES, ORDER, SCHEMA, Finished, bounds, row

from browser import IN_CHROMIUM, opened
from clipmill.config import check_config
from clipmill.filters import columns, thresholds, verdict
from clipmill.report import whatif
from clipmill.report.page import failing
from clipmill.store.layout import Paths, clip_file

pytestmark = [pytest.mark.browser, *IN_CHROMIUM]  # named here: see tests/conftest.py

FILTERS = bounds(motion=(1, 20), brightness=(20, None), consistency=(0.5, None), text_area=(None, 0.1))
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "{{ 7*7 }}",
]
NOTHING = 1e9  # a bound beyond every score
FILM = Path(__file__).resolve().parents[1] / "data" / "videos" / "bottle-detection.mp4"


def many(count: int, filters: verdict.Bounds, seed: int = 0, **more) -> list[dict]:
    """Clips with scores drawn by lot, some of them missing."""
    chance = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        scores = {
            "motion": round(float(chance.lognormal(1.5, 1.5)), 4),
            "brightness": round(float(chance.normal(60, 40)), 4),
            "consistency": round(float(chance.random()), 6),
            "text_area": round(float(chance.choice([0, 0.05, 0.1, 0.3])), 6),
        }
        scores = {name: None if chance.random() < 0.03 else value for name, value in scores.items()}
        rows.append(row(number, filters, seconds=float(chance.integers(3, 10)), **scores, **more))
    return rows


def kept(rows: list[dict], filters: verdict.Bounds) -> list[dict]:
    """What the rule of the filters keeps, one clip at a time; what was dropped for another reason stays dropped."""
    active = verdict.active(filters, [*ORDER, *columns.LATE_FILTERS])
    fixed = {"too_short", "caption failed", "cut failed", "text on many clips"}
    return [row for row in rows if row["reason"] not in fixed and verdict.out_of(active, row) is None]


def moved(filters: verdict.Bounds, name: str, end: str, value: float | None) -> verdict.Bounds:
    return filters | {name: filters[name] | {end: value}}


MOVES = [
    ("motion", "min", 3.0),
    ("motion", "min", 3.0001),
    ("motion", "min", None),
    ("motion", "max", 7.25),
    ("brightness", "max", 61.5),
    ("consistency", "min", 0.25),
    ("text_area", "max", 0.05),
    ("text_area", "max", 0.04),
    ("text_area", "max", None),
    ("text_area", "min", 0.1),
    ("motion", "min", NOTHING),
    ("motion", "max", -NOTHING),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three hundred clips, two videos with frames."""
    rows = many(300, FILTERS)
    rows[5] = row(5, FILTERS, reason="caption failed")
    rows[6] = row(6, FILTERS, reason="too_short")
    rows[7] = row(7, FILTERS, reason="cut failed")
    run = Finished(tmp_path_factory.mktemp("made"), FILTERS, rows, ["v0", "v1", "v30"])
    run.add_shots("v1", 300, 12, {60: 60.0, 120: 18.0, 200: 29.0})
    run.report()
    for entry in rows:
        if entry["kept"] and entry["video_id"] in ("v0", "v1"):
            file = Paths(run.outdir).dataset_clips / clip_file(entry["video_id"], entry["clip_id"])
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(FILM, file)
    return run


def test_any_threshold_gives_what_the_filters_give(made):
    with opened(made.outdir / "report.html") as page:
        assert page.kept == len(kept(made.rows, FILTERS)) > 30
        filters = FILTERS
        for name, end, value in MOVES:
            filters = moved(filters, name, end, value)
            page.set(name, end, value)
            found = kept(made.rows, filters)
            assert (page.kept, page.unknown) == (len(found), 0), (name, end, value)
            hours = sum(row["cut_seconds"] or row["seconds"] for row in found) / 3600
            said = page.page.locator('[data-stage="files"] [data-is="hours"]').text_content()
            assert float(said) == pytest.approx(hours, abs=0.00051)
            if name != "text_area" or end == "min":  # some add up
                page.put_back()
                filters = FILTERS
        assert page.kept == len(kept(made.rows, FILTERS)) and page.yaml is None
        assert page.told == []


def test_every_stage_of_the_funnel_follows(made):
    with opened(made.outdir / "report.html") as page:
        filters = moved(moved(FILTERS, "motion", "min", 4.0), "consistency", "min", None)
        page.set("motion", "min", 4.0)
        page.set("consistency", "min", None)
        judged = [row for row in made.rows if row["reason"] != "too_short"]
        for stage in ("brightness", "motion", "text_area"):
            upto = ORDER[: ORDER.index(stage) + 1]
            active = verdict.active(filters, upto)
            assert page.number(stage) == sum(verdict.out_of(active, row) is None for row in judged)
        for name in ("consistency", "alignment"):  # without a bound, and without a score
            assert not page.page.locator(f'[data-stage="{name}"]').is_visible()
        page.set("aesthetic", "max", 6.0)
        assert page.page.locator('[data-stage="aesthetic"]').is_visible()


def test_the_page_says_what_to_write_into_the_config(made):
    with opened(made.outdir / "report.html") as page:
        page.type("motion", "min", "2.5")
        page.type("motion", "max", "")
        page.set("aesthetic", "min", 1e-7)
        assert page.yaml == {"filters": {"motion": {"min": 2.5, "max": None}, "aesthetic": {"min": 1e-7}}}
        page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.page.locator('[data-is="copy"]').click()
        page.page.wait_for_function("document.querySelector('[data-is=copied]').textContent === 'copied'")
        assert (
            page.page.evaluate("navigator.clipboard.readText()") == page.page.locator("[data-is=yaml]").text_content()
        )
        page.page.locator('[data-filter="motion"] [data-is="reset"]').click()
        page.settle()
        assert page.yaml == {"filters": {"aesthetic": {"min": 1e-7}}}


def test_what_is_let_in_would_still_have_to_be_captioned(made):
    with opened(made.outdir / "report.html") as page:
        assert not page.page.locator('[data-is="dock"]').is_visible()
        page.set("motion", "min", 0.5)
        new = len(kept(made.rows, moved(FILTERS, "motion", "min", 0.5))) - len(kept(made.rows, FILTERS))
        assert new > 0 and f"{new} would still have to be captioned" in page.text("result")
        page.set("motion", "min", 5.0)
        assert "captioned" not in page.text("result")


def said_of(rows: list[dict], filters: verdict.Bounds, name: str) -> str:
    """What the card of a filter says of these clips."""
    active = verdict.active(filters, [*ORDER, *columns.LATE_FILTERS])
    judged = [entry for entry in rows if entry["reason"] != "too_short"]
    fail = [entry for entry in judged if verdict.out_of({name: active[name]}, entry)]
    rest = {other: bound for other, bound in active.items() if other != name}
    otherwise = ("caption failed", "cut failed")
    alone = [one for one in fail if verdict.out_of(rest, one) is None and one["reason"] not in otherwise]
    return failing(len(fail), len(alone), 0)


def test_all_that_is_shown_follows_the_thresholds(made):
    with opened(made.outdir / "report.html") as page:
        card, headline = page.page.locator("#filter-motion"), page.page.locator("h1")
        said, scores = page.text("headline"), card.locator(".strip .score").all_text_contents()
        before = page.states()
        assert before["kept"] > 10 and before["out"] > 10 and before["unknown"] == 0
        assert card.locator('[data-is="fails"]').inner_text() == said_of(made.rows, FILTERS, "motion")
        filters = moved(FILTERS, "motion", "min", 4.0)
        page.set("motion", "min", 4.0)
        assert headline.inner_text() == f"{len(kept(made.rows, filters))} of 300 clips would be kept"
        for name in ("motion", "consistency"):
            sentence = page.page.locator(f'#filter-{name} [data-is="fails"]').inner_text()
            assert sentence == said_of(made.rows, filters, name)
        below, above = (
            [float(one) for one in strip.locator(".score").all_text_contents()]
            for strip in card.locator("details", has_text="at least 4").locator(".strip").all()
        )
        known = sorted(entry["motion"] for entry in made.rows if entry["motion"] is not None)
        assert below == sorted(below) and above == sorted(above) and max(below) < 4 <= min(above)
        assert len(below) == len(above) == 6 and max(below) == pytest.approx(max(one for one in known if one < 4), 1e-3)
        page.set("motion", "min", NOTHING)
        assert page.states()["kept"] == 0
        page.put_back()
        assert page.states() == before and page.text("headline") == said
        assert card.locator(".strip .score").all_text_contents() == scores


def test_the_address_keeps_the_thresholds_and_what_is_listed(made):
    with opened(made.outdir / "report.html") as page:
        page.set("motion", "min", 4.0)
        page.set("motion", "max", None)
        link = page.page.locator("#filter-motion [data-fails]")
        judged = [entry["motion"] for entry in made.rows if entry["reason"] != "too_short"]
        count = sum(motion is None or motion < 4 for motion in judged)
        assert link.inner_text() == f"See {count} clips that fail it."
        link.click()
        assert page.text("listed") == f"24 of {count}"
        found = page.kept
        page.reload()
        assert page.page.url.endswith("#clips&motion-min=4&motion-max=&show=motion")
        assert (page.kept, page.text("listed")) == (found, f"24 of {count}")
        assert page.yaml == {"filters": {"motion": {"min": 4, "max": None}}}
        listed = page.page.locator('[data-is="sheet"] figure')
        page.page.locator('[data-is="more"]').click()
        assert listed.locator("visible=true").count() == count
        page.put_back()
        page.reload()
        assert page.yaml is None and page.page.url.endswith("#clips&show=motion")
        page.page.locator('nav a[href="#yaml"]').or_(page.page.locator('a[href="#run"]')).first.click()
        page.page.wait_for_timeout(400)
        assert page.page.url.endswith("#run&show=motion")
    address = (made.outdir / "report.html").as_uri() + "#x=1&motion-min=no&brightness-min=30&nothing-max=2"
    with opened(made.outdir / "report.html", address=address) as page:
        assert page.yaml == {"filters": {"brightness": {"min": 30}}} and page.told == []


def test_every_clip_of_a_small_run_is_there_and_its_picture_once(made):
    html = (made.outdir / "report.html").read_text(encoding="utf-8")
    numbers = re.findall(r'data-picture="(\d+)"', html)
    assert sorted(map(int, numbers)) == list(range(300)) and "All 300 clips of the run are here." in html
    sides = html.partition('id="shots"')[2].count("data:image")
    moving = html.count('data-moving="data:image')
    with opened(made.outdir / "report.html") as page:
        assert page.page.locator("#clips img").count() + moving + sides == html.count("data:image")
        assert page.text("listed") == "24 of 300" and moving > 3
        page.page.locator('[data-is="show"]').select_option("other reasons")
        assert page.page.locator('[data-is="sheet"] .why >> visible=true').all_text_contents() == [
            "caption failed", "too_short", "cut failed"
        ]  # fmt: skip
        faded = "all => all.filter((one) => getComputedStyle(one).opacity !== '1').length"
        assert page.page.eval_on_selector_all('[data-now="out"] :is(.frame, img)', faded) == 0


def test_of_a_large_run_the_page_says_how_many_clips_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["clipmill.report.collect"], "MOST_SHOWN", 50)
    rows = many(900, FILTERS)
    rows[40] = row(40, FILTERS, reason="duplicate", duplicate_of="v60_180", duplicate_group="v60_180")
    rows[180] = row(180, FILTERS)
    with opened(Finished(tmp_path, FILTERS, rows).report(drops=True, calibrates=True)) as page:
        text = page.page.locator("#clips").inner_text()
        count = page.page.locator('[data-is="sheet"] figure').count()
        assert 100 < count < 200 and f"{count} of 900 clips are here" in text
        for name in ("brightness", "motion", "consistency", "text_area"):
            assert int(re.search(r"\d+", page.page.locator(f"#filter-{name} [data-fails]").inner_text())[0]) >= 12
        pair = page.page.locator("#copies .pair figure")
        assert [pair.nth(place).get_attribute("data-now") for place in (0, 1)] == ["kept", "out"]
        assert "video 60.mp4" in pair.first.inner_text() and "duplicate" in pair.last.inner_text()
        assert "This is a sample of the videos" in page.page.locator(".hero").inner_text()


def plays(screen, kind: str | None) -> None:
    """Wait until a clip plays as `kind`."""
    selector = f'.screen[data-plays="{kind}"]' if kind else ".screen:not([data-plays])"
    screen.page.wait_for_function("([one, selector]) => one.matches(selector)", arg=[screen.element_handle(), selector])


def test_a_kept_clip_plays_from_its_file_and_a_dropped_one_from_its_frames(made):
    with opened(made.outdir / "report.html", beside=(made.outdir / "dataset").as_uri()) as page:
        shown = page.clip("kept")
        shown.hover()
        plays(shown, "video")
        assert shown.locator("video").evaluate("one => one.muted"), "the pointer passes over many clips"
        page.page.mouse.move(0, 0)
        plays(shown, None)
        shown.press("Enter")
        plays(shown, "video")
        assert shown.get_attribute("aria-pressed") == "true"
        assert not shown.locator("video").evaluate("one => one.muted")
        shown.press("Space")
        plays(shown, None)
        dropped = page.clip("out")
        dropped.hover()
        plays(dropped, "frames")
        assert dropped.locator(".plays").evaluate("one => one.decode().then(() => one.naturalWidth)") == 160
        assert page.page.locator(".plays").count() == 1 and page.told == []
        page.page.emulate_media(reduced_motion="reduce")
        page.page.mouse.move(0, 0)
        dropped.hover()
        page.page.wait_for_timeout(100)
        assert page.page.locator(".plays").count() == 0
        dropped.press("Enter")
        plays(dropped, "frames")


def test_without_the_files_beside_it_the_page_shows_no_broken_video(made):
    with opened(made.outdir / "report.html") as page:
        shown = page.clip("kept")
        shown.press("Enter")
        page.page.wait_for_timeout(200)
        assert any("/dataset/clips/" in line for line in page.told)
        assert page.page.locator("video, .plays").count() == 0 and shown.locator("img").is_visible()


def test_filters_that_drop_nothing_are_folded_into_a_line(made):
    with opened(made.outdir / "report.html") as page:
        fold = page.page.locator("details.fold")
        assert fold.count() == 1 and "4 scores without a bound: area, aspect_ratio, fps, aesthetic" in fold.inner_text()
        assert not page.page.locator("#filter-aesthetic").is_visible()
        page.page.evaluate("location.hash = 'filter-aesthetic'")
        page.page.wait_for_function("document.querySelector('#filter-aesthetic').checkVisibility()")
        marks = page.page.locator("#filter-brightness .published title").all_text_contents()
        assert marks == ["Allegro: 20 to 180"]
        assert "20 to 180 (Allegro)" in page.page.locator("#filter-brightness").inner_text()


def test_bars_are_printed(made):
    with opened(made.outdir / "report.html") as page:
        page.page.emulate_media(media="print")
        bar = page.page.locator('[data-stage="motion"] [data-is="bar"]')
        assert bar.evaluate("one => getComputedStyle(one).printColorAdjust") == "exact"
        assert bar.bounding_box()["width"] > 9


def test_pictures_show_the_middle_of_their_clips(made):
    with opened(made.outdir / "report.html") as page:
        sizes = page.widths()
        assert len(sizes) >= 1 and set(sizes) == {160}
        lost = page.page.locator(".lost").all_text_contents()
        assert lost and set(lost) == {"No picture: its frames cannot be read (bad_signals)"}


def test_shots_have_time_lines_with_a_text_and_pictures_of_both_sides(made):
    with opened(made.outdir / "report.html") as page:
        line = page.page.get_by_role("img", name="Time line of video 1.mp4")
        assert line.bounding_box()["height"] > 50 and "adaptive finds" in line.get_attribute("aria-label")
        rows = page.page.locator(".timeline ol").first.bounding_box()
        assert line.bounding_box()["height"] == pytest.approx(rows["height"], abs=1), "labels stand beside their rows"
        assert page.page.locator("#shots .pair img").count() >= 2
        assert page.told == []


def test_with_a_cascade_what_was_not_computed_is_unknown(tmp_path):
    rows = many(200, FILTERS)
    for entry in rows:
        if entry["reason"] and entry["reason"].startswith(("brightness", "motion")):
            entry |= {"consistency": None, "text_area": None, "aesthetic": None}
        elif entry["reason"] and entry["reason"].startswith("consistency"):
            entry |= {"text_area": None, "aesthetic": None}
    run = Finished(tmp_path, FILTERS, rows)
    loose = moved(FILTERS, "motion", "min", 0.1)
    with opened(run.report(cascade=True)) as page:
        now = len(kept(rows, FILTERS))
        assert (page.kept, page.unknown) == (now, 0)
        page.set("motion", "min", 0.1)
        before = verdict.active(loose, ["brightness", "motion"])
        let_in = sum(
            verdict.out_of(before, entry) is None and (entry["reason"] or "").startswith(("motion", "brightness"))
            for entry in rows
        )
        assert let_in > 3 and (page.kept, page.unknown) == (now, let_in)
        assert f"unknown: {let_in} (score not computed" in page.text("result")
        assert page.states()["unknown"] > 0
        page.set("consistency", "min", None)
        page.set("text_area", "max", None)
        assert page.unknown == 0 and page.kept > now


def test_filters_on_alignment_come_after_the_texts(tmp_path):
    filters = bounds(motion=(1, None), alignment=(0.2, None))
    chance = np.random.default_rng(4)
    rows = [row(n, filters, motion=float(n % 5), alignment=round(float(chance.random()), 4)) for n in range(100)]
    for entry in rows:
        if entry["text"] is None:
            entry["alignment"] = None
    by_person = [entry for entry in rows if entry["text"] is not None][:9]
    for entry in by_person:  # a person's text has no alignment, and no filter on it counts
        entry |= {"text_source": "reviewed", "alignment": None, "kept": True, "reason": None, "cut_seconds": 3.5}
    by_person[0] |= {"kept": False, "reason": "reviewed out", "cut_seconds": None}

    def passing(filters: verdict.Bounds) -> list[dict]:
        early = verdict.active(filters, ORDER)
        own = [entry for entry in by_person[1:] if verdict.out_of(early, entry) is None]
        others = [entry for entry in rows if entry not in by_person]
        return own + kept(others, filters)

    with opened(Finished(tmp_path, filters, rows).report()) as page:
        assert page.kept == len(passing(filters))
        page.set("alignment", "min", 0.1)
        looser = moved(filters, "alignment", "min", 0.1)
        assert page.kept == len(passing(looser))
        assert f"{page.kept - len(passing(filters))} would still have to be cut" in page.text("result")
        page.set("motion", "min", None)
        assert page.unknown == sum(entry["text"] is None for entry in rows) == 20


def test_in_coarse_steps_counts_are_exact_at_every_step(tmp_path, monkeypatch):
    """As with more than 100,000 clips: a byte a score."""
    monkeypatch.setattr(whatif, "FINE_ROWS", 100)
    rows = many(1500, FILTERS)
    run = Finished(tmp_path, FILTERS, rows)
    with opened(run.report()) as page:
        assert page.kept == len(kept(rows, FILTERS))
        page.set("motion", "min", 3.01)  # goes to the nearest step
        step = page.yaml["filters"]["motion"]["min"]
        assert step == pytest.approx(3.01, abs=1) and page.kept == len(
            kept(rows, moved(FILTERS, "motion", "min", step))
        )
        slider = page.page.locator("#consistency-min")
        slider.focus()
        seen = set()
        for _ in range(12):
            slider.press("ArrowRight")
            page.settle()
            step = page.yaml["filters"]["consistency"]["min"]
            filters = moved(
                moved(FILTERS, "motion", "min", page.yaml["filters"]["motion"]["min"]), "consistency", "min", step
            )
            assert page.kept == len(kept(rows, filters))
            seen.add(step)
        assert len(seen) == 12
        assert "steps between which nothing is known" in page.page.locator("#thresholds").inner_text()


def test_of_too_many_clips_a_sample_is_scaled_up_and_says_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr(whatif, "MOST_BYTES", 12_000)
    monkeypatch.setattr(whatif.tabulate, "__defaults__", (12_000,))
    rows = many(3000, FILTERS)
    with opened(Finished(tmp_path, FILTERS, rows).report()) as page:
        page.set("motion", "min", 3.0)
        said = page.text("result")
        found = re.search(r"kept: ≈ ([\d,]+) ± ([\d,]+)\s+of 3,000 clips, ≈ ([\d.]+) ± ([\d.]+) hours", said)
        assert found, said
        number, error = (float(part.replace(",", "")) for part in found.groups()[:2])
        true = len(kept(rows, moved(FILTERS, "motion", "min", 3.0)))
        assert 5 < error < 100 and abs(number - true) < 3 * error
        assert "random sample of" in page.page.locator("#thresholds").inner_text()


def hours(page) -> dict[str, str]:
    """Of the funnel, as the page writes them."""
    return {
        stage: page.page.locator(f'[data-stage="{stage}"] [data-is="hours"]').text_content()
        for stage in ("brightness", "motion", "text_area", "files")
    }


def test_hours_of_binned_lengths_say_that_they_are_about_right(tmp_path, monkeypatch):
    """As with more than 100,000 clips of more than 256 different lengths."""
    monkeypatch.setattr(whatif, "FINE_ROWS", 100)
    rows = [row(number, FILTERS, motion=number % 40, seconds=3 + 7 * number / 1500) for number in range(1500)]
    with opened(Finished(tmp_path, FILTERS, rows).report()) as page:
        before = hours(page)
        assert "≈" not in "".join(before.values())
        page.set("motion", "max", None)
        after = hours(page)
        assert after["brightness"] == before["brightness"]
        found = kept(rows, moved(FILTERS, "motion", "max", None))
        assert page.kept == len(found) and "≈" in page.text("result") and after["files"].startswith("≈ ")
        true = sum(entry["cut_seconds"] or entry["seconds"] for entry in found) / 3600
        assert float(after["files"].removeprefix("≈ ")) == pytest.approx(true, rel=0.005)
        page.put_back()
        assert hours(page) == before


def test_one_clip_of_an_hour_leaves_the_others_their_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr(whatif, "FINE_ROWS", 100)
    rows = [row(number, FILTERS, motion=1 + number % 2, seconds=3600 if number == 7 else 4) for number in range(1000)]
    with opened(Finished(tmp_path, FILTERS, rows).report()) as page:
        assert hours(page)["motion"] == "2.110"  # (999 · 4 + 3600) / 3600
        page.set("motion", "min", None)
        assert hours(page)["motion"] == "2.110"
        page.set("motion", "min", 2.0)
        assert hours(page)["motion"] == "1.554"
        page.set("motion", "max", 1.9)
        assert hours(page)["motion"] == "0.000"


# --- bounds that are quantiles ----------------------------------------------------------------------------------------

EARLY = bounds(motion=(1, 20), brightness=(20, None))


def quantile_of(rows: list[dict], name: str, quantile: float, filters: verdict.Bounds) -> float:
    """A quantile for a least score, of the clips that pass `filters`."""
    values = [entry[name] for entry in kept(rows, filters) if entry[name] is not None]
    return thresholds.at_quantile(np.array(values), quantile, "min")["value"]


def test_quantiles_of_other_clips_than_before_are_written_as_numbers(tmp_path):
    """With a cascade a costly score is of clips that passed what comes before it."""
    at = quantile_of(many(300, EARLY), "consistency", 0.5, EARLY)
    filters = moved(EARLY, "consistency", "min", at)
    rows = many(300, filters)
    for entry in rows:
        if (entry["reason"] or "").startswith(("brightness", "motion")):
            entry |= {"consistency": None, "text_area": None, "aesthetic": None}
    quantiles = {"consistency": {"min": "q0.5"}, "brightness": {"min": "q0.1"}}
    path = Finished(tmp_path, filters, rows).report(cascade=True, quantiles=quantiles)
    with opened(path) as page:
        assert page.yaml is None
        for name, end, value in (("motion", "min", 6.0), ("brightness", "max", 45.0)):
            page.set(name, end, value)
            assert page.yaml == {"filters": {name: {end: value}, "consistency": {"min": at}}}
            assert f"consistency: {{min: {at}}}  # min was q0.5, which would be found anew\n" in page.written
            now, early = moved(filters, name, end, value), moved(EARLY, name, end, value)
            anew = moved(now, "consistency", "min", quantile_of(rows, "consistency", 0.5, early))
            assert page.kept == len(kept(rows, now)) != len(kept(rows, anew))
            page.put_back()
        assert page.yaml is None
        page.set("consistency", "max", 0.9)
        assert page.yaml == {"filters": {"consistency": {"max": 0.9}}}, "what comes after moves no quantile"
        page.set("motion", "min", 6.0)
        assert page.yaml["filters"]["consistency"] == {"min": at, "max": 0.9}
        page.set("consistency", "min", 0.25)
        assert page.yaml["filters"]["consistency"] == {"min": 0.25, "max": 0.9} and "q0.5" not in page.written
        assert "min was q0.5 of the clips" in page.page.locator("#filter-consistency").inner_text()
        assert "q0.1" not in page.page.locator("#filter-brightness").inner_text()
    with opened(Finished(tmp_path, filters, rows).report(quantiles=quantiles)) as page:
        page.set("motion", "min", 6.0)
        assert page.yaml == {"filters": {"motion": {"min": 6.0}}}, "without a cascade all clips have the score"


def test_quantiles_of_alignment_are_of_clips_with_a_text(tmp_path):
    filters = bounds(motion=(1, None), alignment=(0.2, 0.9), alignment_margin=(-math.inf, None))
    rows = [row(n, EARLY, motion=float(n % 5), alignment=n / 50) for n in range(50)]
    quantiles = {"alignment": {"min": "q0.1", "max": "q0.9"}, "alignment_margin": {"min": "q0.1"}}
    with opened(Finished(tmp_path, filters, rows).report(quantiles=quantiles)) as page:
        page.set("alignment", "min", 0.3)
        assert page.yaml == {"filters": {"alignment": {"min": 0.3}}}
        page.set("motion", "min", 2.0)
        assert page.yaml == {"filters": {"motion": {"min": 2.0}, "alignment": {"min": 0.3, "max": 0.9}}}
        assert "# max was q0.9, which" in page.written
        page.set("alignment", "min", 0.2)
        assert "# min was q0.1, max was q0.9, which" in page.written


# --- use --------------------------------------------------------------------------------------------------------------


def test_a_slider_is_moved_by_keys(made):
    with opened(made.outdir / "report.html") as page:
        before = page.kept
        for _ in range(200):  # from the top of the page
            page.page.keyboard.press("Tab")
            if page.page.evaluate("document.activeElement.id") == "motion-min":
                break
        slider = page.page.locator("#motion-min")
        assert slider.evaluate("one => one === document.activeElement && one.matches(':focus-visible')")
        values = [1.0]
        for key in ("ArrowRight", "ArrowUp", "PageUp", "PageUp"):
            page.page.keyboard.press(key)
            values.append(page.yaml["filters"]["motion"]["min"] if page.settle() is None else None)
        assert values == sorted(set(values)) and page.kept < before
        assert slider.get_attribute("aria-valuetext") == f"{values[-1]:g}"
        page.page.keyboard.press("Home")
        page.settle()
        assert page.yaml == {"filters": {"motion": {"min": None}}}
        assert slider.get_attribute("aria-valuetext") == "no bound"


def test_dragging_a_slider_changes_the_numbers(made):
    with opened(made.outdir / "report.html") as page:
        slider = page.page.locator("#motion-min")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        y = box["y"] + box["height"] / 2
        page.page.mouse.click(box["x"] + 0.05 * box["width"], y)
        page.settle()
        value = page.yaml["filters"]["motion"]["min"]
        assert page.kept == len(kept(made.rows, moved(FILTERS, "motion", "min", value)))
        assert page.page.locator('[data-filter="motion"] input[type="number"]').first.input_value() == f"{value:g}"
        assert slider.evaluate("one => one === document.activeElement")
        page.page.mouse.move(box["x"] + 0.05 * box["width"], y)
        page.page.mouse.down()
        page.page.mouse.move(box["x"] + 0.99 * box["width"], y)
        page.page.mouse.up()
        page.settle()
        assert page.yaml["filters"]["motion"] == {"min": 20}, "a thumb does not pass the other one"
        box = slider.bounding_box()
        page.page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)
        page.settle()
        assert page.yaml["filters"]["motion"]["max"] > 20, "the nearer thumb is moved"


def test_a_slider_covers_the_scores_although_a_bound_is_far_from_them(tmp_path):
    filters = bounds(motion=(0.8, 150))
    rows = [row(number, filters, motion=round(0.16 + 0.22 * number, 2)) for number in range(22)]
    with opened(Finished(tmp_path, filters, rows).report()) as page:
        least, most = (page.page.locator(f"#motion-{end}") for end in ("min", "max"))
        least.scroll_into_view_if_needed()
        box = least.bounding_box()
        seen = []
        for part in np.linspace(0.05, 0.8, 16):
            page.page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
            page.settle()
            seen.append(page.yaml["filters"]["motion"]["min"])
            assert page.kept == len(kept(rows, moved(filters, "motion", "min", seen[-1])))
        assert seen == sorted(set(seen)) and seen[0] < 0.5 and seen[-1] > 3.5
        page.put_back()
        assert least.get_attribute("aria-valuetext") == "0.8" and most.get_attribute("aria-valuetext") == "150"
        assert "⋯ 150" in page.page.locator("#filter-motion .axis").inner_text()
        for key, value in (("ArrowRight", None), ("ArrowLeft", 150), ("ArrowLeft", pytest.approx(4.9, abs=0.3))):
            most.press(key)
            page.settle()
            assert (page.yaml or {"filters": {"motion": {"max": 150}}})["filters"]["motion"]["max"] == value
        least.press("Home")
        page.settle()
        assert page.yaml["filters"]["motion"]["min"] is None and page.kept == 22


def test_scores_that_the_run_did_not_compute_have_no_slider(tmp_path):
    rows = [row(number, FILTERS, text_static_area=0.0, text_scene_area=0.0) for number in range(9)]
    with opened(Finished(tmp_path, FILTERS, rows).report()) as page:
        assert page.page.locator("#filter-text_static_area, #filter-alignment").count() == 0
        said = page.page.locator("#thresholds").inner_text()
        assert "Not computed in this run" in said and "text_static_area, text_scene_area" in said


def test_crossed_bounds_say_that_the_config_refuses_them(made):
    with opened(made.outdir / "report.html") as page:
        page.set("motion", "min", 30.0)
        assert page.kept == 0 and "# no clip can pass: min 30 is more than max 20" in page.written
        page.set("motion", "max", 40.0)
        assert "no clip can pass" not in page.written


def test_how_to_give_the_thresholds_is_a_command(made):
    with opened(made.outdir / "report.html") as page:
        said = page.page.locator("#yaml").inner_text()
        assert "snakemake --profile profiles/local --configfile my.yaml thresholds.yaml" in said


def test_long_errors_wrap_in_a_narrow_window(made):
    with opened(made.outdir / "report.html", 400) as page:
        table = page.page.get_by_role("region", name="Errors")
        assert table.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(made, width, scheme):
    with opened(made.outdir / "report.html", width, scheme) as page:
        assert page.overflow == 0
        page.unfold()
        page.set("motion", "min", 0.5)
        assert page.overflow == 0
        small = "all => all.filter((one) => one.offsetParent && parseFloat(getComputedStyle(one).fontSize) < 10).length"
        assert page.page.eval_on_selector_all("main *", small) == 0
        assert page.page.evaluate(CONTRAST) >= 4.5
        assert page.faults() == []


# The least contrast (WCAG 2.2) of text and paper.
CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll("h1, p, th, dt, .axis, .facts, .maybe")];
  const inks = texts.map((one) => light(getComputedStyle(one).color));
  return Math.min(...inks.map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)));
}"""


def test_every_control_has_a_name_and_every_picture_a_text(made):
    with opened(made.outdir / "report.html") as page:
        nameless = "all => all.filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim())).length"
        assert page.page.eval_on_selector_all("input, button, a, summary", nameless) == 0
        assert page.page.eval_on_selector_all("img", "all => all.every((one) => one.alt)")
        levels = page.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map((one) => Number(one.tagName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:], strict=False))
        ids = page.page.eval_on_selector_all("[id]", "all => all.map((one) => one.id)")
        assert len(ids) == len(set(ids))


# --- what comes from outside ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names, captions, messages, models and settings that would like to be more than text."""
    rows = [
        row(number, FILTERS, name=word, motion=motion, caption=word, text=f"{word} {word} \u2028")
        for number, (word, motion) in enumerate((word, motion) for word in HOSTILE for motion in (0.5, 1.5))
    ]
    run = Finished(tmp_path_factory.mktemp("hostile"), FILTERS, rows)
    word = HOSTILE[0]
    (run.outdir / "models.json").write_text(
        json.dumps([{"step": word, "model": word, "revision": HOSTILE[1], "licence": HOSTILE[2]}])
    )
    (run.outdir / "errors.csv").write_text(
        f"video,video_id,clip_id,step,kind,message\n{word},,,decode,not_a_video,{word} `{word}`\n"
    )
    return run.report(config={**CONFIG, "videos": HOSTILE[2], "outdir": HOSTILE[1]})


def test_what_comes_from_outside_is_text(hostile):
    with opened(hostile) as page:
        page.set("motion", "min", 0.1)
        page.page.locator("#config summary").click()
        page.page.wait_for_timeout(200)
        text = page.page.locator("body").inner_text()
        for word in HOSTILE:
            assert word in text
        assert page.page.locator("img[src='x']").count() == 0
        assert page.page.locator("script").count() == 2
        assert page.told == []


def test_the_policy_lets_no_foreign_script_run(made):
    with opened(made.outdir / "report.html") as page:
        page.page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">')"
        )
        page.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 2'}))"
        )
        page.page.wait_for_timeout(200)
        assert page.page.title().startswith("clipmill report")
        assert len([line for line in page.told if "Content Security Policy" in line]) >= 2


def test_a_run_that_kept_nothing_has_a_report(tmp_path):
    for count in (0, 3):
        rows = [row(number, FILTERS, motion=0.1) for number in range(count)]
        with opened(Finished(tmp_path / str(count), FILTERS, rows).report()) as page:
            assert page.kept == 0 and page.told == []
            assert "No clip was kept." in page.page.locator("#clips").inner_text()


@pytest.mark.parametrize("own", [{}, {"allow": ["sdr", "pq"], "deny": ["pq"]}, {"deny": ["hlg"]}])
def test_words_are_chosen_by_boxes_as_the_filters_choose(tmp_path, own):
    filters = bounds(motion=(1, 20), transfer=own, variable_rate={"allow": [False]})
    chance = np.random.default_rng(3)
    rows = [
        row(
            number,
            filters,
            motion=float(chance.choice([0.5, 5, 30])),
            transfer=str(chance.choice(["sdr", "hlg", "pq"])),
            variable_rate=bool(chance.random() < 0.5),
        )
        for number in range(120)
    ]
    rows[7] = row(7, filters, transfer=None, variable_rate=False)
    with opened(Finished(tmp_path, filters, rows).report()) as page:
        assert page.kept == len(kept(rows, filters))
        page.unfold()
        moves = (("transfer", "hlg", True), ("variable_rate", "true", True), ("transfer", "sdr", False))
        for name, word, passes in moves:
            page.page.locator(f'[data-filter="{name}"] [data-word="{word}"]').set_checked(passes)
            page.settle()
            now = filters | page.yaml["filters"] if page.yaml else filters
            check_config({**CONFIG, "videos": "here", "filters": {**CONFIG["filters"], **now}}, SCHEMA)
            now = {name: dict.fromkeys(filters[name]) | filters[name] | now[name] for name in now}
            assert page.kept == len(kept(rows, now)), (name, word)
            assert verdict.lets_in("hlg", now["transfer"]) and verdict.lets_in(False, now["variable_rate"])
        assert not verdict.lets_in("sdr", now["transfer"]) and verdict.lets_in(True, now["variable_rate"])
        dropped = page.page.locator('[data-filter="variable_rate"] .near figure')
        assert dropped.count() > 4 and "true" in dropped.last.inner_text()
        said = page.kept
        page.reload()
        assert page.kept == said
        page.put_back()
        assert page.kept == len(kept(rows, filters)) and page.yaml is None and page.told == []


def test_every_filter_has_sliders_for_both_ends(tmp_path):
    names = [name for name in NAMES if name not in columns.WORDS]
    rows = [row(number, bounds(), **dict.fromkeys(names, 1.0 + number), width=10, height=10) for number in range(20)]
    config = {**CONFIG, "text": {**CONFIG["text"], "frames": 2}}
    with opened(Finished(tmp_path, bounds(), rows).report(config=config)) as page:
        for name in names:
            if name == "aspect_ratio":  # follows from the size
                continue
            page.set(name, "min", 11.0)
            assert page.kept == 10, name
            page.set(name, "max", 12.0)
            assert page.kept == 2, name
            page.put_back()
