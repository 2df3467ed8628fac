"""How far the points of a picture move to the next one: the camera's move, and things that move by themselves.

The picture consists of layers, each with a similarity of its own (Wang and Adelson, "Representing moving images with
layers", 1994). The first one is the camera's. In what it leaves unexplained, other moves are found by matching blocks.
A pixel gets another move only where it explains the pictures much better, and where the pixel that it leads to is
unexplained too: so noise, changes of light and uncovered ground do not move.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clipmill.base.opencv import cv2
from clipmill.decode.similarity import FAR, FlowPicture, Similarity, find_camera, means, median, refined

PIXEL = 5  # side of the squares by which is judged what explains a pixel
LEAST_NOISE, LEAST_ERROR = 0.3, 2.0  # squares of grey levels
MISPLACED, FINE = 0.1, 0.2  # what an explained pixel may be off: pixels; share of the finest texture's energy
BETTER = 0.6  # the share of the error that another move must save
MARGIN = 8  # pixels around what is unexplained
LEAST_PIXELS = 12  # a smaller group of pixels does not move
EDGE = 0.2  # where an object ends: the share of the error beside its edge
RIGID = 5e4  # how much a small object keeps its size
BLOCK, REACH = 7, 16  # pixels at half the size: side of a block, and how far it may move beside the camera
SMALL = 1500  # pixels: if less is unexplained, blocks are matched at full size
GRID = 3  # pixels at half the size: blocks are so far apart
MOST_BLOCKS, MOST_SMALL_BLOCKS = 40, 80
MOST_STARTS, MOST_MOVES = 8, 4
PLAIN = 2.0  # squares of grey levels: a block with less texture is found anywhere
CLOSE = 9  # pixels: gaps that an object's pixels may have
WHITE = 256  # grey levels: what is brighter is not seen
SQUARE = np.ones((3, 3), np.uint8)
ALIKE = 0.4  # share of a block's energy by which its match may differ


class Flow(NamedTuple):
    """The flow from one picture to the next: height × width × 2 (right, down) in pixels of a small picture.

    `camera`: the part of the camera. `certainty`: the share of the texture that it explains, 0 to 1.
    """

    field: np.ndarray
    camera: Similarity
    certainty: float

    def length(self) -> float:
        """Mean length over the earlier picture's pixels, in short sides."""
        return _mean_length(self.field)

    def own_length(self) -> float:
        """The same of what is left without the camera's part."""
        return _mean_length(self.field - self.camera.flow(self.field.shape[:2]))


def _mean_length(field: np.ndarray) -> float:
    return float(cv2.mean(np.abs(field.view(np.complex64)))[0]) / min(field.shape[:2])


def flow_between(before: FlowPicture, after: FlowPicture) -> Flow:
    """The flow from `before` to `after`, pictures of the same size."""
    camera, certainty = find_camera(before, after)
    field = camera.flow(before.plain.shape)
    pair = _Pair(before, after, camera)
    for move, pixels in _objects(pair):
        cv2.copyTo(move.flow(before.plain.shape, pair.window), pixels.view(np.uint8), field[pair.window])
    return Flow(field, camera, certainty)


class _Light(NamedTuple):
    """How grey levels of the later picture become those of the earlier one: gain · level + offset."""

    gain: float = 1.0
    offset: float = 0.0

    def change(self, later: np.ndarray) -> np.ndarray:
        """In place."""
        later *= np.float32(self.gain)
        later += np.float32(self.offset)
        return later


