"""How the camera moved between two pictures: the similarity that moves most of the first to its place in the second.

Found from the grey levels, coarse to fine, by least squares with weights that leave out what moves by itself (Baker and
Matthews, "Lucas-Kanade 20 years on", 2004; Odobez and Bouthemy, "Robust multiresolution estimation of parametric motion
models", 1995), and from points that are followed (Bouguet, "Pyramidal implementation of the Lucas Kanade feature
tracker", 2001; Fischler and Bolles, "Random sample consensus", 1981). Errors on made films are in docs/benchmarks.md.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2

WORK_SIDE = 120  # pixels of the short side at which pictures are compared, and up to less than twice as many
LEAST_SIDE = 12  # the short side of the coarsest level, and up to less than twice as many
CELLS = 8  # along the short side: the parts by which is judged how much a similarity explains
LEAST_TEXTURE = 1.0  # grey levels: a cell with less says nothing
LEAST_CELLS = 4  # fewer say nothing, and so do fewer points
POOR = 0.45  # a cell of which a smaller share is explained is hardly explained
SOME_POOR, MANY_POOR = 0.1, 0.3  # shares of such cells for the second and for the third start
SAVED = 0.02  # by how much a move must explain more of the texture than standing still
STILL, CLEARLY = 0.4, 0.2  # the share of a cell that stands still is explained at least; and by so much better
MOST_CELLS = 0.6  # share of the cells that a small move must explain better
STILL_CELLS = 0.2  # share of the cells that decide between the two, from which on the camera stands still
COARSEST = 2  # the level on which the first least squares are
ROUNDS, LAST_ROUNDS = 6, 2  # of least squares
NARROW = 0.5  # pixels: the last spread
CONVERGED = 0.02  # pixels
NOISE = 1.0  # grey levels
ALL_PIXELS = 3_000  # of a smaller picture all pixels are compared
AT_EDGE = 0.1  # short sides: pixels so near to an edge are not compared
POINTS = 8  # pixels: side of the parts of which one point is followed
APART = 0.7  # pixels by which the way of a point may be off
LEAST_FOLLOWED = 0.1  # share of the points
AROUND = (9, 9)  # pixels around a point that is followed
UNTIL = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)  # so many steps, or one of so few pixels
EVEN = 0.211  # pixels, (3 - √3) / 6: see `_small`
FAR = 1e9  # the grey level of what is outside of a picture
SEEN = 1e3  # beyond this one that plays a part, if only of a millionth of a pixel


Window = tuple[slice, slice]
"""Rows and columns of a part of a picture."""

EVERYWHERE: Window = slice(None), slice(None)


class Similarity(NamedTuple):
    """z → factor · z + shift. A point z is right + i · down from the centre of the picture, in short sides."""

    factor: complex = 1 + 0j
    shift: complex = 0j

    def after(self, first: Similarity) -> Similarity:
        """The similarity `first`, then this one."""
        return Similarity(self.factor * first.factor, self.factor * first.shift + self.shift)

    def is_likely(self) -> bool:
        """Whether the picture keeps about its size."""
        return 1 / 3 < abs(self.factor) < 3

    def inverse(self) -> Similarity:
        """The way back."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def matrix(self, shape: tuple[int, ...], corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """2 × 3, for pixels of a picture of this height and width, or of a part that begins at `corner` (left, top)."""
        across, along = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        a, b = self.factor.real, self.factor.imag
        right = self.shift.real * min(shape) + across - a * across + b * along
        down = self.shift.imag * min(shape) + along - b * across - a * along
        left, top = corner
        return np.array([[a, -b, right + (a * left - b * top)], [b, a, down + (b * left + a * top)]])

    def flow(self, shape: tuple[int, ...], window: Window = EVERYWHERE) -> np.ndarray:
        """Where the pixels of a picture of this height and width go: height × width × 2 (right, down) pixels.

        Of its window alone, if there is one.
        """
        moved = np.complex64(self.factor - 1) * _points(shape)[window]
        moved += np.complex64(self.shift)
        moved *= np.float32(min(shape))
        return moved.view(np.float32).reshape(*moved.shape, 2)

    @classmethod
    def of(cls, matrix: np.ndarray, shape: tuple[int, ...]) -> Similarity:
        """The similarity of a `matrix` for pixels of a whole picture."""
        middle = np.array([shape[1] - 1, shape[0] - 1]) / 2
        shift = matrix @ [*middle, 1] - middle
        return cls(complex(*matrix[:, 0]), complex(*shift) / min(shape))


STANDING = Similarity()


def places(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The places of columns and rows: right (1 × width) and down (height × 1) from the centre, in short sides."""
    height, width = shape
    right = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / min(shape)
    down = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / min(shape)
    return right[None], down[:, None]


