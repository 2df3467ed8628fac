"""Frames of two fields are told from whole ones by looking at them, whatever is in the picture."""

from __future__ import annotations

import av
import numpy as np
import pytest
from films import REAL
from interlaced_films import (
    checks,
    letters,
    noisy,
    panned,
    passed,
    pulled_down,
    scenery,
    stripes,
    woven,
)

from clipmill.decode.fields import FieldWatch, Vote, fields_of

PAL, SMALL, TINY = (720, 576), (480, 360), (320, 240)
SIZES = [pytest.param(PAL, marks=pytest.mark.slow), pytest.param(SMALL, marks=pytest.mark.slow), TINY]
P, T, B = Vote.PROGRESSIVE, Vote.TOP_FIRST, Vote.BOTTOM_FIRST


def seen(film, flag=P):
    """What a film is by looking at it."""
    watch = FieldWatch()
    for picture in film:
        frame = av.VideoFrame.from_ndarray(picture, format="gray") if isinstance(picture, np.ndarray) else picture
        watch.look(frame, flag)
    return watch.fields(0, len(watch.votes))


FILMS = {
    "slow pan": lambda size, count: panned(scenery(size), size, (1, 0), count),
    "pan": lambda size, count: panned(scenery(size), size, (4, 0), count),
    "fast pan": lambda size, count: panned(scenery(size, "astronaut.png"), size, (17, 0), count),
    "slanted pan": lambda size, count: panned(scenery(size, "astronaut.png"), size, (1.3, 0.7), count),
    "tilt": lambda size, count: panned(scenery(size), size, (0, 1), count),
    "fast tilt": lambda size, count: panned(scenery(size), size, (0, 5), count),
    "a thing that passes": lambda size, count: passed(scenery(size), size, 3, count),
    "letters that rise": lambda size, count: panned(letters(size), size, (0, 1), count),
    "letters that pass": lambda size, count: panned(letters(size, 20, 2), size, (2, 0), count),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FILMS)
def test_what_moves_tells_the_order_of_fields(name, size):
    film = FILMS[name](size, 60)
    found = seen(film)
    assert found.order == "progressive" and not found.is_woven.any()
    for order, top_first in (("tff", True), ("bff", False)):
        found = seen(woven(film, top_first))
        assert found.order == order and found.is_woven.all()


@pytest.mark.slow
def test_also_full_hd():
    size = (1920, 1080)
    film = panned(scenery(size), size, (6, 0), 24)
    assert seen(film).order == "progressive"
    assert seen(woven(film)).order == "tff" and seen(woven(film, False)).order == "bff"


@pytest.mark.slow
@pytest.mark.parametrize("deviation", [3, 8])
def test_noise_hides_nothing_and_is_nothing(deviation):
    film = panned(scenery(PAL), PAL, (4, 0), 60)
    assert seen(noisy(film, deviation)).order == "progressive"
    assert seen(noisy(woven(film), deviation)).order == "tff"


@pytest.mark.parametrize("speed", [(2, 0), (0, 0.5), (0, 1), (0, 2), (1.3, 0.7)])
@pytest.mark.parametrize("size", [SIZES[0], TINY], ids=str)
def test_fine_patterns_are_no_combs(size, speed):
    pictures = [letters(size), checks(size), *(stripes(size, period) for period in (2, 3, 4, 6))]
    for picture in pictures:
        found = seen(panned(picture, size, speed, 60))
        assert found.order == "progressive" and not found.is_woven.any()


@pytest.mark.slow
def test_other_films_that_are_no_interlaced_ones():
    still = panned(scenery(PAL), PAL, (0, 0), 1) * 60
    assert seen(still).order == "progressive"
    assert seen(noisy(still, 12)).order == "progressive", "noise alone"
    pan = panned(scenery(PAL), PAL, (3, 0), 60)
    assert seen([(one * (1 - number / 60)).astype(np.uint8) for number, one in enumerate(pan)]).order == "progressive"
    assert seen([one if number % 4 else 255 - one for number, one in enumerate(pan)]).order == "progressive", "flashes"
    lines = [one // 2 + 60 * (np.arange(len(one)) % 2)[:, None].astype(np.uint8) for one in pan]
    assert seen(lines).order == "progressive", "every second line is brighter, as on old screens"
    assert seen([one for one in pan[::2] for _ in range(2)]).order == "progressive", "each picture twice"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["big-buck-bunny.mp4", "bottle-detection.mp4", "car-detection.mp4"])
