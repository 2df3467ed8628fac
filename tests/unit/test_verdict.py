"""Verdicts: the first reason in the configured order, and none kept that was not measured."""

from __future__ import annotations

import itertools
import random

import pytest

from clipmill.filters import columns, reasons, verdict
from clipmill.filters.shard import judge_shard
from clipmill.steps import METRICS, SCORE_TABLES
from clipmill.store import tables
from default_config import CONFIG

ORDER, FILTERS = [name for name in columns.FILTERS if name not in columns.WORDS], CONFIG["filters"]
THREE = [name for name in ORDER if columns.FILTERS[name] in ("motion", "consistency", "aesthetic", "text")]
# A clip whose scores are all fine; any score that is not named here is 1.
GOOD = {
    **dict.fromkeys(ORDER, 1.0),
    "area": 921600,
    "aspect_ratio": 16 / 9,
    "fps": 24.0,
    "video_seconds": 60.0,
    "bits_per_pixel": 0.1,
    "brightness": 110.0,
    "contrast": 50.0,
    "sharpness": 20.0,
    "colourfulness": 40.0,
    "border_area": 0.0,
    "frozen_share": 0.0,
    "motion": 12.0,
    "motion_pixels": 30.0,
    "consistency": 0.8,
    "aesthetic": 5.0,
    "text_area": 0.0,
    "text_static_area": 0.0,
    "text_scene_area": 0.0,
    "unfit": None,
}


def words(*judged) -> str | None:
    """The first reason against a clip as tables word it."""
    failure = verdict.first_failure(*judged)
    return None if failure is None else str(failure)


def bound(low=None, high=None):
    return {"min": low, "max": high}


ALL = {name: bound(value - 1, value + 1) for name, value in GOOD.items() if name != "unfit"}


def reason(filters=ALL, order=ORDER, **values):
    return words({**GOOD, **values}, verdict.active(filters, order))


def test_a_good_clip_is_kept():
    assert reason() is None
    assert reason(FILTERS) is None
    assert reason({name: bound() for name in ALL}, area=None) is None  # no filter, no reason


@pytest.mark.parametrize("name", ALL)
def test_bounds_are_inclusive(name):
    value = GOOD[name]
    for inside in (value - 1, value + 1):
        assert reason(**{name: inside}) is None
    assert reason(**{name: value - 1.0001}) == f"{name} low"
    assert reason(**{name: value + 1.0001}) == f"{name} high"
    half_open = {**ALL, name: bound(value, None)}
    assert reason(half_open, **{name: 1e12}) is None
    assert reason(half_open, **{name: value - 1e-9}) == f"{name} low"
    half_open = {**ALL, name: bound(None, value)}
    assert reason(half_open, **{name: -1e12}) is None
    assert reason(half_open, **{name: value + 1e-9}) == f"{name} high"


def test_a_bound_of_zero_is_a_bound():
    assert reason({**ALL, "text_area": bound(None, 0)}, text_area=1e-6) == "text_area high"
    assert reason({**ALL, "motion": bound(0, None)}, motion=-1e-6) == "motion low"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), "absent"])
@pytest.mark.parametrize("limits", [bound(0), bound(None, 1e9), bound(0, 1e9)])
def test_what_was_not_measured_is_not_kept(name, value, limits):
    values = {**GOOD, name: value}
    if value == "absent":
        del values[name]
    assert words(values, verdict.active({**ALL, name: limits}, ORDER)) == f"{name} missing"
    assert words(values, verdict.active({**ALL, name: bound()}, ORDER)) is None  # nobody asks for it


@pytest.mark.parametrize(
    ("allow", "deny", "passing"),
    [
        (["sdr"], None, {"sdr"}),
        (None, ["pq"], {"sdr", "hlg"}),
        (["sdr", "pq"], ["pq"], {"sdr"}),
        (["pq", "hlg"], None, {"pq", "hlg"}),
    ],
)
def test_a_filter_on_words_keeps_what_it_allows_and_does_not_deny(allow, deny, passing):
    filters = verdict.active({**ALL, "transfer": {"allow": allow, "deny": deny}}, [*ORDER, "transfer"])
    for word in ("sdr", "hlg", "pq"):
        failure = words({**GOOD, "transfer": word}, filters)
        assert failure == (None if word in passing else "transfer not allowed"), word
    assert words({**GOOD, "transfer": None}, filters) == "transfer missing"
    assert str(reasons.BY_WORDS["transfer not allowed"]) == "transfer not allowed"


