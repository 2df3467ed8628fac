"""What the camera does in a clip, and what moves by itself, from the signals of its kept frames."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from clipmill.decode.similarity import places
from clipmill.split.measured import clip_pairs, numbers
from clipmill.store.table import Row
from clipmill.store.tables import MIXED, PANS, ROLLS, STATIC, TILTS, UNKNOWN, ZOOMS, Clip

CERTAIN = 0.3  # share of the texture that a move explains, at least, or else it says nothing
MOST_PAIRS = 0.6  # share of the pairs of kept frames that must say something
STANDS = 0.1  # % of the short side per second: a camera that moves less stands
SHAKEN = 5.0  # the same for one that is held by hand, and goes nowhere
ONE_WAY = 0.6  # share of its way that a camera goes in one direction, at least
OTHER = 0.5  # the greatest share of the main move that another one may have
POINTS = 12  # along the short side, at which a camera's way is measured


def camera_score(clip: Clip, signals: pa.Table, crops: pa.Table | None = None) -> Row:
    """CAMERA row of one clip. `crops`: the signals of the kept frames of a cropped clip."""
    pairs = clip_pairs(clip, signals, crops)
    row: Row = {"clip_id": clip["clip_id"]}
    certainty = numbers(pairs, "camera_certainty")
    if certainty.size == 0:
        message = f"{clip['seconds']:.2f} s hold fewer than two samples; raise decode.samples_per_second"
        return {**row, "camera": UNKNOWN, "error_kind": "too_few_samples", "error": message}
    row |= {
        "camera_certainty": float(certainty.mean()),
        "subject_motion": float(numbers(pairs, "subject_motion").mean()),
    }
    certain = certainty >= CERTAIN
    if certain.mean() < MOST_PAIRS:
        return {**row, "camera": UNKNOWN}
    right, down, zoom, roll = (numbers(pairs, f"camera_{name}")[certain] for name in ("right", "down", "zoom", "roll"))
    points = _points(clip["width"], clip["height"])
    turn = np.radians(roll)
    lengths = _lengths(points, right + 1j * down, zoom - 1j * turn, numbers(pairs, "seconds")[certain])
    from_middle = np.abs(points).mean()
    moves = np.stack([right, down, from_middle * zoom, from_middle * turn])
    return {
        **row,
        "camera": _label(moves, lengths),
        "camera_speed": float(lengths.mean()),
        "camera_zoom": float(np.expm1(zoom.mean())),
        "camera_roll": float(roll.mean()),
        "camera_shake": float(np.hypot(right.std(), down.std())),
    }


def _points(width: int, height: int) -> np.ndarray:
    """Places spread over a picture: right + i · down from its middle, in % of the short side."""
    short = min(width, height)
    right, down = places((POINTS * height // short, POINTS * width // short))
    return 100 * (right + 1j * down).ravel()


def _lengths(points: np.ndarray, moved: np.ndarray, grown: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Of each pair of kept frames the mean way of the picture's points, in % of the short side per second.

    `moved`: the camera's own way per second, like `points`. `grown`: the logarithm of the factor by which the picture
    grows and turns in a second. `seconds`: between the two frames.
    """
    ways = np.outer(np.exp(grown * seconds) - 1, points) - (moved * seconds)[:, None]
    return np.asarray(np.abs(ways).mean(1) / seconds)


def _label(moves: np.ndarray, lengths: np.ndarray) -> str:
    """`moves`: 4 × pairs, how fast the picture's points move by the camera's way right, down, inwards and clockwise."""
    mean, way = moves.mean(1), float(lengths.mean())
    direct = float(np.linalg.norm(mean))
    if way < STANDS:
        return STATIC
    if direct < ONE_WAY * way:
        return STATIC if direct < 0.25 * way and way < SHAKEN else MIXED
    sizes = np.abs(mean)
    main = int(sizes.argmax())
    if np.delete(sizes, main).max() > OTHER * sizes[main]:
        return MIXED
    back, forth = (PANS, TILTS, ZOOMS, ROLLS)[main]
    return forth if mean[main] > 0 else back
