"""Text and logos laid over the edges of a picture: edges that stand still while the camera moves.

The gradient of a frame is the picture's, but where an overlay begins or ends it is always the same. So the median over
time of the gradients leaves the overlays alone, semi-transparent ones too (Dekel et al., "On the effectiveness of
visible watermarks", 2017, use the same). Where the camera stands, or its move is not certain, what stands still may be
a part of the picture: then nothing can be said. What a camera zooms at, or turns around, hardly moves. An overlay does
not move at all: either the picture changes all around it, or it is not where the camera would have put it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.split.crop.against import Cameras
from clipmill.split.crop.rectangle import Box
from clipmill.split.crop.steady import Begin, drift, median, outermost, sharpened

LEAST_FRAMES = 5  # with fewer, edges of the picture itself may stand still by chance
MANY_FRAMES = 10
EDGE = 3.0  # levels per pixel: the least median gradient of an overlay
FINE = 15  # pixels: what is broader is no edge
BAND = 0.25  # share of a side from the edge in which overlays lie
STILL_ELSEWHERE = 0.02  # share of all other edges that stand still, at most, or else the camera stands
MOVES = 3.0  # grey levels: median deviation in time of a pixel of a moving picture
MOVES_AROUND = 0.4  # share of such pixels beside an overlay, at least
JOINED = 0.03  # of the short side: parts of an overlay that are nearer are one
LEAST_EDGE = 24  # pixels of edges in an overlay
DENSE, DENSE_IN = 4, 5  # pixels of still edges in a square of so many pixels: fewer are chance
ONE_WAY = 0.12  # edges of one direction to those of the other, at least: less have lines along which a camera pans
ONE_WAY_AT_BORDER = 0.3  # the same of what begins at the border of the picture, as a post does
BORDER = 2  # pixels
MOST_DRIFT = 0.4  # pixels by which an overlay may seem to move within a scene
DRIFT_OF_WAY, MOST_OF_WAY = 0.03, 1.5  # the same as a share of what the camera would move it by, and at most
COLOUR_BLUR = 2.0  # pixels by which coding may blur edges in colour
SPECK = 8  # pixels that stand still: an edge with fewer is a trace of coding
REACH = 6  # pixels around a box in which its edges are
REACH_AGAIN = 4  # the same in frames twice as large
STRAIGHT = 0.95  # share of a side along which its edge is alike


class Allowed(NamedTuple):
    """How far frames may differ where an edge stands still.

    `beside`: how much of a frame's gradient may go another way than the median gradient does, as a share of that.
    `otherwise`: the share of the frames that may have any gradient. `of_few`: the same of fewer than MANY_FRAMES.
    """

    beside: float
    otherwise: float
    of_few: float

    def frames(self, count: int) -> int:
        """How many of `count` frames may have any gradient."""
        return int((self.otherwise if count >= MANY_FRAMES else self.of_few) * count)


class Sight(NamedTuple):
    """How the edges of an overlay are seen in a channel.

    `faint`: share of the strongest ones that are no traces of coding. `clear`: their strength to that in the channel in
    which it is greatest, at least, if it is asked where they are. `blurred`: rows over which one is spread, at most.
    """

    faint: float
    clear: float
    blurred: int


GREY, COLOUR = Sight(0.15, 0.5, 3), Sight(0.4, 0.4, 4)  # colour is stored at half the size

# By the second one, what is found by the first one is completed. Few frames are often alike by chance.
STRICT, LOOSE = Allowed(0.7, 0.13, 0.13), Allowed(1.5, 0.25, 0.13)


@dataclass(frozen=True)
class _Channel:
    """One channel of the frames, and where its edges stand still: arrays of height × width."""

    sight: Sight
    levels: np.ndarray  # frames × height × width
    usual: np.ndarray  # 2 × height × width: the median gradient
    still: np.ndarray
    nearly: np.ndarray
    edges: float  # pixels of edges in a frame, on average


def find_overlays(frames: Sequence[np.ndarray]) -> list[Box]:
    """The boxes of a scene's overlays, in pixels of its kept frames (BGR, of one size), exact to a part of a pixel."""
    if len(frames) < LEAST_FRAMES:
        return []
    greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    cameras = Cameras(greys)
    if not cameras.may_move:
        return []
    channels = _channels(frames)
    still, nearly = (np.any([getattr(one, name) for one in channels], axis=0) for name in ("still", "nearly"))
    reach = max(3, round(JOINED * min(still.shape)))
    boxes = _boxes(still, nearly, reach)
    places = [
        (part, box)
        for part in boxes
        if still[part].sum() >= LEAST_EDGE and _is_at_an_edge(box := _exact(channels, part, REACH), still.shape)
    ]
    if not places:
        return []
    cameras.look_again([_without(grey, [part for part, _ in places]) for grey in greys])
    if not cameras.move:
        return []
    moves = _moving(channels[0].levels)
    candidates = [one for place in places if (one := _candidate(channels, cameras, *place))]
    elsewhere = still.copy()
    lines = [part for part in boxes if _ways(_clearest(channels, part), part) < ONE_WAY]
    for part in [*lines, *(one.part for one in candidates)]:
        elsewhere[part] = False  # along lines a camera may pan
    if elsewhere.sum() > STILL_ELSEWHERE * channels[0].edges:
        return []
    return [
        one.box
        for one in candidates
        if _moves_around(moves, one.part, reach) >= MOVES_AROUND or _is_left_behind(channels, cameras, one)
    ]