def test_a_filter_on_words_without_any_is_none_and_truth_values_are_words():
    nothing = {**ALL, "transfer": {"allow": None, "deny": None}}
    assert reason(nothing, [*ORDER, "transfer"], transfer="pq") is None
    steady = {**ALL, "variable_rate": {"allow": [False], "deny": None}}
    assert reason(steady, [*ORDER, "variable_rate"], variable_rate=False) is None
    assert reason(steady, [*ORDER, "variable_rate"], variable_rate=True) == "variable_rate not allowed"


def test_too_short_comes_first():
    assert reason(unfit="too_short", area=0, motion=None) == "too_short"
    for unfit in tables.UNFIT:
        assert words({"unfit": unfit}, {}) == unfit
    assert words({"unfit": None}, {}) is None


def test_a_clip_of_a_video_that_is_too_small_for_its_file_is_dropped_before_any_filter():
    assert reason(too_small=True, area=0) == "too_small"
    assert reason(too_small=True, unfit="too_short") == "too_short"
    wanted = verdict.WantedSize("bucket", [[832, 480], [480, 832]])
    assert wanted.has_room({"width": 854, "height": 480})
    assert wanted.has_room({"width": 480, "height": 854}), "the upright bucket"
    assert not wanted.has_room({"width": 640, "height": 480})


def test_a_shard_is_judged_by_the_size_of_files_only_if_there_is_one():
    video = {"video_id": "v", "name": "v", "seconds": 1, "bits_per_pixel": 1, "changes": None, "error_kind": None}
    clips = [{"clip_id": "one", "video_id": "v", "unfit": None, "width": 64, "height": 48, "fps": 1}]

    def judged(wanted):
        (row,) = judge_shard([video], clips, {}, {}, [], wanted)
        return row["kept"], row["reason"]

    assert judged(None) == (True, None)
    assert judged(verdict.WantedSize({"short_side": 480, "multiple_of": 16}, None)) == (True, None), "never enlarged"
    assert judged(verdict.WantedSize({"short_side": 480, "multiple_of": 128}, None)) == (False, "too_small")


def test_a_clip_that_is_known_to_have_no_sound_is_dropped_only_where_it_must_have_some():
    video = {"video_id": "v", "name": "v", "seconds": 1, "bits_per_pixel": 1, "changes": None, "error_kind": None}
    heard = {"one": True, "two": False, "three": None}
    clips = [{"clip_id": name, "video_id": "v", "unfit": None, "width": 64, "height": 48, "fps": 1} for name in heard]
    scores = {"sound": [{"clip_id": name, "has_sound": has} for name, has in heard.items()]}
    for needs_sound, wanted in ((False, [None] * 3), (True, [None, "no_sound", None])):
        rows = judge_shard([video], clips, scores, {}, [], needs_sound=needs_sound)
        assert [row["reason"] for row in rows] == wanted
    assert reasons.from_words("no_sound") == reasons.NO_SOUND


@pytest.mark.parametrize("seed", range(20))
def test_the_first_reason_in_the_given_order_counts(seed):
    chance = random.Random(seed)
    order = chance.sample(ORDER, len(ORDER))
    bad = {name: chance.choice([("low", -1e6), ("high", 1e6), ("missing", None)]) for name in chance.sample(order, 4)}
    first = min(bad, key=order.index)
    values = {name: value for name, (_, value) in bad.items()}
    assert reason(order=order, **values) == f"{first} {bad[first][0]}"


# --- the cascade ------------------------------------------------------------------------------------------------------


def test_active_filters_have_a_bound_and_keep_the_order():
    filters = {**{name: bound() for name in ALL}, "fps": bound(8), "area": bound(None, 9), "motion": bound(0, 0)}
    assert list(verdict.active(filters, ORDER)) == ["area", "fps", "motion"]
    assert list(verdict.active(filters, ["motion", "fps", "text_area"])) == ["motion", "fps"]
    assert verdict.active(filters, ORDER)["motion"] == bound(0, 0)


