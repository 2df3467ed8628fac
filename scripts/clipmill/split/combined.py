"""Transitions of all kinds, found by a small network in the signals that decoding stores.

In truth it is two, whose answers are averaged. They were trained on made films, whose transitions are known to the
frame: see docs/shots.md and tests/bench/train_shots.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path

import numpy as np
import pyarrow as pa

from clipmill.base.opencv import cv2
from clipmill.decode.reading import read_thumbnails
from clipmill.decode.signals import THUMBNAIL_SIDE as SIDE
from clipmill.split.repeats import distinct_frames
from clipmill.split.transitions import Transition, runs

NETWORK = Path(__file__).with_name("combined.npz")
USUAL_RATE = 30  # frames per second: of a video with twice as many, every second frame is looked at
GRADUAL = ("fade", "dissolve", "wipe")  # kinds that take time; a push is a wipe whose pictures move
NUMBERS = ("content", "delta_hue", "delta_sat", "delta_lum", "difference", "luma_mean", "luma_spread")
CHANGES, LIGHT, SPREAD = slice(0, 5), 5, 6  # of NUMBERS: those that compare a frame with the one before, and the others
OFFSETS = (-32, -24, -16, -12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
LARGEST_GAP = 40  # frames between two that are compared
AROUND = ((3, 4, 5, 7, 9), (6, 9, 12, 16, 20), (12, 18, 26, 36, 48))  # frames before, and as many after
REACH = 48  # frames on each side that a frame's features look at
CELLS = np.arange(SIDE * SIDE)
# Makes of a thumbnail the means of its rows and of its columns.
LINES = np.concatenate([(CELLS[:, None] // SIDE == CELLS[:SIDE]), (CELLS[:, None] % SIDE == CELLS[:SIDE])], 1) / SIDE
LINES = LINES.astype(np.float32)
CHUNK = 4096  # frames whose features are held at a time
EDGE = 0.1  # the least chance of a frame at the edge of a transition that is sure in its middle
MARGIN = 2  # frames added to each of its sides, since the first and last ones hold only a trace of the other shot
GAP = 3  # frames that a transition may seem to pause
LEAST = 3  # frames of a transition that takes time
NEAR = 4  # frames on each side within which only the surest cut counts
HUE_STEP, HUE_STANDS_OUT, HUE_AROUND = 25, 5, 8  # of 179; times the largest step of so many frames on each side
COLOURFUL = 15  # least colourfulness of the kept frames before and after
COLOUR_CUT = 0.9  # how sure such a cut is
USUAL_AROUND = 5  # frames on each side of a cut that say how much changes without one
NOISE = 1.5  # grey levels by which a cell may change without a reason
SMALL_PART = 0.2  # of the picture: true cuts, even between views that resemble each other, change more
SAME_PICTURE = 0.25  # of its contrast: true transitions change more of a picture whose light is made equal
BAND, OUTSIDE_A_BAND = 2, 2  # rows at the top or bottom that a banner takes; cells outside that may change with it


@dataclass(frozen=True)
class Answers:
    """The network's answers to a video, from which transitions follow for any least chances.

    `chances`: those of the frames that were looked at. `seen`: their numbers. `changes`: how much each frame differs
    from the one before. `distinct`: numbers of the frames that do not repeat others, and `thumbnails`: of these.
    `colour_cuts`: see `colour_cuts`.
    """

    chances: np.ndarray
    seen: np.ndarray
    changes: np.ndarray
    distinct: np.ndarray
    thumbnails: np.ndarray
    colour_cuts: list[int]

    def transitions(self, cut: float, gradual: float) -> list[Transition]:
        """The transitions of the video. `cut`, `gradual`: the least chances, see `find_in`."""
        found = [_among_all_frames(one, self.seen, self.changes) for one in find_in(self.chances, cut, gradual)]
        found = [one for one in found if not (self._stays if one.start < one.end else self._changes_a_part)(one)]
        if cut > COLOUR_CUT:
            return found
        missed = (
            Transition(frame, frame, "cut", COLOUR_CUT)
            for frame in self.colour_cuts
            if not any(one.start - NEAR <= frame <= one.end + NEAR for one in found)
        )
        return sorted([*found, *missed])

    def _changes_a_part(self, cut: Transition) -> bool:
        return changes_a_part(self.thumbnails, int(np.searchsorted(self.distinct, cut.start)))

    def _stays(self, slow: Transition) -> bool:
        first, last = np.searchsorted(self.distinct, (max(0, slow.start - 1), slow.end)).tolist()
        return stays(self.thumbnails[first : last + 1])


def colour_cuts(signals: pa.Table) -> list[int]:
    """First frames of shots that differ from the one before in colour alone, which the network does not see.

    The hue steps there, far above the steps around. Of nearly grey pictures the hue is noise, and says nothing.
    """
    hue = signals["delta_hue"].to_numpy()
    colourful = signals["colourfulness"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~np.isnan(colourful))
    found = []
    for frame in np.flatnonzero(hue >= HUE_STEP).tolist():
        around = np.delete(hue[max(1, frame - HUE_AROUND) : frame + 1 + HUE_AROUND], min(frame - 1, HUE_AROUND))
        place = int(np.searchsorted(kept, frame))
        beside = colourful[kept[max(0, place - 1) : place + 1]]
        if around.size and hue[frame] >= HUE_STANDS_OUT * max(1.0, around.max()) and (beside >= COLOURFUL).all():
            found.append(frame)
    return found


def stays(thumbnails: np.ndarray) -> bool:
    """Whether it is one picture all the time, and only its light changes: a lamp flickers, a cloud comes.

    `thumbnails`: two or more frames × 64. What fades is gone in between, and what dissolves becomes another picture.
    """
    cells = _evened(thumbnails).astype(np.float32)
    apart = np.abs(cells - cells[0]).mean(1)
    apart = np.minimum(apart[1:], apart[:-1]).max()  # single frames may be coded badly
    return bool(apart < SAME_PICTURE * np.abs(cells[0] - cells[0].mean()).mean())


def changes_a_part(thumbnails: np.ndarray, cut: int) -> bool:
    """Whether only a small part of the picture changes at a cut, as where a caption, a banner or a counter does.

    `thumbnails`: frames × 64. A cell has changed if it did so by much more than from frame to frame around the cut.
    """
    around = thumbnails[max(0, cut - USUAL_AROUND) : cut + USUAL_AROUND].astype(np.int16)
    steps = np.abs(np.diff(around, axis=0))
    at_once = min(cut, USUAL_AROUND) - 1
    usual = np.median(np.delete(steps, at_once, axis=0), axis=0) if len(steps) > 1 else 0
    changed = (steps[at_once] > 2 * usual + NOISE).reshape(SIDE, SIDE)
    in_a_band = min(changed[BAND:].sum(), changed[:-BAND].sum()) <= OUTSIDE_A_BAND
    return bool(changed.mean() < SMALL_PART or in_a_band)


def answers(signals: pa.Table, fps: float) -> Answers:
    """The network's answers to a video, from its table SIGNALS."""
    thumbnails = read_thumbnails(signals)
    numbers = np.stack([signals[name].to_numpy() for name in NUMBERS], 1)
    stride = max(1, round(fps / USUAL_RATE))
    distinct = distinct_frames(signals, fps)
    # Every so many frames the picture is looked at that is shown then, if it is another one.
    seen = np.unique(distinct[np.searchsorted(distinct, np.arange(0, len(numbers), stride), side="right") - 1])
    return Answers(
        chances(thumbnails[seen], _of_frames(numbers, seen)),
        seen,
        numbers[:, CHANGES].max(1),
        distinct,
        thumbnails[distinct],
        colour_cuts(signals),
    )


