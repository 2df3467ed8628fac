"""Frame counts, rates and sizes as trainers want them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from clipmill.shapes.counts import between, largest
from clipmill.shapes.rates import exact_rate, frames_in
from clipmill.shapes.shown import SLACK, shown_frames
from clipmill.shapes.sizes import Fit, fit


@pytest.mark.parametrize(
    ("written", "meant"),
    [(24, "24"), (23.976, "24000/1001"), (29.97, "30000/1001"), (59.94, "60000/1001"), (12.5, "25/2"), (16.0, "16")],
)
def test_a_written_rate_is_the_one_that_is_meant(written, meant):
    assert exact_rate(written) == Fraction(meant)


def test_the_largest_count_that_fits():
    assert [largest([33, 81, 49], frames) for frames in (32, 33, 80, 81, 500)] == [None, 33, 49, 81, 81]
    assert [largest("4n+1", frames) for frames in (1, 4, 5, 8, 9, 84)] == [None, None, 5, 5, 9, 81]
    assert [largest("8n+1", frames) for frames in (8, 9, 16, 17)] == [None, 9, 9, 17]


def test_a_rule_has_bounds_and_a_list_none():
    assert list(between("8n+1", 20, 50)) == [25, 33, 41, 49]
    assert between([5, 500], 20, 50) == [5, 500]


def test_a_clip_that_lacks_a_rounding_error_holds_its_last_frame():
    assert frames_in(81 / 16, Fraction(16)) == 81
    assert frames_in(81 / 16 - 0.0015, Fraction(16)) == 81  # Matroska has milliseconds
    assert frames_in(81 / 16 - 0.01, Fraction(16)) == 80


@pytest.mark.parametrize("fps", [12.5, 16, 23.976, 24, 29.97, 60])
@pytest.mark.parametrize("seed", range(10))
def test_each_shown_frame_is_the_nearest_one(seed, fps):
    times = 3 + np.cumsum(np.random.default_rng(seed).uniform(0.001, 0.3, 60))
    rate = exact_rate(fps)
    shown = shown_frames(times, rate, max(1, frames_in(times[-1] - times[0], rate)))
    for number, frame in enumerate(shown):
        away = np.abs(times - (times[0] + number / float(rate)))
        assert away[frame] <= away.min() + 3 * SLACK


def test_rates_that_are_nearly_the_same_drop_and_double_nothing():
    for source, fps in ((24000 / 1001, 24), (24, 23.976), (30, 29.97), (30000 / 1001, 30)):
        times = np.arange(300) / source
        assert shown_frames(times, exact_rate(fps), 300).tolist() == list(range(300))
    long = shown_frames(np.arange(3000) / 30, exact_rate(29.97), 2990)
    assert np.flatnonzero(np.diff(long) != 1).size == 3  # one frame in a thousand


SHRINK, CROP = {"short_side": 480, "multiple_of": 16}, {"short_side": 480, "multiple_of": 16, "fit": "crop"}


@pytest.mark.parametrize(
    ("size", "wanted", "found"),
    [
        ((1921, 1081), None, Fit((1921, 1081), (1920, 1080))),
        ((1920, 1080), {"short_side": 480}, Fit((854, 480), (854, 480))),
        ((1920, 1080), SHRINK, Fit((848, 480), (848, 480))),
        ((1080, 1920), SHRINK, Fit((480, 848), (480, 848))),
        ((1920, 1080), CROP, Fit((853, 480), (848, 480))),
        ((640, 360), SHRINK, Fit((640, 352), (640, 352))),  # never enlarged
        ((640, 360), CROP, Fit((640, 360), (640, 352))),
        ((848, 480), CROP, Fit((848, 480), (848, 480))),
        ((15, 400), SHRINK, None),
        ((15, 400), CROP, None),
    ],
)
def test_sizes(size, wanted, found):
    assert fit(size, wanted, None) == found


def test_a_bucket_is_covered_and_cropped():
    buckets = [[832, 480], [480, 832], [640, 640]]
    assert fit((1920, 1080), "bucket", buckets) == Fit((853, 480), (832, 480))
    assert fit((1080, 1920), "bucket", buckets) == Fit((480, 853), (480, 832))
    assert fit((1000, 700), "bucket", buckets) == Fit((832, 582), (832, 480))
    assert fit((832, 480), "bucket", buckets) == Fit((832, 480), (832, 480))
    assert fit((640, 470), "bucket", buckets) is None


@pytest.mark.parametrize("way", ["shrink", "crop"])
def test_sizes_are_even_multiples_and_never_larger(way):
    chance = np.random.default_rng(5)
    for width, height, short_side, step in chance.integers((16, 16, 16, 2), (4000, 4000, 1080, 64), (500, 4)).tolist():
        found = fit((width, height), {"short_side": short_side, "multiple_of": step, "fit": way}, None)
        if found is None:
            continue
        for side, scaled, cropped in zip((width, height), *found, strict=True):
            assert cropped <= scaled <= side
            assert cropped % step == 0 and cropped % 2 == 0
        if way == "crop":  # the shape is that of the source
            assert found.scaled[0] / width == pytest.approx(found.scaled[1] / height, abs=1 / min(width, height))