def test_filters_before_a_costly_score():
    cheap = ORDER[: ORDER.index("consistency")]
    assert cheap[-2:] == ["subject_motion", "camera_certainty"] and "colourfulness" in cheap
    assert verdict.before("consistency", ORDER) == cheap
    assert verdict.before("aesthetic", [*cheap, "consistency", "aesthetic"]) == [*cheap, "consistency"]
    assert verdict.before("text", ORDER) == ORDER[: ORDER.index("text_area")]
    assert verdict.before("text", ["text_area", "area"]) == []
    assert verdict.before("text", ["area", "motion"]) == []  # no filter of its own: nothing stands before it


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (THREE, {"consistency": [], "aesthetic": ["consistency"], "text": ["consistency", "aesthetic"]}),
        (THREE[::-1], {"consistency": ["aesthetic", "text"], "aesthetic": ["text"], "text": []}),
        (["aesthetic", "motion", "text_area", "consistency"],
         {"consistency": ["aesthetic", "text"], "aesthetic": [], "text": ["aesthetic"]}),
    ],
)  # fmt: skip
def test_costly_scores_before_one_another(order, wanted):
    assert {name: verdict.costly_before(name, order) for name in wanted} == wanted


def test_costly_scores_never_wait_for_each_other():
    """In every order of the filters, the scores can be computed one after the other."""
    cheap = [name for name in ORDER if columns.FILTERS[name] not in METRICS]
    costly = [name for name in ORDER if columns.FILTERS[name] in METRICS]
    assert {columns.FILTERS[name] for name in costly} == set(METRICS)
    for arranged in itertools.permutations(costly):
        order = [*cheap[:3], arranged[0], *cheap[3:8], *arranged[1:], *cheap[8:]]
        waits = {name: set(verdict.costly_before(name, order)) for name in METRICS}
        done: set[str] = set()
        for _ in METRICS:
            done |= {name for name, others in waits.items() if others <= done}
        assert done == set(METRICS)


@pytest.mark.parametrize("seed", range(20))
def test_the_cascade_changes_no_verdict(seed):
    """A clip that a costly score may skip is out for a reason that stands before that score's filters."""
    chance = random.Random(seed)
    order = chance.sample(ORDER, len(ORDER))
    values = {name: chance.choice((value, value, value, -1e6, None)) for name, value in GOOD.items()}
    values["unfit"] = None
    bounds = verdict.active(ALL, order)
    full = words(values, bounds)
    for metric in METRICS:
        earlier = verdict.active(ALL, verdict.before(metric, order))
        if words(values, earlier) is not None:
            values = {name: None if columns.FILTERS.get(name) == metric else v for name, v in values.items()}
    assert words(values, bounds) == full


# --- gathering --------------------------------------------------------------------------------------------------------


def test_gather_brings_all_that_is_known_of_a_clip_together():
    video = {"video_id": "v", "name": "v.mp4", "seconds": 9.0}
    video |= {"bits_per_pixel": 0.1, "changes": "size at 5.000 s", "error_kind": None, "error": None}
    bad = {"video_id": "bad", "error_kind": "corrupt", "error": "x"}
    size = {"width": 640, "height": 360, "fps": 24.0}
    clips = [{"clip_id": name, "video_id": "v", "unfit": None, **size} for name in ("one", "two")]
    scores = {
        "motion": [{"clip_id": "two", "motion": 2.0, "error_kind": None}, {"clip_id": "one", "motion": 1.0}],
        "text": [{"clip_id": "one", "text_area": None, "error_kind": "bad_frames", "error": "y"}, {"clip_id": "two"}],
    }
    one, two = verdict.gather([bad, video], clips, scores)
    assert (one["clip_id"], one["motion"], two["motion"]) == ("one", 1.0, 2.0)
    assert (one["area"], one["aspect_ratio"], one["video_seconds"]) == (640 * 360, 640 / 360, 9.0)
    assert one["video_changes"] is True
    assert not {"error_kind", "error"} & (set(one) | set(two))
    assert words(one, {"text_area": bound(None, 1)}) == "text_area missing"


def test_a_clip_without_its_row_in_a_table_is_a_bug():
    video = {"video_id": "v", "name": "v", "seconds": 1, "bits_per_pixel": 1, "changes": None}
    clips = [{"clip_id": "one", "video_id": "v", "unfit": None, "width": 1, "height": 1, "fps": 1}]
    with pytest.raises(KeyError):
        verdict.gather([{**video, "error_kind": None}], clips, {"motion": []})


def test_every_filter_has_its_column_in_the_verdicts():
    assert set(columns.FILTERS) <= {column.name for column in tables.VERDICTS.columns}
    for name, source in columns.FILTERS.items():
        assert source == columns.FACTS or name in {column.name for column in SCORE_TABLES[source].columns}
    for table in (tables.ALIGNMENT, tables.FINAL_VERDICTS, tables.METADATA):
        assert set(columns.LATE_FILTERS) <= {column.name for column in table.columns}
