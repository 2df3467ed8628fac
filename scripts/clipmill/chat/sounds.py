"""Sounds as language models take them: WAV files of 16-bit samples, mono, at RATE."""

from __future__ import annotations

import io
import wave

import numpy as np

RATE = 16000  # samples per second: what the encoders of today's models are made for
BYTES = 2  # of a sample


def as_wav(samples: np.ndarray) -> bytes:
    """A WAV file of `samples`: float, of ±1, n of them, mono, RATE per second. What is louder is clipped."""
    whole = np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, BYTES, RATE, len(samples), "NONE", ""))
        writer.writeframes(whole.astype("<i2").tobytes())
    return file.getvalue()


def samples_of(wav: bytes) -> np.ndarray:
    """The samples of a WAV file that `as_wav` wrote, of ±1: float32, n of them."""
    with wave.open(io.BytesIO(wav)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.float32) / 2**15
