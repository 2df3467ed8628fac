"""The sound of a clip as a wav file, for trainers that read no sound out of videos.

The names of the formats are read while rules are parsed: so PyAV is imported only where sound is decoded.
"""

from __future__ import annotations

import logging
import math
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clipmill.base.files import atomic

if TYPE_CHECKING:
    import av

log = logging.getLogger("clipmill")

BYTES = 2  # of a sample of one channel


def write_wav(video: Path, wav: Path, seconds: float) -> bool:
    """Write the sound of `video` to `wav`, exactly `seconds` long; silence fills what is missing. False if it fails.

    16 bits, at the sound's own rate, mono or stereo. The file gets the time of the video. So a wav file that has it
    already was made of this video, and is left as it is: nothing is decoded again.
    """
    from av.error import FFmpegError

    time = video.stat().st_mtime_ns
    if wav.exists() and wav.stat().st_mtime_ns == time:
        return True
    try:
        with atomic(wav) as unready:
            _write(video, unready, seconds)
            os.utime(unready, ns=(time, time))
    except (FFmpegError, IndexError) as error:
        log.warning("%s: its sound cannot be decoded: %s", video, error)
        return False
    return True


def _write(video: Path, wav: Path, seconds: float) -> None:
    import av

    with av.open(video) as container, wave.open(str(wav), "wb") as file:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, min(stream.channels, 2)
        file.setparams((channels, BYTES, rate, 0, "NONE", ""))
        left = math.ceil(seconds * rate) * channels * BYTES
        for samples in _samples(container, stream, rate, channels):
            file.writeframesraw(samples[:left])
            left -= min(left, len(samples))
            if not left:
                break
        file.writeframes(bytes(left))


def _samples(
    container: av.container.InputContainer, stream: av.AudioStream, rate: int, channels: int
) -> Iterator[bytes]:
    """The samples from the first picture on: silence if the sound begins later, and nothing of before."""
    from av import AudioResampler

    resampler = AudioResampler(format="s16", layout="stereo" if channels == 2 else "mono", rate=rate)
    picture = container.streams.video[0]
    begin = float(picture.start_time * picture.time_base) if picture.start_time and picture.time_base else 0.0
    before: int | None = None  # bytes that come before the first picture
    for frame in container.decode(stream):
        if before is None:
            late = round(((frame.time or 0.0) - begin) * rate) * channels * BYTES
            before = max(-late, 0)
            yield bytes(max(late, 0))
        for part in resampler.resample(frame):
            samples = part.to_ndarray().tobytes()
            yield samples[before:]
            before -= min(before, len(samples))