def place_again(frames: Sequence[np.ndarray], box: Box) -> Box:
    """The box of an overlay that is known roughly, exact to a part of a pixel of these larger pictures of its frames.

    In them fewer edges of the picture stand still by chance, and thin tips are seen.
    """
    height, width = frames[0].shape[:2]
    margin = REACH_AGAIN + FINE
    left, top = (max(0, math.floor(edge) - margin) for edge in box[:2])
    right, bottom = (min(most, math.ceil(edge) + margin) for edge, most in zip(box[2:], (width, height), strict=True))
    rows, columns = (
        slice(round(box.top) - top, round(box.bottom) - top),
        slice(round(box.left) - left, round(box.right) - left),
    )
    channels = _channels([frame[top:bottom, left:right] for frame in frames])
    known = Box(box.left - left, box.top - top, box.right - left, box.bottom - top)
    exact = _exact(channels, (rows, columns), REACH_AGAIN)
    inwards = exact.left - known.left, exact.top - known.top, known.right - exact.right, known.bottom - exact.bottom
    exact = Box(
        *(
            known[side] if way > REACH_AGAIN and _is_line(channels, known, side) else exact[side]
            for side, way in enumerate(inwards)
        )
    )
    return Box(left + exact.left, top + exact.top, left + exact.right, top + exact.bottom)


def _is_line(channels: Sequence[_Channel], box: Box, side: int) -> bool:
    """Whether there is a straight edge along a side of a box, as a board has, which may be faint beside its text.

    Along nearly all of it a channel gets brighter, or darker. What stands still by chance does so in places.
    """
    place, ends = round(box[side]), (box.left, box.right) if side % 2 else (box.top, box.bottom)
    near, along = slice(max(0, place - REACH_AGAIN), place + REACH_AGAIN), slice(*map(round, ends))
    for channel in channels:
        levels = channel.levels if side % 2 else channel.levels.swapaxes(1, 2)
        steps = median(np.diff(levels[:, near, along], axis=1))
        mean = steps.mean(1, keepdims=True)
        alike = (np.sign(steps) == np.sign(mean)).mean(1)
        if ((alike >= STRAIGHT) & (np.abs(mean[:, 0]) >= EDGE)).any():
            return True
    return False


def _channels(frames: Sequence[np.ndarray]) -> list[_Channel]:
    return [_channel(levels, sight) for levels, sight in zip(_levels(frames), (GREY, COLOUR, COLOUR), strict=True)]