class _Pair:
    """Two pictures in the same light, and what the camera's move leaves unexplained between them.

    `window`: rows and columns around all that is unexplained. `error`, `limit` and `unexplained` are of this part.
    """

    def __init__(self, before: FlowPicture, after: FlowPicture, camera: Similarity):
        self.before, self.after, self.camera = before, after, camera
        shape = before.plain.shape
        self.window = slice(0, shape[0]), slice(0, shape[1])
        moved = self._moved_back(camera, after.plain)
        seen = moved < WHITE
        self._light = _light(before.plain, moved, seen)
        error = self._squares(self._light.change(moved))
        error *= seen
        known = error[::5, ::5][seen[::5, ::5]]
        noise = max(LEAST_NOISE, 2 * median(known)) if known.size else LEAST_NOISE
        fine = before.plain - cv2.blur(before.plain, (3, 3))
        fine *= np.float32(FINE) * fine
        fine += np.float32(MISPLACED**2) * before.levels[0].steepness
        around = _smooth(error, PIXEL)
        limit = 4 * (noise + _smooth(fine, PIXEL))
        self.all_unexplained = (seen & (around > np.maximum(limit, LEAST_ERROR))).view(np.uint8)
        left, top, width, height = cv2.boundingRect(self.all_unexplained)
        self.window = (
            slice(max(0, top - MARGIN), top + height + MARGIN),
            slice(max(0, left - MARGIN), left + width + MARGIN),
        )
        self.error, self.limit = around[self.window], limit[self.window]
        self._explained_below = np.minimum(BETTER * self.error, self.limit + ALIKE * self.error)
        self._sharp_error = _smooth(error, 3)
        self._mark()

    def _mark(self) -> None:
        self.unexplained = self.all_unexplained[self.window].view(bool)
        self._around_unexplained = cv2.dilate(self.all_unexplained, SQUARE)

    @cached_property
    def later(self) -> np.ndarray:
        """Grey levels of the later picture in the light of the earlier one."""
        return self._light.change(self.after.plain.copy())

    def _moved_back(
        self, move: Similarity, later: np.ndarray, flags: int = cv2.INTER_LINEAR, unseen: float = FAR
    ) -> np.ndarray:
        """The window of `later`, values of the whole picture, before a move; `unseen` where it is not seen."""
        return cv2.warpAffine(
            later,
            self._in_window(move),
            self.before.plain[self.window].shape[::-1],
            flags=flags | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=unseen,
        )

    def _own(self, move: Similarity) -> Similarity:
        """What is left of a move without the camera's part, in the earlier picture."""
        return self.camera.inverse().after(move)

    def _in_window(self, move: Similarity) -> np.ndarray:
        """The matrix of a move from pixels of the window to those of the picture."""
        return move.matrix(self.after.plain.shape, self._corner)

    @property
    def _corner(self) -> tuple[int, int]:
        """Left and top of the window."""
        return self.window[1].start, self.window[0].start

    def _squares(self, moved: np.ndarray) -> np.ndarray:
        """In place of `moved`: squares of its differences from the window of the earlier picture."""
        np.subtract(self.before.plain[self.window], moved, out=moved)
        moved *= moved
        return moved

    def squares_of(self, move: Similarity) -> np.ndarray:
        """Square of the error that a move leaves at each pixel of the window."""
        squares = self._squares(self._moved_back(move, self.later))
        return np.minimum(squares, 1e4, out=squares)

    def leads_to_unexplained(self, move: Similarity) -> np.ndarray:
        """Of each pixel: whether the later picture differs from the camera's at the place that it moves to."""
        return self._moved_back(self._own(move), self._around_unexplained, cv2.INTER_NEAREST, 1).view(bool)

    def ends(self, shape: tuple[int, ...]) -> np.ndarray:
        """Flags of the later picture's pixels to which an object may move: the camera leaves them unexplained.

        `shape`: of the picture at the wanted size.
        """
        return cv2.warpAffine(
            cv2.resize(self._around_unexplained, shape[::-1], interpolation=cv2.INTER_AREA),
            self.camera.matrix(shape),
            shape[::-1],
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=1,
        )

    def explained_by(self, move: Similarity, error: np.ndarray) -> np.ndarray:
        """Flags of the window's pixels that this move explains and none before it. `error`: around each pixel."""
        better = self.unexplained & (error < self._explained_below)
        return better & self.leads_to_unexplained(move) if _are_enough(better) else better

    def take(self, move: Similarity, pixels: np.ndarray) -> None:
        """An object is found: neither its pixels are unexplained any more, nor the ground that it covers."""
        flags = pixels.view(np.uint8)
        way = self._in_window(self._own(move))
        way[:, 2] -= self._corner
        covered = cv2.warpAffine(
            flags,
            way,
            self.error.shape[::-1],
            flags=cv2.INTER_NEAREST,
        )
        taken = cv2.dilate(cv2.max(flags, covered), SQUARE)
        self.all_unexplained[self.window][taken.view(bool)] = 0
        self._mark()

    def wrong_twice(self, move: Similarity) -> np.ndarray:
        """The camera's error at each pixel of the window, or at the place that it moves to if it is less there.

        Both are large where an object moves. At ground that it covers or uncovers one of them is small.
        """
        at_end = self._moved_back(self._own(move), self._sharp_error)
        return cv2.min(at_end, self._sharp_error[self.window], dst=at_end)

    def extent(self, move: Similarity, pixels: np.ndarray, squares: np.ndarray, error: np.ndarray) -> np.ndarray:
        """The object of which `pixels` are seen to move: to its edges, with even parts inside.

        `squares`: `squares_of` its move. `error`: their means around each pixel.
        """
        wrong = self.wrong_twice(move)
        near = cv2.dilate(pixels.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)
        rim = EDGE * cv2.dilate(wrong, np.ones((7, 7), np.uint8))
        inside = _hull(near & (wrong > rim) & (_smooth(squares, 3) < wrong))
        return inside & (near | (error <= self.limit))


