"""Sounds as language models take them: WAV files of 16-bit samples, mono, at RATE."""

from __future__ import annotations

import io
import wave

import numpy as np

from clipmill.base import wav

RATE = 16000  # samples per second: what the encoders of today's models are made for


def as_wav(samples: np.ndarray) -> bytes:
    """A WAV file of `samples`: float, of ±1, n of them, mono, RATE per second. What is louder is clipped."""
    return wav.as_wav(samples[:, None], RATE)


def samples_of(file: bytes) -> np.ndarray:
    """The samples of a WAV file that `as_wav` wrote, of ±1: float32, n of them."""
    with wave.open(io.BytesIO(file)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.float32) / 2**15