def _of_frames(numbers: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """NUMBERS of the frames `seen`, with the largest change since the one before."""
    chosen = numbers[seen]
    if len(seen) > 1:
        chosen[1:, CHANGES] = np.maximum.reduceat(numbers[1 : seen[-1] + 1, CHANGES], seen[:-1])
    return chosen


def _among_all_frames(one: Transition, seen: np.ndarray, changes: np.ndarray) -> Transition:
    """A transition between frames that were `seen`, in numbers of all frames."""
    first = int(seen[one.start - 1]) + 1 if one.start > 0 else 0
    if one.start == one.end:
        first += int(changes[first : seen[one.start] + 1].argmax())
        return one._replace(start=first, end=first)
    return one._replace(start=first, end=int(seen[one.end]) if one.end < len(seen) else len(changes))


def chances(thumbnails: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The network's answer to each frame: frames × (cut, gradual, *GRADUAL), 0 to 1.

    `cut`: how surely a new shot begins at this frame. `gradual`: how surely it holds two shots, or is darkened or
    brightened by a fade. GRADUAL: what kind of transition it would be.
    """
    layers = _network()
    return np.concatenate([_forward(layers, chunk) for chunk in features(thumbnails, numbers)])


@cache
def _network() -> dict[str, np.ndarray]:
    with np.load(NETWORK) as file:
        return {name: file[name].astype(np.float32) for name in file}


def _forward(layers: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """The mean answer of the networks whose layers are stacked: networks × inputs × outputs."""
    values = np.clip((values - layers["mean"]) / layers["spread"], -6, 6)
    for number in (1, 2):
        values = np.maximum(values @ layers[f"weights_{number}"] + layers[f"bias_{number}"], 0)
    return (1 + np.tanh((values @ layers["weights_3"] + layers["bias_3"]).mean(0) / 2)) / 2


def find_in(chances: np.ndarray, cut: float, gradual: float) -> list[Transition]:
    """Transitions from the network's answers.

    Frames that may hold two shots are one transition if they are near each other, and if one of them reaches `gradual`.
    A frame that reaches `cut` is a cut if it is surer than its neighbours and in no other transition.
    """
    is_cut, is_mixed = chances[:, 0], chances[:, 1]
    found: list[Transition] = []
    for start, end in runs(is_mixed >= min(EDGE, gradual), GAP):
        strength = float(is_mixed[start:end].max())
        if end - start >= LEAST and strength >= gradual:
            kind = GRADUAL[int(chances[start:end, 2:].mean(0).argmax())]
            begin = max(start - MARGIN, found[-1].end if found else 0)
            found.append(Transition(begin, min(end + MARGIN, len(chances)), kind, strength))
    taken = [(one.start, one.end) for one in found]
    for frame in np.flatnonzero(is_cut >= cut).tolist():
        surest = is_cut[frame] == is_cut[max(0, frame - NEAR) : frame + NEAR + 1].max()
        if surest and frame > 0 and not any(start <= frame <= end for start, end in taken):
            found.append(Transition(frame, frame, "cut", float(is_cut[frame])))
    return sorted(found)


def features(thumbnails: np.ndarray, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """What the network sees of each frame: chunks of frames × features, float32.

    `thumbnails`: frames × 64, bytes; `numbers`: frames × NUMBERS. The features are distances between the thumbnails
    around a frame, as they are and with light and contrast made equal; light, contrast and changes around it; how far
    it lies between an earlier and a later frame, as a mixture or cell by cell; and what has changed for good.
    """
    count = len(thumbnails)
    # Beyond its ends a video is mirrored. If its first frame stood still there, a moving shot would seem to begin.
    turn = max(1, 2 * (count - 1))
    around = np.arange(-REACH, count + REACH) % turn
    around = np.minimum(around, turn - around) % count
    for start in range(0, count, CHUNK):
        part = around[start : start + CHUNK + 2 * REACH]
        yield _features(thumbnails[part], numbers[part].astype(np.float32))


def _features(cells: np.ndarray, values: np.ndarray) -> np.ndarray:
    count = len(cells) - 2 * REACH
    kinds = cells, _evened(cells)
    real = cells.astype(np.float32)

    def at(array: np.ndarray, offset: int) -> np.ndarray:
        return array[REACH + offset : REACH + offset + count]

    @cache
    def distance(kind: int, gap: int) -> np.ndarray:
        return _means(cv2.absdiff(kinds[kind][gap:], kinds[kind][:-gap])) / 16

    found = []
    for place, first in enumerate(OFFSETS):
        for second in OFFSETS[place + 1 :]:
            if second - first <= LARGEST_GAP:
                found += [at(distance(kind, second - first), first) for kind in (0, 1)]
        found += [(at(values, first)[:, LIGHT] - at(values, 0)[:, LIGHT]) / 32, at(values, first)[:, SPREAD] / 32]
    found.append(at(values, 0)[:, LIGHT] / 128)
    logs = np.log1p(values[:, CHANGES])
    found += [at(logs, offset)[:, column] for offset in range(-8, 9) for column in (0, 4)]
    found += [at(logs, offset)[:, column] for offset in range(-2, 3) for column in (1, 2, 3)]
    for offset in (2, 4, 8, 12, 16, 24, 32):
        found += _between(at(real, -offset), at(real, 0), at(real, offset))
    for offsets in AROUND:
        for kind in kinds:
            found += _lasting([at(kind, -offset) for offset in offsets], [at(kind, offset) for offset in offsets])
    return np.stack(found).T


def _evened(cells: np.ndarray) -> np.ndarray:
    """Thumbnails with light and contrast made equal, as bytes."""
    mean, spread = cells.mean(1, keepdims=True), cells.std(1, keepdims=True)
    return np.clip(128.5 + 32 * (cells - mean) / (spread + 4), 0, 255).astype(np.uint8)


def _means(cells: np.ndarray) -> np.ndarray:
    """The mean of each row; ten times as fast as numpy."""
    return cv2.reduce(cells, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)[:, 0] / cells.shape[1]


def _between(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """How far a frame lies between two others: as a mixture of both, or some cells of the one and some of the other."""
    from_old, to_new, way = here - before, np.abs(here - after), after - before
    to_old = np.abs(from_old)
    share = np.clip(np.einsum("ij,ij->i", from_old, way) / (np.einsum("ij,ij->i", way, way) + 50), 0, 1)
    lines = (to_old > to_new).astype(np.float32) @ LINES
    rows, columns = lines[:, :SIDE], lines[:, SIDE:]
    found = [_means(cv2.min(to_old, to_new)) / 16, share, _means(rows), rows.std(1), columns.std(1)]
    found += [_means(np.abs(from_old - share[:, None] * way)) / 16]
    half = SIDE // 2
    return found + [np.abs(_means(each[:, :half]) - _means(each[:, half:])) for each in (rows, columns)]


def _lasting(before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
    """What has changed for good: the cells' medians, and per cell the most alike pair of times before and after."""
    change = cv2.absdiff(_median_of_five(*before), _median_of_five(*after))
    least = reduce(cv2.min, (cv2.absdiff(one, other) for one in before for other in after))
    found = []
    for cells, much in ((change, 12), (least, 8)):
        found += [_means(cells) / 16, _means(cv2.threshold(cells, much, 1, cv2.THRESH_BINARY)[1])]
    return found


def _median_of_five(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, e: np.ndarray) -> np.ndarray:
    low = cv2.max(cv2.min(a, b), cv2.min(c, d))
    high = cv2.min(cv2.max(a, b), cv2.max(c, d))
    return cv2.max(cv2.min(low, high), cv2.min(cv2.max(low, high), e))
