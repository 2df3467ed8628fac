"""WAV files of 16-bit samples."""

from __future__ import annotations

import io
import wave

import numpy as np

BYTES = 2  # of a sample of one channel


def as_wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file of `samples`: float, n × channels, of ±1, `rate` per second. What is louder is clipped."""
    whole = np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((samples.shape[1], BYTES, rate, len(samples), "NONE", ""))
        writer.writeframes(whole.astype("<i2").tobytes())
    return file.getvalue()