@lru_cache(maxsize=4)
def _points(shape: tuple[int, int]) -> np.ndarray:
    """The same as complex numbers: height × width."""
    right, down = places(shape)
    return right + 1j * down


class Telling(NamedTuple):
    """What is known of some pixels of a picture."""

    numbers: np.ndarray  # row by row
    change: np.ndarray  # of their grey levels with the 4 parameters of a similarity (factor, shift): 4 × pixels
    steepness: np.ndarray  # see Level
    texture: np.ndarray  # see Level


class Level:
    """A picture at one size, float32 grey levels without their slow changes."""

    def __init__(self, texture: np.ndarray):
        self.texture, self.shape = texture, texture.shape

    @cached_property
    def _gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """How grey levels change to the right and down, per short side."""
        across = cv2.Sobel(self.texture, cv2.CV_32F, 1, 0, ksize=3, scale=min(self.shape) / 8)
        return across, cv2.Sobel(self.texture, cv2.CV_32F, 0, 1, ksize=3, scale=min(self.shape) / 8)

    @cached_property
    def steepness(self) -> np.ndarray:
        """Square of the gradient, in grey levels per pixel: height × width."""
        across, along = (part / np.float32(min(self.shape)) for part in self._gradient)
        across *= across
        along *= along
        across += along
        return across

    @cached_property
    def telling(self) -> Telling:
        """Of pixels that are steeper than those around them, of a small picture of all: what is known of them.

        Not of those at its edges: there the mean that was taken away holds what is beyond, which is not known.
        """
        if self.steepness.size > ALL_PIXELS:
            steep = self.steepness > cv2.blur(self.steepness, (15, 15))
            edge = round(AT_EDGE * min(self.shape))
            steep[:edge] = steep[-edge:] = steep[:, :edge] = steep[:, -edge:] = False
            numbers = np.flatnonzero(steep)
        else:
            numbers = np.arange(self.steepness.size)
        points = _points(self.shape).reshape(-1)[numbers]
        right, down = points.real, points.imag
        change = np.empty((4, len(numbers)), np.float32)
        across, along = (np.take(part, numbers, out=row) for part, row in zip(self._gradient, change[2:], strict=True))
        np.add(across * right, along * down, out=change[0])
        np.subtract(along * right, across * down, out=change[1])
        steepness, texture = self.steepness.reshape(-1)[numbers], self.texture.reshape(-1)[numbers]
        return Telling(numbers, change, steepness, texture)

    @cached_property
    def in_bytes(self) -> np.ndarray:
        """The texture around a grey of 128, for OpenCV's tracker."""
        return np.clip(self.texture + 128, 0, 255).astype(np.uint8)

    @cached_property
    def corners(self) -> np.ndarray:
        """Of each part of the picture the point that can be followed best: points × 2 (right, down) pixels, float32."""
        height, width = (side // POINTS for side in self.shape)
        if not height or not width:
            return np.empty((0, 2), np.float32)
        sharp = cv2.cornerMinEigenVal(self.in_bytes, 3)[: height * POINTS, : width * POINTS]
        parts = sharp.reshape(height, POINTS, width, POINTS).swapaxes(1, 2).reshape(height, width, -1)
        down, right = np.divmod(parts.argmax(2), POINTS)
        points = np.stack([right + POINTS * np.arange(width), down + POINTS * np.arange(height)[:, None]], -1)
        return points[parts.max(2) > 0].astype(np.float32)

    @cached_property
    def strength(self) -> np.ndarray:
        """Grey levels without their sign."""
        return np.abs(self.texture)

    def moved_back(
        self, move: Similarity, corner: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """The picture before `move`, or the part of `size` (width, height) at `corner`; beyond its edges FAR."""
        return cv2.warpAffine(
            self.texture,
            move.matrix(self.shape, corner),
            size or self.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,  # OpenCV's other ways round shifts, or stretch them
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=FAR,
        )


class FlowPicture:
    """What is needed of a picture to measure flow; each picture is in two pairs. `grey`: height × width bytes."""

    def __init__(self, grey: np.ndarray):
        self.plain = cv2.GaussianBlur(_shrunk(grey).astype(np.float32), (0, 0), 1)
        wide = max(9, min(self.plain.shape) // 4 | 1)
        levels = [Level(self.plain - cv2.blur(self.plain, (wide, wide)))]
        while min(levels[-1].shape) >= 2 * LEAST_SIDE:
            levels.append(Level(cv2.pyrDown(levels[-1].texture)))
        self.levels = levels
        self.half = levels[1] if len(levels) > 1 else levels[0]


def _shrunk(grey: np.ndarray) -> np.ndarray:
    """A picture smaller by a whole number: means of squares, so that fine texture does not flicker when it moves."""
    times = max(1, min(grey.shape) // WORK_SIDE)
    if times == 1:
        return grey
    height, width = (side // times for side in grey.shape)
    return cv2.resize(grey[: height * times, : width * times], (width, height), interpolation=cv2.INTER_AREA)


def find_camera(before: FlowPicture, after: FlowPicture) -> tuple[Similarity, float]:
    """The move of the whole picture, and the share of the texture that it explains (0 to 1; 0 if there is no texture).

    Starts from standing still and, unless that explains enough, from the move of most points that can be followed.
    Where some textured parts stand exactly still, the camera does: what moves is an object, however large.
    """
    standing = explained(before.half, after.half.texture)
    if np.isnan(standing).all():
        return STANDING, 0.0
    moving, move = _best_start(before, after, standing)
    if _mean(moving) < _mean(standing) + SAVED or _stands(standing, moving, before.half, move):
        moving, move = standing, STANDING
    found = _fine(before, after, move, moving)
    share = _mean(explained(before.half, after.half.moved_back(found)))
    if share < _mean(moving) - SAVED:  # what counted was too little
        found, share = move, _mean(moving)
    if _is_small(found, before.plain.shape):
        if not _is_seen(found, before.half, after.half):
            return STANDING, _mean(standing)
        found = _small(before.levels[0], after.levels[0], found)
    return found, share


def _fine(before: FlowPicture, after: FlowPicture, move: Similarity, shares: np.ndarray) -> Similarity:
    """`move` at full size. Only cells that it explains count: what moves by itself would draw it away."""
    if np.count_nonzero(shares > POOR) < LEAST_CELLS:
        return move
    shape = before.plain.shape[::-1]
    counted = cv2.resize((shares > POOR).view(np.uint8), shape, interpolation=cv2.INTER_NEAREST)
    return refined(before.levels[0], after.levels[0], move, LAST_ROUNDS, NARROW, counted.view(bool))


def _is_seen(move: Similarity, before: Level, after: Level) -> bool:
    """Whether a small move explains most cells better than standing still; an object may have drawn it away from there.

    The mean of the move and its inverse stands still, and is as blurred by interpolation as the move.
    """
    moved, back = after.moved_back(move), after.moved_back(move.inverse())
    gain = explained(before, moved) - explained(before, (moved + back) / 2)
    gain = gain[~np.isnan(gain)]
    return bool(gain.size and np.count_nonzero(gain > 0) > MOST_CELLS * gain.size)


def _is_small(move: Similarity, shape: tuple[int, ...]) -> bool:
    """Whether no pixel moves by more than one."""
    return abs(move.factor - 1) * max(shape) / 2 + abs(move.shift) * min(shape) < 1


def _small(before: Level, after: Level, move: Similarity) -> Similarity:
    """A small move more exactly.

    A shift by d pixels, interpolated linearly, shifts waves of a low frequency w (radians per pixel) by
    d (1 - d) (1 - 2 d) w² / 6 pixels less. This error changes least around EVEN. So both pictures are shifted by that
    much, and away from each other by half of the move.
    """
    there = Similarity(1, complex(EVEN, EVEN) / min(before.shape))
    half = Similarity(1 + (move.factor - 1) / 2, move.shift / 2)
    way = there.after(half.inverse())
    return refined(Level(before.moved_back(way)), after, there.after(half), LAST_ROUNDS, NARROW).after(way.inverse())


Start = tuple[np.ndarray, Similarity]  # of each cell the share that is explained, and the move that explains it


def _best_start(before: FlowPicture, after: FlowPicture, standing: np.ndarray) -> Start:
    one, other = before.half, after.half
    best = _better((standing, STANDING), _judged(one, other, _settled(before, after)))
    if _share_of_poor(best) > SOME_POOR:
        best = _better(best, _judged(one, other, _followed(one, other, STANDING)))
    if _share_of_poor(best) > MANY_POOR:
        best = _better(best, _judged(one, other, _followed(one, other, Similarity(1, _shift(one, other)))))
    return best


def _judged(before: Level, after: Level, move: Similarity) -> Start:
    return explained(before, after.moved_back(move)), move


def _followed(before: Level, after: Level, start: Similarity) -> Similarity:
    """The move of most points that can be followed from one picture to the other, STANDING if there are too few.

    What moves by itself has no part in it, however much it stands out.
    """
    points = before.corners
    enough = max(LEAST_CELLS, LEAST_FOLLOWED * len(points))
    if len(points) < enough:
        return STANDING
    matrix = start.matrix(before.shape)
    ends, flags, _ = cv2.calcOpticalFlowPyrLK(
        before.in_bytes,
        after.in_bytes,
        points,
        (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32),
        winSize=AROUND,
        maxLevel=2,
        criteria=UNTIL,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    found = flags.ravel().astype(bool)
    if np.count_nonzero(found) < enough:
        return STANDING
    matrix, agree = cv2.estimateAffinePartial2D(points[found], ends[found], ransacReprojThreshold=APART)
    if matrix is None or np.count_nonzero(agree) < enough:
        return STANDING
    move = Similarity.of(matrix, before.shape)
    return move if move.is_likely() else STANDING


def _better(one: Start, other: Start) -> Start:
    known = ~(np.isnan(one[0]) | np.isnan(other[0]))
    return other if _mean(other[0][known]) > _mean(one[0][known]) else one


def _share_of_poor(start: Start) -> float:
    """The share of cells that are hardly explained. Noise leaves some error in all, a wrong move much in many."""
    known = start[0][~np.isnan(start[0])]
    return float((known < POOR).mean())


def _settled(before: FlowPicture, after: FlowPicture) -> Similarity:
    """Standing still, refined from a coarse level down to half the size."""
    move, last = STANDING, len(before.levels) - 1
    for level in range(min(COARSEST, last), min(1, last) - 1, -1):
        move = refined(before.levels[level], after.levels[level], move, ROUNDS)
    return move


def _shift(before: Level, after: Level) -> complex:
    """The shift of the whole picture, by phase correlation."""
    if min(before.shape) < 2:
        return 0j
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    # It may change its arguments.
    (right, down), _ = cv2.phaseCorrelate(before.texture.copy(), after.texture.copy(), window)
    return complex(right, down) / min(before.shape)


def refined(
    before: Level,
    after: Level,
    move: Similarity,
    rounds: int,
    spread: float = 1.0,
    counted: np.ndarray | None = None,
    rigid: float = 0,
) -> Similarity:
    """`move`, corrected by least squares (inverse compositional).

    `spread`: pixels by which a place may be wrong and still counts. `counted`: flags of the pixels that count.
    `rigid`: weight of the factor's difference from 1, for few pixels, which do not tell a factor from a shift.
    """
    numbers, change, steepness, texture = before.telling
    corner, size = (0, 0), before.shape[::-1]
    if counted is not None:
        chosen = np.flatnonzero(counted.reshape(-1)[numbers])
        numbers, change, steepness, texture = (part.take(chosen, -1) for part in before.telling)
        left, top, width, height = cv2.boundingRect(counted.view(np.uint8))
        rows, columns = np.divmod(numbers, before.shape[1])
        numbers, corner, size = (rows - top) * width + columns - left, (left, top), (width, height)
    scale = 1 / (NOISE + np.float32(spread**2) * steepness)
    for _ in range(rounds):
        error = after.moved_back(move, corner, size).reshape(-1)[numbers]
        error -= texture
        counts = error * error
        counts *= scale
        counts += 1
        counts *= counts
        counts = 1 / counts  # Geman and McClure's
        weighted = change * counts
        square = (weighted @ change.T).astype(float)
        diagonal = square.reshape(-1)[::5]
        diagonal += 1e-3 * diagonal.sum() / 4 + 1e-9
        slope = (weighted @ error)[:, None].astype(float)
        if rigid:
            diagonal[:2] += rigid
            slope[:2, 0] += rigid * (move.factor.real - 1), rigid * move.factor.imag
        _, solution = cv2.solve(square, slope)
        a, b, right, down = solution.ravel().tolist()
        move = move.after(Similarity(complex(1 + a, b), complex(right, down)).inverse())
        if not move.is_likely():
            return STANDING
        if abs(a) + abs(b) + abs(right) + abs(down) < CONVERGED / min(before.shape):
            break
    return move


def explained(before: Level, moved: np.ndarray) -> np.ndarray:
    """Of each cell the share of its texture that is in its place in `moved`, 0 to 1; nan without texture or unseen."""
    error = np.asarray(cv2.absdiff(before.texture, moved))
    seen = cv2.threshold(error, SEEN, 1, cv2.THRESH_BINARY_INV)[1]
    np.minimum(error, 255, out=error)
    np.multiply(error, seen, out=error)
    cell = max(1, min(before.shape) // CELLS)
    shape = max(1, before.shape[0] // cell), max(1, before.shape[1] // cell)
    wrong, texture, visible = (means(part, shape) for part in (error, before.strength * seen, seen))
    share = 1 - np.minimum(wrong / np.maximum(texture, 1e-3), 1)
    share[(visible < 0.6) | (texture < LEAST_TEXTURE * visible)] = np.nan
    return share


def means(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A picture made smaller, to means of equal areas. OpenCV takes three times as long if sides do not divide."""
    return _shares(picture.shape[0], shape[0]) @ picture @ _shares(picture.shape[1], shape[1]).T


@lru_cache(maxsize=16)
def _shares(pixels: int, cells: int) -> np.ndarray:
    """The share that each pixel of a line has in the means of equally long cells: cells × pixels."""
    ends = np.arange(cells + 1)[:, None] * (pixels / cells)
    before_end = (ends - np.arange(pixels)).clip(0, 1)
    return (np.diff(before_end, axis=0) * (cells / pixels)).astype(np.float32)


def median(values: np.ndarray) -> float:
    """The middle value; numpy's own is slow for few values, and slow to load."""
    return float(np.partition(values.reshape(-1), values.size // 2)[values.size // 2])


def _mean(shares: np.ndarray) -> float:
    known = shares[~np.isnan(shares)]
    return float(known.sum()) / known.size if known.size >= LEAST_CELLS else 0.0


def _stands(standing: np.ndarray, moving: np.ndarray, before: Level, move: Similarity) -> bool:
    """Whether enough cells stand still, though a move explains more of the picture. No camera leaves a part unmoved.

    What the move puts out of view stands still if it would look otherwise after the way back, which is as long.
    """
    still = (standing > STILL) & ~(moving > standing - CLEARLY)
    gone = still & np.isnan(moving)
    if gone.any():
        still &= ~(gone & (explained(before, before.moved_back(move.inverse())) > standing - CLEARLY))
    moved = moving > standing + CLEARLY
    return bool(still.any() and still.sum() >= STILL_CELLS * (still.sum() + moved.sum()))
