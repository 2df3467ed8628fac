"""Times, rates, counts and long lists, as people read them."""

from __future__ import annotations

import pytest

from clipmill.base.human import counted, duration, listed, rate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (3.14, "3.1 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (266, "4 min 26 s"),
        (3599, "59 min 59 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (99.99 * 3600, "99 h 59 min"),
        (1234.4 * 3600, "1,234 h"),
    ],
)
def test_a_time_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("a_second", "text"),
    [
        (1234, "1,234 a second"),
        (2.31, "2.3 a second"),
        (0.97, "1.0 a second"),
        (0.25, "15 a minute"),
        (0.004, "14 an hour"),
        (0, "0.0 an hour"),
    ],
)
def test_a_rate_has_the_unit_that_leaves_a_number_above_one(a_second, text):
    assert rate(a_second) == text


def test_a_count_agrees_with_its_noun():
    assert [counted(number, "video") for number in (0, 1, 2, 1101)] == [
        "0 videos",
        "1 video",
        "2 videos",
        "1,101 videos",
    ]
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


def test_a_long_list_is_cut_to_its_first_names():
    names = [f"{number}.parquet" for number in range(1000)]
    assert listed(names[:10]) == names[:10]
    assert listed(names) == ["0.parquet", "1.parquet", "2.parquet", "… and 997 more"]