def _levels(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Grey and the two differences of colour: 3 × frames × height × width."""
    return np.array([cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb) for frame in frames], np.float32).transpose(3, 0, 1, 2)


def _channel(levels: np.ndarray, sight: Sight) -> _Channel:
    levels = np.ascontiguousarray(levels)
    gradients = np.array([_gradient(one) for one in levels])
    usual = median(gradients)
    rows, columns = np.nonzero((usual**2).sum(0) >= EDGE**2)
    there = gradients[:, :, rows, columns]
    # Broad slopes hardly change as a picture moves.
    fine = there - np.array(
        [[cv2.blur(one, (FINE, FINE))[rows, columns] for one in gradient] for gradient in gradients]
    )
    usual_fine = median(fine)
    still, nearly = np.zeros((2, *usual.shape[1:]), bool)
    for found, allowed in ((still, STRICT), (nearly, LOOSE)):
        found[rows, columns] = _still(there, usual[:, rows, columns], allowed) & _still(fine, usual_fine, allowed)
    edges = float(np.mean([np.count_nonzero((one**2).sum(0) >= EDGE**2) for one in gradients]))
    return _Channel(sight, levels, usual, still, nearly, edges)


def _gradient(levels: np.ndarray) -> np.ndarray:
    """Levels per pixel to the right and downwards: 2 × height × width."""
    return np.array([cv2.Sobel(levels, cv2.CV_32F, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1))])


def _still(gradients: np.ndarray, usual: np.ndarray, allowed: Allowed) -> np.ndarray:
    """Where the gradients of frames (frames × 2 × pixels) are nearly the same in nearly all of them.

    `usual`: their median.
    """
    strength = (usual**2).sum(0)
    along = (gradients * usual).sum(1)
    beside = np.abs(gradients[:, 0] * usual[1] - gradients[:, 1] * usual[0])
    alike = (along >= strength / 2) & (beside <= allowed.beside * strength)
    return (strength >= EDGE**2) & (alike.sum(0) >= len(gradients) - allowed.frames(len(gradients)))


def _moving(greys: np.ndarray) -> np.ndarray:
    """Which pixels of frames (frames × height × width) usually differ from what they mostly are.

    Light that changes everywhere is no motion, and neither is what passes once.
    """
    off = greys - median(greys)
    off -= np.median(off, axis=(1, 2), keepdims=True)
    return median(np.abs(off)) >= MOVES


Part = tuple[slice, slice]  # rows and columns


def _boxes(still: np.ndarray, nearly: np.ndarray, reach: int) -> list[Part]:
    """The boxes of edges that stand still, with what is near to them and nearly does."""
    dense = still & (cv2.boxFilter(still.astype(np.float32), -1, (DENSE_IN, DENSE_IN), normalize=False) >= DENSE - 0.5)
    square = np.ones((reach, reach), np.uint8)
    wide = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    near = cv2.dilate(dense.astype(np.uint8), wide) & nearly.astype(np.uint8)
    padded = cv2.copyMakeBorder(near, *(reach,) * 4, cv2.BORDER_CONSTANT)  # else what is near the border reaches it
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square)[reach:-reach, reach:-reach]
    count, _, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(joined))
    return [(slice(top, top + high), slice(left, left + wide)) for left, top, wide, high, _ in stats[1:count].tolist()]


def _ways(channel: _Channel, part: Part) -> float:
    """Edges of one direction to those of the other: 0 of lines."""
    ways = sorted(float(np.abs(one[part][channel.still[part]]).sum()) for one in channel.usual)
    return ways[0] / max(ways[1], 1e-9)


def _without(grey: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """A picture without what is in some parts, which may be most of its texture, but is not the camera's to move."""
    grey = grey.copy()
    for part in parts:
        here = grey[part]
        here[:] = np.median(np.concatenate([here[0], here[-1], here[:, 0], here[:, -1]]))
    return grey


class _Candidate(NamedTuple):
    """What may be an overlay: where its edges are, and its box to a part of a pixel."""

    part: Part
    box: Box
    is_at_border: bool


def _candidate(channels: Sequence[_Channel], cameras: Cameras, part: Part, box: Box) -> _Candidate | None:
    """What edges in a part may be, if they go more than one way, and do not move at all."""
    shape = channels[0].still.shape
    channel = _clearest(channels, part)
    is_at_border = (
        box.left < BORDER or box.top < BORDER or box.right > shape[1] - BORDER or box.bottom > shape[0] - BORDER
    )
    if _ways(channel, part) < (ONE_WAY_AT_BORDER if is_at_border else ONE_WAY):
        return None
    rows, columns = part
    way = cameras.way((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2, shape)
    most = max(MOST_DRIFT, min(DRIFT_OF_WAY * way, MOST_OF_WAY))
    if drift(channel.levels[:, *part], channel.nearly[part]) > most:
        return None
    return _Candidate(part, box, is_at_border)


def _clearest(channels: Sequence[_Channel], box: Part) -> _Channel:
    """The channel in which the edges in a box are strongest."""
    return max(channels, key=lambda one: _strength(one, box))


def _strength(channel: _Channel, box: Part) -> float:
    return float(np.abs(channel.usual[:, *box] * channel.still[box]).sum())


def _is_at_an_edge(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a box lies within the band along one side."""
    (left, top, right, bottom), (height, width) = box, shape
    return right <= BAND * width or left >= (1 - BAND) * width or bottom <= BAND * height or top >= (1 - BAND) * height


def _is_left_behind(channels: Sequence[_Channel], cameras: Cameras, candidate: _Candidate) -> bool:
    """Whether the camera leaves a candidate behind: over an even part of the picture nothing else shows it.

    What begins at the border may belong to the camera: a hood, a window's frame.
    """
    channel, (rows, columns) = _clearest(channels, candidate.part), candidate.part
    edges = channel.nearly[rows, columns]
    return not candidate.is_at_border and cameras.leave_behind(channel.levels, edges, rows.start, columns.start)


def _moves_around(moves: np.ndarray, box: Part, reach: int) -> float:
    """The share of the pixels around a box that move."""
    around = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
    inner = np.zeros_like(moves)
    inner[box] = True
    ring = ~inner[around]
    return float(moves[around][ring].mean()) if ring.any() else 0.0


def _exact(channels: Sequence[_Channel], box: Part, reach: int) -> Box:
    """The edges of an overlay to a part of a pixel, or to a pixel where nobody can tell.

    `reach`: pixels around the box in which they are.
    """
    (top, bottom), (left, right) = (
        (max(0, part.start - reach), min(length, part.stop + reach))
        for part, length in zip(box, channels[0].still.shape, strict=True)
    )
    known = box[1].start - left, box[0].start - top, right - box[1].stop, bottom - box[0].stop
    here = slice(top, bottom), slice(left, right)
    clear = [(one, _without_specks(one, here)) for one in _clear(channels, box)]
    first, second, third, fourth = (_place(clear, channels[0], here, side, known[side]) for side in range(4))
    return Box(left + first, top + second, right - third, bottom - fourth)


def _without_specks(channel: _Channel, part: Part) -> np.ndarray:
    """Where edges of an overlay are, and beside them: those that stand still together, and strong ones that partly do.

    Coding leaves faint traces and specks around an overlay, and in few frames some edges of the picture are alike.
    """
    strength, nearly = np.hypot(*channel.usual[:, *part]), channel.nearly[part]
    full = np.percentile(strength[nearly], 90) if nearly.any() else np.inf
    strong = strength >= max(EDGE, channel.sight.faint * full)
    edges = _large(nearly, nearly, SPECK) | _large(strong, nearly, SPECK // 2)
    return cv2.dilate(edges.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _large(pixels: np.ndarray, counted: np.ndarray, least: int) -> np.ndarray:
    """Those `pixels` that touch each other and hold at least so many of the `counted` ones."""
    count, labels = cv2.connectedComponents(pixels.astype(np.uint8))
    large = np.bincount(labels[counted & pixels], minlength=count) >= least
    return np.asarray(large[labels] & pixels)


def _clear(channels: Sequence[_Channel], box: Part) -> list[_Channel]:
    """The channels in which edges in a box are clearly seen."""
    strengths = [_strength(one, box) for one in channels]
    return [one for one, has in zip(channels, strengths, strict=True) if has >= one.sight.clear * max(strengths)]


def _seen_from(side: int, levels: np.ndarray) -> np.ndarray:
    """Frames × rows × columns with the left, top, right or bottom side at the top."""
    turned = levels if side % 2 else levels.swapaxes(1, 2)
    return turned if side < 2 else turned[:, ::-1]


def _place(clear: Sequence[tuple[_Channel, np.ndarray]], grey: _Channel, here: Part, side: int, known: float) -> float:
    """Where an overlay begins, in pixels from a side of `here`, which is the overlay and its surroundings.

    `clear`: the channels that show it clearly, and where their edges are. The first of them says it, or the others if
    all of them see it well outside. The first one is grey, whose edges are the sharpest, unless they are hardly seen.
    `known`: what to say if nobody can tell.
    """
    seen = [(one, begin) for one, edges in clear if (begin := _begin(one, edges, here, side)) is not None]
    if not seen:
        return known
    first, *others = seen
    outside = max(others, key=lambda one: one[1].place, default=first)
    channel, begin = outside if outside[1].place < first[1].place - COLOUR_BLUR else first
    return begin.place if channel is grey else sharpened(begin, _seen_from(side, grey.levels[:, *here]))


def _begin(channel: _Channel, edges: np.ndarray, part: Part, side: int) -> Begin | None:
    """Where the edges in a part begin, seen from one side."""
    levels = _seen_from(side, channel.levels[:, *part])
    (turned,) = _seen_from(side, edges[None])
    faint, _, blurred = channel.sight
    return outermost(levels, turned, EDGE, faint, LOOSE.frames(len(levels)), blurred)
