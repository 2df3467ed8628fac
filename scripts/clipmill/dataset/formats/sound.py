"""The sound of a clip as a wav file, for trainers that read no sound out of videos.

The names of the formats are read while rules are parsed: so NumPy and PyAV are imported only where sound is decoded.
"""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from clipmill.base.errors import ItemError
from clipmill.base.files import atomic

log = logging.getLogger("clipmill")

MORE = 0.001  # seconds that are read beyond the end, of which a part of a sample may be needed


def write_wav(video: Path, wav: Path, seconds: float) -> bool:
    """Write the sound of `video` to `wav`, exactly `seconds` long; silence fills what is missing. False if it fails.

    16 bits, at the sound's own rate, mono or stereo. The file gets the time of the video. So a wav file that has it
    already was made of this video, and is left as it is: nothing is decoded again.
    """
    time = video.stat().st_mtime_ns
    if wav.exists() and wav.stat().st_mtime_ns == time:
        return True
    try:
        content = _read(video, seconds)
    except ItemError as error:
        log.warning("%s: its sound cannot be decoded: %s", video, error)
        return False
    with atomic(wav) as unready:
        unready.write_bytes(content)
        os.utime(unready, ns=(time, time))
    return True


def _read(video: Path, seconds: float) -> bytes:
    """The content of the wav file. Raises ItemError if there is no sound that can be decoded."""
    from clipmill.base.wav import as_wav
    from clipmill.decode.sound import read_sound, resampled

    sound = read_sound(video, 0.0, seconds + MORE)
    if sound is None:
        raise ItemError("no_sound", "the file has no sound")
    if sound.channels > 2:
        sound = resampled(sound, sound.rate, "stereo")
    return as_wav(sound.samples[: math.ceil(seconds * sound.rate)], sound.rate)
