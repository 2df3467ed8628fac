"""Interlaced video, found by looking: which frames hold two fields of different times, and which field comes first.

A frame is woven of a top field (lines 0, 2, …) and a bottom field. Three weaves are compared where the picture moves:
the frame's own, its top field with the bottom field of the frame before, and the top field of the frame before with its
own bottom field. Combs are pixels of the bottom field that are brighter, or darker, than both of their neighbours in
the top field. Of two frames that are `1` apart, the fields of these three weaves are this far apart:

| | own | top with earlier bottom | earlier top with bottom |
| --- | --- | --- | --- |
| progressive | 0 | 1 | 1 |
| top field first | ½ | ½ | 1½ |
| bottom field first | ½ | 1½ | ½ |

So the two mixed weaves have equally many combs in a progressive video, whatever is in the picture: stripes, text,
noise. In an interlaced one they differ. In 24 frames per second that were brought to 30 by 3:2 pulldown, one or two
frames of each five have combs of their own, at the same places of each five.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from clipmill.base.opencv import cv2
from clipmill.decode.pictures import first_plane, has_luma_plane
from clipmill.store.tables import BOTTOM_FIRST, PROGRESSIVE, TELECINED, TOP_FIRST

MEAN_OF = 8  # pixels of a line that are taken together: their mean has less noise, and small letters blur
FEWEST_COLUMNS, MOST_COLUMNS = 40, 240
MOST_LINES = 1152  # there are no interlaced formats with more lines
MOVED, COMBED = 6, 10  # grey levels: a pixel has moved, a line stands out
BANDS = 6  # of a picture, one below the other, that are judged apart: a ticker below a film is interlaced alone
FEWEST_COMBS = 8  # pixels of a band that must be combed before it says anything
FEWEST_SHARE = 2e-4  # and their share of all pixels
SKEW = 0.08  # least difference between the two mixed weaves over their sum; photographs and large letters have 0.1 to 1
DEVIATIONS = 2.5  # and more than that by chance, in standard deviations of a count
# Combs of the own weave, as a share of those of the better mixed one: a progressive frame has fewer, and an interlaced
# one has more. In between are stripes and letters that rise or sink.
OWN_PROGRESSIVE, OWN_INTERLACED = 0.5, 0.75
TOGETHER = 5  # frames whose combs are counted together where one frame has too few

CALM = 12  # frames without a field order, after which only some frames are looked at:
LOOK, OF = 4, 16  # the first ones of each so many
REACH = 12  # frames before and after a frame that are judged together with it
FEWEST_VOTES = 6  # frames of these that must agree on a field order
OUTVOTE, OUTVOTE_UNSURE = 1.5, 0.5  # by how many times these must outnumber progressive ones, and unsure ones
FAR, OUTVOTE_ORDER = 50, 3  # and those of the other field order within so many frames, where stripes give both in turn
FEWEST_CLEAN, OUTVOTE_CLEAN = 4, 3  # how many that look progressive must be, and outnumber those with a field order
FEWEST_AGAINST_FLAG, OUTVOTE_FLAG = 8, 10  # the same of frames that are flagged as interlaced

CYCLE = 5  # frames of a 3:2 pulldown
BLOCK = 6 * CYCLE  # frames whose places in the cycle are compared: the cycle starts anew at edits
FULL, EMPTY = 0.5, 0.25  # combs at one place of the cycle, as a share of those at the place where most are


class Vote(IntEnum):
    """What one frame says, compared with the frame before."""

    NOTHING = 0  # nothing moves
    PROGRESSIVE = 1
    TOP_FIRST = 2
    BOTTOM_FIRST = 3
    UNSURE = 4  # something moves, and the weaves do not tell


@dataclass(frozen=True, eq=False)
class Fields:
    """What the fields of a run of frames are. `order`: PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST or TELECINED."""

    order: str
    is_woven: np.ndarray  # bool, one per frame: it holds, or may hold, two fields of different times


class FieldWatch:
    """Compares each frame with the frame before. Feed frames in order of presentation.

    While a video looks progressive, most frames are not looked at: it would cost a fifth of the time of decoding.
    """

    def __init__(self) -> None:
        self._grey = VideoReformatter()
        self._before: _Fields | None = None
        self._combs: deque[np.ndarray] = deque(maxlen=TOGETHER)
        self._calm = 0
        self.votes, self.flags, self.combs = bytearray(), bytearray(), array("I")

    def look(self, frame: av.VideoFrame, flag: Vote) -> None:
        """Note what the next frame says. `flag`: PROGRESSIVE, TOP_FIRST or BOTTOM_FIRST, by its own flags."""
        rests = flag == Vote.PROGRESSIVE and self._calm >= CALM and len(self.votes) % OF > LOOK
        self._before = None if rests else self._before
        vote, combs = (Vote.NOTHING, 0) if rests else self.vote(frame)
        self._calm = 0 if vote in (Vote.TOP_FIRST, Vote.BOTTOM_FIRST) else self._calm + 1
        self.votes.append(vote)
        self.flags.append(flag)
        self.combs.append(combs)

    def fields(self, start: int, end: int) -> Fields:
        """What the frames from `start` to before `end` are, of those that were looked at."""
        return fields_of(*(np.array(list(noted[start:end])) for noted in (self.votes, self.flags, self.combs)))

    def vote(self, frame: av.VideoFrame) -> tuple[Vote, int]:
        """What `frame` says, and how many pixels have moved and are combed."""
        if frame.height > MOST_LINES or frame.height < 4 * BANDS:
            return Vote.NOTHING, 0
        fields, before = _Fields.of(grey_columns(frame, self._grey)), self._before
        self._before = fields
        if before is None or before.top.shape != fields.top.shape:
            return Vote.NOTHING, 0
        combs = _combs_of_weaves(before, fields)
        self._combs.append(combs)
        vote = _vote(combs, fields.bottom.size)
        if vote in (Vote.NOTHING, Vote.UNSURE):
            vote = _vote(np.sum(self._combs, axis=0), fields.bottom.size)
        return vote, int(combs[:, 0].sum())


def fields_of(votes: np.ndarray, flags: np.ndarray, combs: np.ndarray) -> Fields:
    """What a run of frames is, from its votes and flags (values of `Vote`) and how many combs each frame has itself.

    Each frame is judged by the votes around it. Where these do not decide, the nearest decision counts, and where there
    is none in the whole run, the flags.
    """
    progressive = _around(votes == Vote.PROGRESSIVE, REACH)
    orders = votes == Vote.TOP_FIRST, votes == Vote.BOTTOM_FIRST
    more = np.maximum(*(_around(order, REACH) for order in orders))
    far_less, far_more = np.sort([_around(order, FAR) for order in orders], axis=0)
    woven = (more >= FEWEST_VOTES) & (more >= OUTVOTE * progressive) & (far_more >= OUTVOTE_ORDER * far_less)
    woven &= more >= OUTVOTE_UNSURE * _around(votes == Vote.UNSURE, REACH)
    cyclic = _cyclic(votes, combs)
    flagged = flags != Vote.PROGRESSIVE
    fewest, outvote = np.where(flagged, [[FEWEST_AGAINST_FLAG], [OUTVOTE_FLAG]], [[FEWEST_CLEAN], [OUTVOTE_CLEAN]])
    clean = (progressive >= fewest) & (progressive > more * outvote) & ~cyclic
    is_woven = _nearest_decision(woven | cyclic, clean, flagged)
    if not is_woven.any():
        return Fields(PROGRESSIVE, is_woven)
    if 2 * np.count_nonzero(cyclic) > np.count_nonzero(cyclic | woven):
        return Fields(TELECINED, is_woven)
    balance = _balance(votes[is_woven]) or _balance(flags[is_woven])
    return Fields(BOTTOM_FIRST if balance < 0 else TOP_FIRST, is_woven)


def _around(noted: np.ndarray, reach: int) -> np.ndarray:
    """For each frame how many of the frames around it, up to `reach` away, are noted."""
    sums = np.concatenate([[0], np.cumsum(noted)])
    places = np.arange(len(noted))
    return sums[np.minimum(places + reach + 1, len(noted))] - sums[np.maximum(places - reach, 0)]


def _nearest_decision(woven: np.ndarray, clean: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """`woven` where a frame is decided to be woven or clean, and elsewhere that of the nearest frame that is."""
    decided = np.flatnonzero(woven | clean)
    if not len(decided):
        return otherwise
    places = np.arange(len(woven))
    after = np.searchsorted(decided, places).clip(0, len(decided) - 1)
    before = (after - 1).clip(0)
    is_before = np.abs(places - decided[before]) <= np.abs(places - decided[after])
    return woven[decided[np.where(is_before, before, after)]]


def _balance(votes: np.ndarray) -> int:
    """By how many frames those with the top field first outnumber those with the bottom field first."""
    return int(np.count_nonzero(votes == Vote.TOP_FIRST)) - int(np.count_nonzero(votes == Vote.BOTTOM_FIRST))


def _cyclic(votes: np.ndarray, combs: np.ndarray) -> np.ndarray:
    """Which frames lie in blocks that come from 3:2 pulldown, by their votes or by how many combs each has itself."""
    found = np.zeros(len(votes), bool)
    for start in range(0, len(votes) - BLOCK // 2, BLOCK):
        block = slice(start, start + BLOCK)
        top, bottom = votes[block] == Vote.TOP_FIRST, votes[block] == Vote.BOTTOM_FIRST
        less, more = sorted((top, bottom), key=np.count_nonzero)
        if OUTVOTE_ORDER * less.sum() <= more.sum() >= FEWEST_VOTES:
            found[block] = _has_cycle(more, 3) or _has_cycle(combs[block], 2)
    return found


def _has_cycle(noted: np.ndarray, most: int) -> bool:
    """Whether the numbers at one place of each cycle, or at up to `most` neighbouring ones, are nearly all there is."""
    places = np.array([noted[place::CYCLE].mean() for place in range(CYCLE)])
    full, empty = places >= FULL * places.max(), places <= EMPTY * places.max()
    return bool((full | empty).all()) and full.sum() <= most and np.count_nonzero(full != np.roll(full, 1)) == 2


def grey_columns(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """All lines of a frame in grey, as stored: height × columns bytes, each the mean of some pixels of its line.

    A few pixels at the right are left out where they do not fill a column: other means take three times as long.
    """
    columns = min(frame.width, max(FEWEST_COLUMNS, min(MOST_COLUMNS, frame.width // MEAN_OF)))
    whole = frame.width // columns * columns
    return cv2.resize(grey_plane(frame, reformatter)[:, :whole], (columns, frame.height), interpolation=cv2.INTER_AREA)


def grey_plane(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """A frame in grey, as stored: height × width bytes. The lines of fields stay apart, and no level is stretched."""
    return first_plane(frame if has_luma_plane(frame) else reformatter.reformat(frame, format="gray", threads=1))


def comb_share(grey: np.ndarray) -> float:
    """Share of pixels of a grey picture that stand out from both vertical neighbours to one side."""
    above, line, below = grey[:-2], grey[1:-1], grey[2:]
    return float(np.mean(_depth(line, cv2.min(above, below), cv2.max(above, below)) > COMBED))


@dataclass(frozen=True, eq=False)
class _Fields:
    """The fields of one frame: n lines of the bottom field, and the n + 1 of the top field around them."""

    top: np.ndarray
    bottom: np.ndarray
    low: np.ndarray  # of the two lines of the top field around each line of the bottom field
    high: np.ndarray

    @staticmethod
    def of(lines: np.ndarray) -> _Fields:
        top = lines[0::2]
        return _Fields(top, lines[1::2][: len(top) - 1], cv2.min(top[:-1], top[1:]), cv2.max(top[:-1], top[1:]))


def _combs_of_weaves(before: _Fields, fields: _Fields) -> np.ndarray:
    """How many pixels have moved and are combed: bands × weaves (own, earlier bottom, earlier top)."""
    top_moved = cv2.absdiff(fields.top, before.top)
    difference = cv2.max(cv2.max(top_moved[:-1], top_moved[1:]), cv2.absdiff(fields.bottom, before.bottom))
    moved = _above(difference, MOVED)
    weaves = ((fields.bottom, fields), (before.bottom, fields), (fields.bottom, before))
    return np.array([_combs(bottom, top, moved) for bottom, top in weaves]).T


def _vote(combs: np.ndarray, pixels: int) -> Vote:
    """What combs say (bands × weaves): a frame is interlaced if one of its bands is."""
    fewest = max(FEWEST_COMBS, FEWEST_SHARE * pixels)
    votes = {_vote_of_band(own, bottom, top, fewest) for own, bottom, top in combs.tolist()}
    if {Vote.TOP_FIRST, Vote.BOTTOM_FIRST} <= votes:
        return Vote.UNSURE
    by_weight = (Vote.TOP_FIRST, Vote.BOTTOM_FIRST, Vote.PROGRESSIVE, Vote.UNSURE)
    return next((vote for vote in by_weight if vote in votes), Vote.NOTHING)


def _vote_of_band(own: int, with_earlier_bottom: int, with_earlier_top: int, fewest: float) -> Vote:
    """What a band of a frame says, from the combs of its three weaves."""
    less, more = sorted((with_earlier_bottom, with_earlier_top))
    if more < fewest:
        return Vote.NOTHING
    if own < OWN_PROGRESSIVE * less:
        return Vote.PROGRESSIVE
    if own < OWN_INTERLACED * less or more - less <= SKEW * (more + less) + DEVIATIONS * math.sqrt(more + less):
        return Vote.UNSURE
    return Vote.TOP_FIRST if with_earlier_top > with_earlier_bottom else Vote.BOTTOM_FIRST


def _combs(bottom: np.ndarray, top: _Fields, moved: np.ndarray) -> list[int]:
    """How many pixels of each band are combed and have moved, in a weave of a bottom field and a top field."""
    combed = cv2.bitwise_and(_above(_depth(bottom, top.low, top.high), COMBED), moved)
    edges = [len(combed) * band // BANDS for band in range(BANDS + 1)]
    return [cv2.countNonZero(combed[start:end]) for start, end in zip(edges, edges[1:], strict=False)]


def _above(levels: np.ndarray, least: int) -> np.ndarray:
    """255 where `levels` are above `least`, else 0."""
    return cv2.threshold(levels, least, 255, cv2.THRESH_BINARY)[1]


def _depth(line: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much pixels are darker than `low` or brighter than `high`, in grey levels."""
    return cv2.max(cv2.subtract(line, high), cv2.subtract(low, line))
