"""Bounds learned from decisions whose rule is known, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from clipmill.filters.learn import MAX, MIN, Decided, learn_score, learn_together, passes

pytestmark = pytest.mark.slow

VIDEOS, CLIPS = 40, 10


def decided(seed: int, noise: float = 0.0, videos: int = VIDEOS, rule=None, level: float = 0.3) -> Decided:
    """Clips with five scores of which a person follows `motion`: from 0.4 on. `noise`: the share of slips.

    `level`: how far the clips of a video are alike.
    """
    chance = np.random.default_rng(seed)
    video = np.repeat(np.arange(videos), CLIPS)

    def score() -> np.ndarray:
        return (1 - level) * chance.random(len(video)) + level * chance.random(videos)[video]

    values = {name: score() for name in ("motion", "brightness", "contrast", "sharpness", "aesthetic")}
    kept = rule(values) if rule else values["motion"] >= 0.4
    slips = chance.random(len(video)) < noise
    return Decided(values, kept ^ slips, video.astype(object))


def test_a_bound_without_slips_is_found_and_the_truth_lies_where_it_is_said_to():
    for seed in range(5):
        found = learn_score(decided(seed), "motion", 0)
        assert found.bounds.keys() == {MIN} and found.informs
        bound = found.bounds[MIN]
        assert bound.low <= 0.4 <= bound.high and bound.value == pytest.approx(0.4, abs=0.01)
        assert found.gain.value > 0.95 and found.precision.value > 0.95 and found.recall.value > 0.95


def test_with_slips_the_truth_lies_within_the_said_values_nearly_always():
    """The bound, the precision and the recall of a new and large set, against what one small set says of them."""
    large = decided(99, 0.15, 4000)
    inside = {"bound": 0, "precision": 0, "recall": 0}
    sets = 20
    for seed in range(sets):
        found = learn_score(decided(seed, 0.15), "motion", seed)
        assert found.informs
        passing = large.values["motion"] >= 0.4
        precision, recall = large.kept[passing].mean(), passing[large.kept].mean()
        bound = found.bounds[MIN]
        inside["bound"] += bound.low <= 0.4 <= bound.high
        inside["precision"] += found.precision.low <= precision <= found.precision.high
        inside["recall"] += found.recall.low <= recall <= found.recall.high
    assert all(count >= 0.9 * sets for count in inside.values()), inside


def test_scores_that_say_nothing_are_rarely_taken_for_one_that_does():
    names = ("brightness", "contrast", "sharpness", "aesthetic")
    wrong = sum(learn_score(decided(seed, 0.1), name, seed).informs for seed in range(8) for name in names)
    assert wrong <= 1  # of 32
    # Nor does a video that is liked as a whole make its level a rule.
    by_video = [
        decided(
            seed, rule=lambda values: np.repeat(np.random.default_rng(1).random(12) < 0.5, CLIPS), videos=12, level=0.9
        )
        for seed in range(6)
    ]
    assert sum(learn_score(one, "contrast", 0).informs for one in by_video) <= 1


def test_a_score_may_have_an_upper_bound_or_both():
    top = learn_score(decided(1, 0.05, rule=lambda values: values["motion"] <= 0.6), "motion", 0)
    assert top.bounds.keys() == {MAX} and top.bounds[MAX].low <= 0.6 <= top.bounds[MAX].high
    both = learn_score(decided(2, 0.05, rule=lambda values: abs(values["motion"] - 0.5) <= 0.15), "motion", 0)
    assert both.bounds.keys() == {MIN, MAX}
    assert both.bounds[MIN].value == pytest.approx(0.35, abs=0.05) and both.bounds[MAX].value == pytest.approx(
        0.65, abs=0.05
    )


def test_the_same_decisions_give_the_same_answer_in_any_order():
    one = decided(3, 0.2)
    order = np.random.default_rng(0).permutation(len(one.kept))
    other = Decided({name: values[order] for name, values in one.values.items()}, one.kept[order], one.video[order])
    assert learn_score(one, "motion", 7) == learn_score(other, "motion", 7)
    assert learn_score(one, "motion", 7) != learn_score(one, "motion", 8)


def test_missing_and_equal_scores_do_not_count():
    one = decided(4)
    values = np.where(np.arange(len(one.kept)) % 2, one.values["motion"], np.nan)
    found = learn_score(Decided({"motion": values}, one.kept, one.video), "motion", 0)
    assert found.clips == len(one.kept) // 2 and found.informs
    for constant in (np.zeros(len(one.kept)), np.full(len(one.kept), np.nan)):
        nothing = learn_score(Decided({"motion": constant}, one.kept, one.video), "motion", 0)
        assert (nothing.bounds, nothing.informs, nothing.gain) == ({}, False, None)


def test_all_together_reach_the_wanted_share_where_one_score_cannot():
    def rule(values):
        return (values["motion"] >= 0.4) & (values["aesthetic"] <= 0.6)

    one = decided(5, 0.03, rule=rule)
    everything = np.ones(len(one.kept), bool)
    assert one.kept.mean() < 0.5
    found = learn_together(one, ["motion", "aesthetic"], everything, 0.9, 0)
    assert found.reached and found.kept / (found.kept + found.dropped) >= 0.9
    assert found.cuts["motion"][MIN] == pytest.approx(0.4, abs=0.1) and found.cuts["aesthetic"][MAX] == pytest.approx(
        0.6, abs=0.1
    )
    assert found.kept > 0.85 * one.kept.sum()
    passing = passes(one.values, found.cuts)
    assert (found.kept, found.dropped) == ((passing & one.kept).sum(), (passing & ~one.kept).sum())
    # On videos that it was not learned from it says honestly how much of that holds.
    large = decided(98, 0.03, 2000, rule)
    passing = passes(large.values, found.cuts)
    assert found.precision.low <= large.kept[passing].mean() <= found.precision.high
    assert found.recall.low <= passing[large.kept].mean() <= found.recall.high
    alone = learn_together(one, ["motion"], everything, 0.9, 0)
    assert not alone.reached and alone.kept >= 10


def test_nothing_moves_where_the_share_is_there_already_or_no_score_says_anything():
    one = decided(6, 0.3)
    everything = np.ones(len(one.kept), bool)
    assert learn_together(one, ["motion"], everything, 0.3, 0).cuts == {}
    nothing = learn_together(one, [], everything, 0.9, 0)
    assert (nothing.cuts, nothing.reached) == ({}, False)
    assert nothing.kept == one.kept.sum()