def _are_enough(pixels: np.ndarray) -> bool:
    """Whether so many flags are set that something may move there."""
    return bool(np.count_nonzero(pixels) >= LEAST_PIXELS)


class _Candidate:
    """A move that some object may have."""

    def __init__(self, pair: _Pair, start: Similarity):
        self._pair, self.start = pair, start
        self.error = _smooth(pair.squares_of(start), PIXEL)

    @cached_property
    def saved(self) -> np.ndarray:
        """By how much it explains each pixel better than the camera does."""
        return self._pair.wrong_twice(self.start) - self.error


def _objects(pair: _Pair) -> list[tuple[Similarity, np.ndarray]]:
    """What moves by itself: moves and flags of their pixels in the pair's window, the most visible one first."""
    if not _are_enough(pair.unexplained):
        return []
    starts = [Similarity(1, shift) for shift in _block_shifts(pair)]
    candidates = [_Candidate(pair, start) for start in starts]
    objects: list[tuple[Similarity, np.ndarray]] = []
    while len(objects) < MOST_MOVES:
        supports = [pair.explained_by(candidate.start, candidate.error) for candidate in candidates]
        seen = [number for number, support in enumerate(supports) if _are_enough(support)]
        if not seen:
            break
        best = seen[0]
        if len(seen) > 1:
            best = max(seen, key=lambda number: float(candidates[number].saved[supports[number]].sum()))
        found = _object(pair, candidates[best].start, supports[best])
        candidates = [candidates[number] for number in seen if number != best]
        if found is not None:
            pair.take(*found)
            objects.append(found)
    return objects


def _object(pair: _Pair, start: Similarity, support: np.ndarray) -> tuple[Similarity, np.ndarray] | None:
    """The object that moves about as `start`: its move and its pixels; None if none does.

    `support`: pixels that `start` explains.
    """
    counted = np.zeros(pair.before.plain.shape, np.uint8)
    counted[pair.window] = cv2.dilate(support.view(np.uint8), np.ones((5, 5), np.uint8))
    move = refined(pair.before.levels[0], pair.after.levels[0], start, 3, counted=counted.view(bool), rigid=RIGID)
    squares = pair.squares_of(move)
    error = _smooth(squares, PIXEL)
    moves = pair.explained_by(move, error)
    return (move, pair.extent(move, moves, squares, error)) if _are_enough(moves) else None


def _block_shifts(pair: _Pair) -> list[complex]:
    """Shifts in short sides of blocks that the camera leaves unexplained, the most frequent ones first."""
    is_small = np.count_nonzero(pair.unexplained) < SMALL
    number = 0 if is_small else min(1, len(pair.before.levels) - 1)
    before, after = pair.before.levels[number].texture, pair.after.levels[number].texture
    shape = before.shape
    around, reach = BLOCK // 2, 2 * REACH if is_small else REACH
    if min(shape) <= BLOCK:
        return []
    rows, columns = _places_of_blocks(pair.all_unexplained, shape, MOST_SMALL_BLOCKS if is_small else MOST_BLOCKS)
    right, down = np.rint(pair.camera.matrix(shape) @ [columns, rows, np.ones(len(rows))]).astype(int)
    blocks = sliding_window_view(before, (BLOCK, BLOCK))[rows - around, columns - around].reshape(-1, BLOCK**2)
    blocks -= blocks.mean(1, keepdims=True)  # without it, as what is around an object differs where it moves to
    energy = np.square(blocks).sum(1)
    usable = (right >= 0) & (right < shape[1]) & (down >= 0) & (down < shape[0]) & (energy >= PLAIN * BLOCK**2)
    blocks, energy, rows, columns, right, down = (part[usable] for part in (blocks, energy, rows, columns, right, down))
    open_down, open_right = np.nonzero(pair.ends(shape))
    if not len(blocks) or not len(open_down):
        return []
    padded = cv2.copyMakeBorder(after, around, around, around, around, cv2.BORDER_CONSTANT, value=300)
    later = sliding_window_view(padded, (BLOCK, BLOCK))
    ends = later[open_down, open_right].reshape(-1, BLOCK**2)
    # Sums of squared differences, without the part that is the same for all ends of a block.
    error = (-2 * blocks) @ ends.T
    error += np.einsum("ij,ij->i", ends, ends) - np.square(ends.sum(1)) / BLOCK**2
    np.putmask(error, _are_far(open_right, right, reach) | _are_far(open_down, down, reach), np.inf)
    stay = later[down, right].reshape(-1, BLOCK**2)
    stays = np.square(blocks - stay + stay.mean(1, keepdims=True)).sum(1)
    best = error.argmin(1)
    least = error[range(len(best)), best] + np.einsum("ij,ij->i", blocks, blocks)
    found = least < ALIKE * np.minimum(stays, energy)
    surety = 1 - np.maximum(least, 0) / energy
    shifts = open_right[best] - columns, open_down[best] - rows
    votes: defaultdict[tuple[int, int], float] = defaultdict(float)
    for shift_right, shift_down, sure in np.stack([*shifts, surety], 1)[found].tolist():
        votes[int(shift_right), int(shift_down)] += sure
    return [complex(*shift) / min(shape) for shift in _frequent(votes)]


