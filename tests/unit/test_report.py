"""The numbers of the report, from made verdicts of which all is known."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from made_report import CONFIG, NAMES, ORDER, SCHEMA, Finished, bounds, row

from clipmill.base.errors import SetupError
from clipmill.config import check_config
from clipmill.filters import columns, verdict
from clipmill.filters.published import CLASSIFIERS, PUBLISHED, of_score
from clipmill.report import page, whatif
from clipmill.report.collect import Nearest, collect
from clipmill.report.costs import costs
from clipmill.report.judge import (
    BAD_FILE,
    BAD_TEXT,
    GONE_ON,
    NOT_CAPTIONED,
    NOT_CUT,
    SHORT,
    SILENT,
    SMALL,
    Judge,
    fates,
    out_of,
)
from clipmill.report.scales import BINS, GAP, histogram, nice, scale
from clipmill.texts.template import CAPTIONER

FILTERS = bounds(motion=(1, 20), brightness=(20, None), consistency=(0.5, None), text_area=(None, 0.1))
ALL = FILTERS | {"alignment": {"min": 0.2, "max": None}}


def collected(tmp_path, filters, rows, cascade=False, **options):
    run = Finished(tmp_path, filters, rows)
    return collect(run.outdir / "verdicts.parquet", Judge(filters, ORDER, cascade), **options)


def passed(found, *stages):
    amounts = found.tally.funnel()
    return [(amounts[stage][0].clips, amounts[stage][1].clips) for stage in stages]


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [(None, None), (1.0, None), (None, 3.0), (1.0, 3.0), (2.0, 2.0)])
def test_many_verdicts_at_once_are_those_of_one_at_a_time(bound):
    filters = bounds(motion=bound)
    values = np.array([math.nan, math.inf, -math.inf, 0, 1, np.nextafter(1, 0), 2, 3, np.nextafter(3, 4), 4])
    active = verdict.active(filters, ORDER)
    one_at_a_time = [verdict.out_of(active, {"motion": value}) is not None for value in values.tolist()]
    at_once = out_of(values, filters["motion"]) if active else np.zeros(len(values), bool)
    assert at_once.tolist() == one_at_a_time


def test_fates_follow_from_the_reasons():
    reasons = {
        None: GONE_ON,
        "motion low": NOT_CAPTIONED,
        "text_area missing": NOT_CAPTIONED,
        "alignment_margin missing": NOT_CUT,
        "too_short": SHORT,
        "too_few_frames": SHORT,
        "too_small": SMALL,
        "no_sound": SILENT,
        "caption failed": BAD_TEXT,
        "text too short": BAD_TEXT,
        "text on many clips": BAD_FILE,
        "cut failed": BAD_FILE,
        "reviewed out": BAD_FILE,
        "not starred": BAD_FILE,
    }
    assert fates(pa.array(reasons, pa.string())).tolist() == list(reasons.values())


def test_the_funnel_counts_what_has_passed_each_stage(tmp_path):
    rows = [
        row(0, ALL, alignment=0.3),
        row(1, ALL, alignment=0.3, brightness=10.0, motion=30.0),
        row(2, ALL, alignment=0.3, motion=0.5, consistency=0.1),
        row(3, ALL, alignment=0.3, consistency=None),
        row(4, ALL, alignment=0.3, text_area=0.2, seconds=10.0),
        row(5, ALL, alignment=0.3, reason="caption failed"),
        row(6, ALL, alignment=0.1),
        row(7, ALL, alignment=0.3, reason="cut failed"),
        row(8, ALL, reason="too_short", seconds=1.0),
    ]
    found = collected(tmp_path, ALL, rows)
    assert (found.found.clips, found.short.clips, found.judged, found.kept.clips) == (9, 1, 8, 1)
    assert found.found.seconds == 7 * 4 + 10 + 1 and found.kept.seconds == 3.5
    stages = ("area", "brightness", "motion", "consistency", "text_area", "texts", "alignment", "files")
    assert passed(found, *stages) == [(8, 0), (7, 0), (6, 0), (5, 0), (4, 0), (3, 0), (2, 0), (1, 0)]
    assert found.tally.funnel()["consistency"][0].seconds == 4 * 4 + 10
    both = found.tally.overlap()
    assert both["motion"] == {"brightness": 1, "motion": 2, "consistency": 1, "text_area": 0, "alignment": 0}
    assert both["consistency"]["consistency"] == 2
    assert found.tally.alone() == {
        "brightness": (0, 0),
        "motion": (0, 0),
        "consistency": (1, 0),
        "text_area": (1, 0),
        "alignment": (1, 0),
    }


def test_clips_that_are_too_small_for_their_files_or_lack_sound_are_not_judged(tmp_path):
    dropped = [
        row(number, ALL, reason=why) for number, why in enumerate(("too_small", "too_few_frames", "no_sound"), 1)
    ]
    found = collected(tmp_path, ALL, [row(0, ALL, alignment=0.3), *dropped])
    amounts = (found.found, found.short, found.small, found.silent, found.kept)
    assert [amount.clips for amount in amounts] == [4, 1, 1, 1, 1] and found.judged == 1
    summary = {"videos": {"decoded": 1, "failed": 0}, "hours": {"videos": 1}, "scenes": 3}
    lines = {line["label"]: (line["count"], line["seconds"]) for line in page.funnel(found, summary)}
    assert [lines[name] for name in ("long enough", "large enough", "with sound")] == [(3, 12.0), (2, 8.0), (1, 4.0)]
    assert (lines["scenes"], lines["clips"]) == ((3, None), (4, 16.0)), "hours of clips are not those of their scenes"


def test_the_mean_clip_is_as_long_as_the_chart_says(tmp_path):
    """Files of 81 frames at 16 per second last 5.0625 s, and come from 5.04 s of a video of 12.5."""
    rows = [row(number, ALL, alignment=0.3, seconds=5.04) | {"cut_seconds": 5.0625} for number in range(2)]
    found = collected(tmp_path, ALL, rows)
    assert found.kept.seconds == 2 * 5.0625
    assert found.kept_footage / found.kept.clips == pytest.approx(5.04)
    assert page.plot(found.seconds, found.fate == GONE_ON)["median"] == pytest.approx(5.04)
    assert found.trimmed == pytest.approx([-0.0225] * 2), "what the page adds up is what the run has"


def test_what_a_cascade_has_spared_is_unknown_and_never_zero(tmp_path):
    spared = {"consistency": None, "text_area": None}
    rows = [
        row(0, FILTERS),
        row(1, FILTERS, motion=0.5, **spared),
        row(2, FILTERS, consistency=0.1, text_area=None),
        row(3, FILTERS, consistency=None, text_area=None),  # a score that went wrong: no clip is kept without it
    ]
    found = collected(tmp_path, FILTERS, rows, cascade=True)
    assert found.tally.unknown() == {"brightness": 0, "motion": 0, "consistency": 1, "text_area": 3}
    assert found.tally.alone()["motion"] == (0, 1)
    assert found.tally.alone()["consistency"] == (0, 2)
    assert passed(found, "motion", "consistency", "files") == [(3, 0), (1, 0), (1, 0)]
    assert found.unknown["consistency"].tolist() == [False, True, False, False]
    without = collected(tmp_path, FILTERS, rows, cascade=False)
    assert without.tally.unknown() == {"brightness": 0, "motion": 0, "consistency": 0, "text_area": 0}


def test_the_late_scores_of_clips_without_a_text_are_unknown(tmp_path):
    rows = [row(0, ALL, alignment=0.3), row(1, ALL, motion=0.1), row(2, ALL, alignment=None)]
    found = collected(tmp_path, ALL, rows)
    assert found.unknown["alignment"].tolist() == [False, True, False]
    assert [entry["reason"] for entry in rows] == [None, "motion low", "alignment missing"]


def test_the_aspect_ratio_is_that_of_the_picture_and_not_the_rounded_one(tmp_path):
    filters = bounds(aspect_ratio=(640 / 480, None))
    found = collected(tmp_path, filters, [row(0, filters, height=480)])
    assert passed(found, "aspect_ratio") == [(1, 0)] and round(640 / 480, 6) < 640 / 480


def test_a_table_without_a_clip(tmp_path):
    found = collected(tmp_path, FILTERS, [])
    assert (found.found.clips, passed(found, "files")) == (0, [(0, 0)])


def test_of_more_clips_than_the_page_holds_a_sample_is_drawn_and_all_are_counted(tmp_path):
    rows = [row(number, FILTERS, motion=float(number)) for number in range(60)]
    found = collected(tmp_path, FILTERS, rows, most_rows=20)
    assert len(found.fate) == len(set(found.values["motion"].tolist())) == 20
    assert passed(found, "motion") == [(20, 0)] and found.found.clips == 60
    again = collected(tmp_path, FILTERS, rows, most_rows=20)
    assert again.values["motion"].tolist() == found.values["motion"].tolist()


# --- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [0, 1, 50, 5000])
def test_codes_say_exactly_what_the_scores_say(kind, count):
    chance = np.random.default_rng(3)
    values = np.round(chance.lognormal(0, 2, count), 4)
    own = scale(values, {"min": 0.8, "max": 150.0}, np.dtype(kind))
    assert own.whole == (count <= 50 or kind == np.uint16)
    assert {0.8, 150.0} <= set(own.stops.tolist()) and len(own.stops) <= 126
    codes = own.codes(values, np.zeros(count, bool), np.dtype(kind)).astype(int)
    for edge in own.stops.tolist():
        at = int(np.searchsorted(own.edges, edge))
        assert ((values >= edge) == (codes >= 2 * at + 1)).all()
        assert ((values <= edge) == (codes <= 2 * at + 1)).all()
    assert codes.max(initial=0) <= 2 * len(own.edges) <= np.iinfo(kind).max - 3


def test_missing_and_unknown_have_codes_of_their_own():
    own = scale(np.array([1.0, 2.0]), {}, np.dtype(np.uint8))
    codes = own.codes(np.array([math.nan, math.nan, math.inf, 1.0]), np.array([False, True, False, False]), np.uint8)
    assert codes.tolist()[:3] == [255, 254, 255] and codes[3] < 254


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ([], {}),
        ([3.0] * 9, {"min": 3.0}),
        ([0.0, 1e9], {}),
        ([1e-6, 2e-6], {}),
        ([1.0, 2.0], {"min": -9.0, "max": 1e300}),
        ([1.0, 2.0], {"min": 7.0, "max": 9.0}),
    ],
)
def test_stops_rise_and_reach_beyond_the_values(values, bound):
    stops = scale(np.array(values), bound, np.dtype(np.uint8)).stops
    assert (np.diff(stops) > 0).all() and len(stops) >= 3
    assert all(stops[0] < value < stops[-1] for value in [*values, *bound.values()])


def test_a_slider_is_scaled_by_the_scores_and_a_bound_far_from_them_is_a_stop_at_its_end():
    values = np.linspace(0.16, 4.8, 22)
    own = scale(values, {"min": 0.8, "max": 150.0}, np.dtype(np.uint16))
    assert 0 <= own.span[0] < 0.16 and 4.8 < own.span[1] < 5.1
    assert own.place(own.span[0]) == 0 and own.place(own.span[1]) == BINS
    assert own.place(150.0) == BINS + GAP and own.place(own.stops[-1]) == own.places[-1] == BINS + 2 * GAP
    assert np.diff(own.stops[(own.stops > 0.16) & (own.stops < 4.8)]).max() <= 0.101
    near = scale(values, {"min": 0.8, "max": 6.0}, np.dtype(np.uint16))
    assert near.span[1] > 6 and near.places.tolist() == [0, BINS]
    same = scale(np.array([1.7778, 1.7786]), {"min": 0.33, "max": 3.0}, np.dtype(np.uint16))
    assert same.span[0] < 0.33 and same.span[1] > 3
    low = scale(values + 100, {"min": 20.0, "max": 235.0}, np.dtype(np.uint8))
    assert low.places.tolist() == [-2 * GAP, -GAP, 0, BINS, BINS + GAP, BINS + 2 * GAP]
    assert [low.place(bound) for bound in (20.0, 235.0)] == [-GAP, BINS + GAP]


@pytest.mark.parametrize("end", [0, -1])
def test_a_bound_at_the_very_end_of_the_histogram_is_not_taken_for_none(end):
    values = np.linspace(0.16, 4.8, 22)
    edge = scale(values, {}, np.dtype(np.uint16)).span[end]
    stops = scale(values, {"min": edge}, np.dtype(np.uint16)).stops
    assert edge in stops and edge not in (stops[0], stops[-1])


@pytest.mark.slow
def test_scores_whose_bounds_the_config_would_refuse_get_no_slider(tmp_path):
    numbers = [name for name in NAMES[:-2] if name not in columns.WORDS]
    rows = [row(number, bounds(), **dict.fromkeys(numbers, 1.0), width=10, height=10) for number in range(3)]
    found = collected(tmp_path, bounds(), rows)
    for frames in (1, 2):
        config = {**CONFIG, "videos": "here", "text": {**CONFIG["text"], "frames": frames}}
        offered = whatif.offered(found, config)
        for name in (name for name in NAMES if name not in columns.WORDS):
            changed = {**config, "filters": {**CONFIG["filters"], name: {"min": 0, "max": None}}}
            if name in offered:
                check_config(changed, SCHEMA)
            else:
                with pytest.raises(SetupError, match=f"filters.{name}: needs"):
                    check_config(changed, SCHEMA)
        assert ("text_static_area" in offered) == (frames == 2) and "alignment" not in offered


def test_words_are_listed_without_digits(tmp_path):
    text = "A 9.6-second clip of 1980s look, an mp4, 2-year-old's toy"
    found = collected(tmp_path, FILTERS, [row(0, FILTERS, text=text) | {"text": text}])
    assert set(found.words) == {"a", "second", "clip", "of", "s", "look", "an", "mp", "year-old's", "toy"}


def test_words_of_a_template_are_not_counted(tmp_path):
    rows = [row(number, FILTERS) for number in range(3)]
    rows[1]["caption_model"] = f"{CAPTIONER}1 (measured, no model)"
    found = collected(tmp_path, FILTERS, rows)
    assert (len(found.lengths), found.worded, found.words["number"]) == (3, 2, 2)
    html = Finished(tmp_path / "all", FILTERS, [one | {"caption_model": f"{CAPTIONER}1"} for one in rows]).report()
    assert "It words measurements by a template" in html.read_text(encoding="utf-8")


def test_published_thresholds_hold_for_the_backend_that_they_were_found_with():
    found = {backend: of_score("aesthetic", {"aesthetic": backend}) for backend in ("classic", "laion", "siglip-v2.5")}
    assert {backend: [one.low for one in several] for backend, several in found.items()} == {
        "classic": [], "laion": [5, 4.8], "siglip-v2.5": [4],
    }  # fmt: skip
    assert of_score("classifier_x", {"classifier_x": "opennsfw"})
    assert not of_score("classifier_x", {"classifier_x": "onnx"})
    scores = {one.score for one in PUBLISHED if (one.low, one.high) != (None, None)}
    assert scores <= {*NAMES, CLASSIFIERS}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 0, 0), "No clip fails it."),
        ((1, 1, 0), "1 clip fails it. 1 of them fails nothing else."),
        ((11, 0, 11), "11 clips fail it. 11 of them fail no other filter whose score was computed."),
        ((5, 0, 0), "5 clips fail it. Each of them fails something else too."),
    ],
)
def test_how_many_fail_a_filter_is_said_in_sentences(counts, said):
    assert page.failing(*counts) == said


def test_backticks_are_code_and_what_stands_in_them_is_text():
    assert page.code("a <b> `<i>` `") == "a &lt;b&gt; <code>&lt;i&gt;</code> `"


def test_the_funnel_says_what_it_counts(tmp_path):
    run = Finished(tmp_path, FILTERS, [row(0, FILTERS)])
    html = run.report().read_text(encoding="utf-8")
    head = html.partition('data-is="funnel"')[2].partition("</thead>")[0]
    assert ">count<" in head and ">clips<" not in head
    assert "From 1 video and" in html and "came 1 scene;" in html


def test_steps_are_nice():
    assert [nice(value) for value in (0.0011, 0.002, 0.3, 4, 9)] == pytest.approx([0.002, 0.002, 0.5, 5, 10])


def test_a_histogram_counts_every_value():
    counts = histogram(np.array([-9.0, 0.0, 0.5, 1.0, 9.0]), np.array([0.0, 1.0]))
    assert counts.sum() == 5 and (counts[0], counts[-1], counts[BINS // 2]) == (2, 2, 1)


# --- pictures, costs, the rest ----------------------------------------------------------------------------------------


def test_the_nearest_are_of_different_videos_while_there_are_such():
    near = Nearest(10)
    values = np.array([1.0, 1.1, 1.2, 1.3, 9.0])
    near.add(values - 1, np.zeros(5), np.arange(5), np.array([0, 0, 0, 1, 2]), values)
    assert near.take(2) == [0, 3]
    assert near.take(4) == [0, 1, 3, 4]
    assert near.take(9) == [0, 1, 2, 3, 4]


def test_the_nearest_of_many_batches_are_those_of_one():
    chance = np.random.default_rng(1)
    distance, lot = chance.integers(0, 5, 500).astype(float), chance.random(500)
    one, many = Nearest(20), Nearest(20)
    columns = (distance, lot, np.arange(500), np.arange(500) % 50, distance)
    one.add(*columns)
    for first in range(0, 500, 33):
        many.add(*(column[first : first + 33] for column in columns))
    assert one.take(20) == many.take(20)


def test_time_and_memory_are_summed_over_the_jobs_of_a_rule(tmp_path):
    for folder, name, text in (
        ("decode", "0", "s\tmax_rss\tcpu_time\n10\t100\t8\n"),
        ("decode", "1", "s\tmax_rss\tcpu_time\n30\t50\t20\n"),
        ("cut", "0", "s\tmax_rss\tcpu_time\n0.01\tNA\tNA\n"),
        ("cut", "1", "s\tmax_rss\tcpu_time\n2\t30\t1\n"),
        ("caption", "0", "s\tmax_"),
        (
            "text",
            "0",
            "wall_seconds\tprocessor_seconds\tstart_seconds\tthreads\tmemory_mib\twhole\n5\t4\t0.5\t1\t70\tTrue\n",
        ),
    ):
        path = tmp_path / "benchmarks" / folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = {cost.folder: cost for cost in costs(tmp_path)}
    assert list(found) == ["decode", "text", "cut"]
    text = found["text"]
    assert (text.jobs, text.wall, text.start, text.processor, text.memory) == (1, 5, 0.5, 4, 70)
    decode = found["decode"]
    assert (decode.jobs, decode.wall, decode.longest, decode.processor, decode.memory) == (2, 40, 30, 28, 100)
    cut = found["cut"]
    assert (cut.jobs, cut.wall, cut.measured, cut.processor, cut.memory) == (2, 2.01, 1, 1, 30)
    assert costs(tmp_path / "nothing") == []


# --- lengths, of which the page has a number of 256 bins each where there are many clips ------------------------------

MANY = 200_000


def hours_and_truth(lengths: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> tuple[float, float]:
    """The sum of the chosen lengths, as the page has it and as it is."""
    bins, means, _ = whatif.binned(lengths, np.dtype(np.uint8))
    assert len(means) <= 256 and np.all(means == np.round(means))
    return float(means[bins[chosen]].sum()) / whatif.MICROSECONDS, float(lengths[chosen].sum())


@pytest.mark.parametrize(("usual", "longest"), [(4.0, 3600.0), (3.0, 10.0), (4.0, 4.0)])
def test_one_long_clip_leaves_the_others_their_lengths(usual, longest):
    lengths = np.append(np.full(100_000, usual), longest)
    bins, means, exact = whatif.binned(lengths, np.dtype(np.uint8))
    assert exact and (means[bins] == lengths * whatif.MICROSECONDS).all()


def test_lengths_that_differ_by_less_than_tables_do_are_the_same():
    lengths = np.tile([0.1 + 0.2, 0.3, 4.0 - 3.7], 1000)
    assert whatif.binned(lengths, np.dtype(np.uint8))[1:] == (np.array([300_000]), True)


@pytest.mark.parametrize("longest", [0, 3600])
def test_hours_of_bins_are_exact_in_all_and_nearly_so_of_a_part(longest):
    chance = np.random.default_rng(3)
    lengths = np.round(3 + chance.exponential(5, MANY), 6)
    lengths[0] = max(lengths[0], longest)
    assert not whatif.binned(lengths, np.dtype(np.uint8))[2]
    found, true = hours_and_truth(lengths)
    assert found == pytest.approx(true, abs=MANY * 0.5e-6)
    for part in (chance.random(MANY) < 0.5, lengths < 6, lengths >= 20):
        found, true = hours_and_truth(lengths, part)
        assert found == pytest.approx(true, rel=0.005)


def test_what_no_clip_lost_stays_nothing():
    lost = np.zeros(MANY)
    lost[: MANY // 10] = np.random.default_rng(3).random(MANY // 10)
    assert hours_and_truth(lost, lost == 0) == (0, 0)


def test_no_clips_have_no_lengths():
    bins, means, exact = whatif.binned(np.empty(0), np.dtype(np.uint8))
    assert (len(bins), len(means), exact) == (0, 0, True)


def test_what_stands_in_headers_is_not_shown():
    openai = {"base_urls": ["http://a"], "headers": {"X-Team": "a word for the server"}}
    text = page.as_yaml({**CONFIG, "caption": {**CONFIG["caption"], "openai": openai}})
    assert "X-Team" in text and "a word for the server" not in text and "http://a" in text


@pytest.mark.parametrize(
    ("size", "name"),
    [((1920, 1080), "16:9"), ((854, 480), "16:9"), ((360, 640), "9:16"), ((5, 900), "others"), ((0, 0), "others")],
)
def test_shapes_have_names(size, name):
    assert page.shape(size) == name


def test_rare_kinds_are_one_line():
    lines = page.distribution([(number, [number, 1]) for number in range(100)], str)
    assert len(lines) == page.MOST_LINES and lines[0] == {"label": "99", "found": 99, "kept": 1}
    assert sum(line["found"] for line in lines) == sum(range(100)) and lines[-1]["label"] == "89 others"


def test_numbers_as_people_read_them():
    assert [page.number(value) for value in (None, math.nan, 0.123456, 12345.6, 0.0)] == [
        "–",
        "–",
        "0.1235",
        "12,346",
        "0",
    ]
    assert [page.clock(value) for value in (0, 59.96, 61.25, 3723)] == ["0:00.0", "1:00.0", "1:01.2", "1:02:03.0"]
    assert [page.hours(3600 * value) for value in (0.03, 12.34, 1234.5)] == ["0.030", "12.3", "1,234"]
    assert [page.share(*value) for value in ((0, 0), (1, 3), (1, 1000))] == ["0 %", "33 %", "0.1 %"]


def test_the_same_run_gives_the_same_page(tmp_path):
    run = Finished(tmp_path, FILTERS, [row(number, FILTERS, motion=number / 7) for number in range(40)], ["v0", "v3"])
    assert run.report().read_bytes() == run.report().read_bytes()
