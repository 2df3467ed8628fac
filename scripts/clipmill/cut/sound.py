"""Comparing the sound of a clip's file with that of its video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipmill.cut.verify import Mismatch
from clipmill.decode.media import open_video, sound_stream
from clipmill.decode.sound import Sound, read_sound, resampled

LAYOUTS = {1: "mono", 2: "stereo"}  # FFmpeg's names of the channels of a file
NEAR = 0.001  # seconds by which sound may be off
FAR = 0.5  # up to which it is looked for
LIKE = 0.5  # correlation of sound that is the source's, at least
BETTER, SURELY = 0.5, 0.99  # sound is off if elsewhere so much less is missing to 1, and here it correlates no better
# AAC keeps the samples of low sound, and of high sound often no more than the loudness.
LOW_RATE = 8000  # samples per second that low sound needs
LOW_SHARE = 0.01  # of the power: with less of it, the loudness over time is compared
LOUDNESS_RATE = 1000  # values per second of loudness
UNLIKE, UNLIKE_LOW = 0.5, 1.0  # share of the loudness by which another sound differs; where low sound is compared too
HOP = 0.01  # seconds over which that is compared
SILENT = 1e-3  # loudness: of 1


def check_sound(path: Path, wanted: Sound, rate: int, channels: int, frame_seconds: float) -> None:
    """Raise Mismatch unless the sound of a file is `wanted` from its beginning on.

    `rate`, `channels`: those that the file must have. `frame_seconds`: by which its length may differ.
    """
    with open_video(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise Mismatch("the sound is missing")
        if (stream.rate, stream.channels) != (rate, channels):
            raise Mismatch(f"the sound has {stream.rate} samples per second and {stream.channels} channels")
        seconds = float((stream.duration or 0) * (stream.time_base or 0))
    if abs(seconds - wanted.seconds) > frame_seconds:
        raise Mismatch(f"the sound is {seconds:.3f} s long, and the picture {wanted.seconds:.3f} s")
    found = read_sound(path, 0.0, wanted.seconds)
    if found is None:
        raise Mismatch("the sound is missing")
    _compare(found, resampled(wanted, rate, LAYOUTS[channels]))


def _compare(found: Sound, wanted: Sound) -> None:
    """Raise Mismatch unless two sounds, of the same rate and channels, are the same at the same time."""
    one, other = _loudness(found, HOP), _loudness(wanted, HOP)
    count = min(len(one), len(other))
    one, other = one[:count], other[:count]
    if not count or max(one.max(), other.max()) < SILENT:
        return
    low, low_wanted = resampled(found, LOW_RATE), resampled(wanted, LOW_RATE)
    has_low = (low_wanted.samples**2).mean() > LOW_SHARE * (wanted.samples**2).mean()
    if has_low:
        alike, rate = _correlation(low.samples, low_wanted.samples, LOW_RATE), LOW_RATE
    else:
        loud, loud_wanted = (_loudness(sound, 1 / LOUDNESS_RATE)[:, None] for sound in (found, wanted))
        alike = _correlation(loud - loud.mean(), loud_wanted - loud_wanted.mean(), LOUDNESS_RATE)
        rate = LOUDNESS_RATE
    middle, near = len(alike) // 2, max(1, round(NEAR * rate))
    best = int(alike.argmax())
    here = float(alike[middle - near : middle + near + 1].max())
    if here < SURELY and alike[best] > LIKE and 1 - alike[best] < BETTER * (1 - here):
        raise Mismatch(f"the sound is {(best - middle) / rate:+.4f} s off")
    apart = float(np.abs(one - other).sum() / ((one + other).sum() / 2))
    if apart > (UNLIKE_LOW if has_low else UNLIKE):
        raise Mismatch(f"the sound is not the source's (its loudness is {apart:.0%} apart)")
    if has_low and here < LIKE:
        raise Mismatch(f"the sound is not the source's (its correlation is {here:.2f})")


def _loudness(sound: Sound, hop: float) -> np.ndarray:
    """Root mean square of all channels in each step of `hop` seconds."""
    edges = np.round(np.arange(int(sound.seconds / hop + 1e-6) + 1) * hop * sound.rate).astype(int)
    powers = np.append(0, np.cumsum((sound.samples.astype(np.float64) ** 2).mean(axis=1)))
    return np.sqrt(np.diff(powers[edges]) / np.diff(edges))


def _correlation(one: np.ndarray, other: np.ndarray, rate: int) -> np.ndarray:
    """Correlation of two sounds of the same `rate`, if the first one comes later by −n to n samples.

    The greatest n is FAR, where sound is long enough. 1 is the same sound, 0 another one.
    """
    size = 1 << (len(one) + len(other)).bit_length()
    spectra = np.fft.rfft(one, size, axis=0) * np.conj(np.fft.rfft(other, size, axis=0))
    products = np.fft.irfft(spectra.sum(axis=1))
    far = min(round(FAR * rate), min(len(one), len(other)) - 1)
    energy = np.sqrt(float((one**2).sum(dtype=np.float64)) * float((other**2).sum(dtype=np.float64)))
    return np.concatenate([products[-far:], products[: far + 1]]) / max(energy, 1e-12)