def _are_far(places: np.ndarray, origins: np.ndarray, reach: int) -> np.ndarray:
    """Which places (columns of the result) are farther than `reach` from which origins (rows)."""
    from_least = places.astype(np.int16) - (origins - reach).astype(np.int16)[:, None]
    return from_least.view(np.uint16) > 2 * reach  # those below 0 are the greatest


def _places_of_blocks(unexplained: np.ndarray, shape: tuple[int, ...], most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the middles of blocks that are unexplained, at most so many."""
    shares = means(unexplained.astype(np.float32), (max(1, shape[0] // GRID), max(1, shape[1] // GRID)))
    found = np.stack(np.nonzero(shares > 0.25))
    chosen = found[:, np.linspace(0, found.shape[1] - 1, min(found.shape[1], most)).round().astype(int)]
    rows, columns = (chosen * GRID + GRID // 2).astype(int)
    around = BLOCK // 2
    return rows.clip(around, shape[0] - around - 1), columns.clip(around, shape[1] - around - 1)


def _frequent(votes: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The shifts with the most votes, neighbours together; only the first may rest on a single block."""
    chosen: list[tuple[int, int]] = []
    sums = {shift: _around(votes, shift) for shift in votes}
    while sums and len(chosen) < MOST_STARTS:
        shift = max(sums, key=lambda one: (sums[one], one))
        if chosen and sums[shift] < 1.5:
            break
        chosen.append(shift)
        for near in _neighbours(shift):
            if votes.pop(near, None) is not None:
                del sums[near]
        for near in product(range(shift[0] - 2, shift[0] + 3), range(shift[1] - 2, shift[1] + 3)):
            if near in sums:
                sums[near] = _around(votes, near)
    return chosen


def _around(votes: dict[tuple[int, int], float], shift: tuple[int, int]) -> float:
    return sum([votes[near] for near in _neighbours(shift) if near in votes])


def _neighbours(shift: tuple[int, int]) -> list[tuple[int, int]]:
    return [(shift[0] + right, shift[1] + down) for right in (-1, 0, 1) for down in (-1, 0, 1)]


def _light(before: np.ndarray, moved: np.ndarray, seen: np.ndarray) -> _Light:
    """The change of light between two pictures, from the pixels that agree."""
    known = seen[::5, ::5]
    old, new = before[::5, ::5][known], moved[::5, ::5][known]
    if old.size < 20:
        return _Light()
    light = _Light(1.0, median(old - new))
    for _ in range(2):
        error = np.abs(old - light.gain * new - light.offset)
        agree = error <= max(1.0, 2 * median(error))
        x, y = new[agree], old[agree]
        x_mean, y_mean = float(x.sum()) / x.size, float(y.sum()) / x.size
        x -= x_mean
        variance = float(x @ x) / x.size
        if variance < 1:
            break
        gain = min(2.0, max(0.5, float(x @ (y - y_mean)) / x.size / variance))
        light = _Light(gain, y_mean - gain * x_mean)
    return light


def _smooth(values: np.ndarray, side: int) -> np.ndarray:
    return cv2.blur(values, (side, side))


def _hull(pixels: np.ndarray) -> np.ndarray:
    """Convex hulls of the groups of pixels."""
    hulls = np.zeros(pixels.shape, np.uint8)
    left, top, width, height = cv2.boundingRect(pixels.view(np.uint8))
    around = slice(max(0, top - CLOSE), top + height + CLOSE), slice(max(0, left - CLOSE), left + width + CLOSE)
    joined = cv2.morphologyEx(pixels[around].view(np.uint8), cv2.MORPH_CLOSE, np.ones((CLOSE, CLOSE), np.uint8))
    corner = around[1].start, around[0].start
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
    for outline in outlines:
        if cv2.contourArea(outline) >= LEAST_PIXELS:
            cv2.fillConvexPoly(hulls, cv2.convexHull(outline), 1)
    return hulls.view(bool)
