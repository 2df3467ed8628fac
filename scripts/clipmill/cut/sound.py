"""Comparing the sound of a clip's file with that of its video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipmill.cut.verify import Mismatch
from clipmill.decode.sound import Sound, read_sound

HOP = 0.01  # seconds: the loudness is compared in steps of this
NEAR, FAR = 2, 50  # steps by which the sound may be off, and up to which it is looked for
UNLIKE, SURELY = 0.5, 0.1  # share of the loudness by which sound differs that is another, and that is well compared
BETTER = 0.5  # sound is off if it fits so much better elsewhere
SILENT = 1e-3  # loudness: of 1


def check_sound(path: Path, wanted: Sound) -> None:
    """Raise Mismatch unless the sound of a file is `wanted` from its beginning on, by its loudness over time."""
    found = read_sound(path, 0.0, len(wanted.samples) / wanted.rate)
    if found is None:
        raise Mismatch("the sound is missing")
    one, other = _loudness(found), _loudness(wanted)
    count = min(len(one), len(other))
    one, other = one[:count], other[:count]
    if not count or max(one.max(), other.max()) < SILENT:
        return
    apart = {shift: _apart(one, other, shift) for shift in range(-FAR, FAR + 1) if abs(shift) < count}
    best = min(apart, key=lambda shift: (apart[shift], abs(shift)))
    near = min(value for shift, value in apart.items() if abs(shift) <= NEAR)
    if abs(best) > NEAR and near > SURELY and apart[best] < BETTER * near:
        raise Mismatch(f"the sound is {best * HOP:+.2f} s off")
    if near > UNLIKE:
        raise Mismatch(f"the sound is not the source's (its loudness is {near:.0%} apart)")


def _loudness(sound: Sound) -> np.ndarray:
    """Root mean square of all channels in each step of HOP."""
    hop = max(1, round(HOP * sound.rate))
    count = len(sound.samples) // hop
    steps = sound.samples[: count * hop].reshape(count, -1).astype(np.float64)
    return np.sqrt((steps**2).mean(axis=1))


def _apart(one: np.ndarray, other: np.ndarray, shift: int) -> float:
    """How far loudness is from another's if it comes `shift` steps later, as a share of their sum."""
    one, other = one[max(0, shift) : len(one) + min(0, shift)], other[max(0, -shift) : len(other) - max(0, shift)]
    total = (one + other).sum() / 2
    return float(np.abs(one - other).sum() / total) if total > 0 else 0.0