def test_no_real_video_is_called_interlaced(name):
    with av.open(str(REAL / name)) as container:
        found = seen(container.decode(video=0))
    assert found.order == "progressive" and not found.is_woven.any()


@pytest.mark.slow
@pytest.mark.parametrize("fields", [(2, 3), (3, 2), (2, 3, 3, 2)], ids=str)
@pytest.mark.parametrize("name", ["pan", "fast tilt", "slanted pan", "a thing that passes", "letters that pass"])
def test_pulldown_is_told_from_interlaced_video(name, fields):
    found = seen(pulled_down(FILMS[name](PAL, 60), fields))
    assert found.order == "telecined" and found.is_woven.all()


@pytest.mark.slow
def test_pulldown_with_edits_and_noise():
    """Each edit begins the cycle anew."""
    film = pulled_down(panned(scenery(PAL), PAL, (3, 0), 200))
    cut = [frame for start in (3, 51, 104, 157) for frame in film[start : start + 47]]
    assert seen(noisy(cut, 4)).order == "telecined"


def test_whole_pictures_that_begin_with_the_second_field_are_interlaced():
    film = panned(scenery(PAL), PAL, (3, 0), 40)
    assert seen(pulled_down([film[0], *film], [1, *[2] * 40])).order == "tff"


@pytest.mark.slow
def test_only_what_is_interlaced_is_found_within_a_film():
    """An interlaced film between others; interlaced titles below a progressive film."""
    pan = panned(scenery(PAL), PAL, (3, 0), 240)
    film = [*pan[:80], *woven(pan[80:200]), *pan[:80]]
    found = seen(film)
    assert found.order == "tff"
    assert found.is_woven[86:134].all() and not found.is_woven[:68].any() and not found.is_woven[152:].any()

    ticker = panned(letters(PAL, 22, 2), PAL, (2, 0), 200)
    film = [frame.copy() for frame in pan[:100]]
    for frame, titles in zip(film, woven(ticker), strict=True):
        frame[-96:] = titles[-96:]
    assert seen(film).order == "tff"


# --- what a run of frames is, by its votes ----------------------------------------------------------------------------


def judged(votes: str, flags: str = "p"):
    letters_ = {".": Vote.NOTHING, "p": P, "t": T, "b": B, "?": Vote.UNSURE}
    numbers = np.array([letters_[one] for one in votes])
    combs = np.isin(numbers, (T, B)) * 100
    found = fields_of(numbers, np.array([letters_[one] for one in flags.ljust(len(votes), flags[-1])]), combs)
    return found.order, found.is_woven


def test_flags_count_where_nothing_is_seen():
    for flag, order in (("t", "tff"), ("b", "bff")):
        found, is_woven = judged("." * 50, flag)
        assert found == order and is_woven.all()
    assert judged("." * 50)[0] == "progressive"


def test_what_is_seen_counts_more_than_flags():
    assert judged("." + "p" * 99, "t")[0] == "progressive", "film in frames that are coded as two fields"
    assert judged("." + "b" * 99, "t")[0] == "bff"
    assert judged("." + "t" * 99, "p")[0] == "tff"
    order, is_woven = judged("p" * 100 + "." * 30 + "t" * 100, "t")
    assert order == "tff" and not is_woven[:100].any() and is_woven[130:].all()


def test_a_few_votes_by_chance_do_not_count():
    for votes in ("p" * 40 + "tpptpp" + "p" * 40, "tb" * 50, "." * 40 + "ttt" + "." * 40, "?" * 99):
        assert judged(votes)[0] == "progressive", votes
    assert judged("pppp" + "t" * 60)[0] == "tff", "and a few do not clear a film"


def test_frames_at_rest_are_like_the_nearest_that_move():
    order, is_woven = judged("t" * 40 + "." * 100 + "p" * 40)
    assert order == "tff" and is_woven[:80].all() and not is_woven[100:].any()
