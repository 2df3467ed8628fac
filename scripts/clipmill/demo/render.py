"""Videos of known content: pans of exact speed, fades, letters, bars, and one function to encode them.

Everything is an iterator of frames (arrays of height × width × 3, uint8, blue-green-red), so a whole video is never in
memory. The same call gives the same bytes every time: one thread, no dates, random numbers seeded from names. The demo
is made of these videos, and the tests know their true content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import Interpolation

from clipmill.base.errors import SetupError
from clipmill.base.files import atomic
from clipmill.base.opencv import cv2
from clipmill.decode.media import file_url

Frame = np.ndarray
Size = tuple[int, int]  # width, height in pixels
Rate = int | Fraction  # frames per second

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
CONTAINERS |= {".ts": "mpegts", ".mpg": "mpeg", ".flv": "flv"}
CODEC_OPTIONS = {
    # Its code for AVX-512 gives results that differ from call to call on a busy machine.
    "libx264": {"preset": "veryfast", "x264-params": "cpu-independent=1"},
    "libx265": {"preset": "ultrafast", "x265-params": "pools=none:frame-threads=1:log-level=error"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND  # else white may be one level darker on some processors
VARIABLE_TICK = Fraction(1, 90000)  # seconds; times of a variable frame rate are rounded to it
SOUND_RATE, SOUND_CHUNK, SOUND_PITCH = 48000, 1024, 440  # audio samples per second and per chunk, Hz


def frame_count(seconds: float, fps: Rate) -> int:
    """The number of frames in a shot of `seconds`."""
    return round(seconds * fps)


def generator(name: str) -> np.random.Generator:
    """A random generator that depends on `name` alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


@lru_cache(maxsize=4)
def photograph(name: str) -> Frame:
    """One of the pictures inside scikit-image's wheel, e.g. `coffee.png`; the array is read-only.

    Raises SetupError if scikit-image, or the picture in it, is missing.
    """
    spec = importlib.util.find_spec("skimage")  # found, not imported: the import takes a second
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "scikit-image is not installed, and the demo videos show its photographs; "
            "run `pip install scikit-image`, or use videos of your own"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        raise SetupError(f"{path}: no such picture in this scikit-image; install version 0.26")
    picture.flags.writeable = False
    return picture


def cover(picture: Frame, size: Size) -> Frame:
    """The middle of `picture`, scaled evenly until it fills `size`."""
    width, height = size
    scaled = _scale_to(picture, width, height)
    left, top = (scaled.shape[1] - width) // 2, (scaled.shape[0] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def flat(size: Size, colour: tuple[int, int, int] = (0, 0, 0)) -> Frame:
    """A picture of one colour (blue, green, red)."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def gradient(size: Size) -> Frame:
    """A picture without edges: blue rises to the right, green downwards, red falls to the right; 40 to 215."""
    across, down = np.meshgrid(np.linspace(40, 215, size[0]), np.linspace(40, 215, size[1]))
    return np.dstack([across, down, 255 - across]).round().astype(np.uint8)


def still(picture: Frame, size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
    """A shot in which nothing moves: `picture`, covering `size`."""
    return itertools.repeat(cover(picture, size), frame_count(seconds, fps))


def noise(name: str, size: Size, seconds: float, fps: Rate) -> Iterator[Frame]:
    """Frames of random values, seeded from `name`."""
    chance = generator(name)
    for _ in range(frame_count(seconds, fps)):
        yield chance.integers(0, 256, (size[1], size[0], 3), np.uint8)


def pan(
    picture: Frame,
    size: Size,
    seconds: float,
    fps: Rate,
    speed: float,
    direction: float = 0.0,
    *,
    zoom: float = 0.0,
    wobble: float = 0.0,
    name: str = "",
) -> Iterator[Frame]:
    """A camera moving over `picture` at `speed` pixels of the frame per second; the content moves the other way.

    `direction`: where the camera goes, in degrees: 0 right, 90 down, 180 left. `zoom`: growth of the picture per
    second as a share; negative zooms out. `wobble`: how far a hand shakes the camera, in pixels, seeded from `name`.
    The speed is exact, to a fraction of a pixel, if zoom and wobble are 0. The picture is scaled until the whole path
    lies inside it.
    """
    width, height = size
    toward = np.array([math.cos(math.radians(direction)), math.sin(math.radians(direction))])
    travel = np.abs(toward) * abs(speed) * seconds + 2 * wobble
    scaled = _scale_to(picture, math.ceil(width + travel[0]) + 2, math.ceil(height + travel[1]) + 2)
    middle = (np.array([scaled.shape[1], scaled.shape[0]]) - 1) / 2
    phases = generator(name).uniform(0, 2 * math.pi, (2, 3))
    for number in range(frame_count(seconds, fps)):
        time = float(number / fps)
        magnified = 1 + zoom * time if zoom >= 0 else 1 - zoom * (seconds - time)
        shake = wobble * np.sin(phases + 2 * math.pi * time * np.array([0.37, 0.83, 1.71])) @ [0.5, 0.3, 0.2]
        left, top = middle + toward * speed * (time - seconds / 2) + shake - (np.array(size) - 1) / (2 * magnified)
        view = np.array([[1 / magnified, 0, left], [0, 1 / magnified, top]])
        yield cv2.warpAffine(
            scaled, view, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
        )


def fade(first: Iterable[Frame], second: Iterable[Frame], seconds: float, fps: Rate) -> Iterator[Frame]:
    """`first` dissolves into `second`: the last `seconds` of `first` are mixed with the first `seconds` of `second`.

    Raises ValueError if a shot is shorter than the fade.
    """
    count = frame_count(seconds, fps)
    second = iter(second)
    held: deque[Frame] = deque()
    for frame in first:
        held.append(frame)
        if len(held) > count:
            yield held.popleft()
    coming = list(itertools.islice(second, count))
    if not len(held) == len(coming) == count:
        raise ValueError(f"a fade of {count} frames needs two shots of at least as many")
    for number, (old, new) in enumerate(zip(held, coming, strict=True), 1):
        share = number / (count + 1)
        yield cv2.addWeighted(old, 1 - share, new, share, 0)
    yield from second


def letterbox(frames: Iterable[Frame], share: float) -> Iterator[Frame]:
    """Black bars over the top and bottom of `frames`, `share` of the height in all, each of an even number of rows."""
    for frame in frames:
        bar = 2 * round(frame.shape[0] * share / 4)
        yield cv2.copyMakeBorder(frame[bar : len(frame) - bar], bar, bar, 0, 0, cv2.BORDER_CONSTANT)


def text_page(lines: Sequence[str], size: Size) -> tuple[Frame, float]:
    """A light page full of dark letters, and the share of its area inside the lines' boxes (0–1)."""
    pitch = size[1] / (len(lines) + 0.6)
    tops = [round(pitch * (number + 0.55)) for number in range(len(lines))]
    ink, share = _letters(lines, size, tops, pitch * 0.5)
    return _inked(flat(size, (225, 236, 240)), ink, 30), share


def subtitle(frames: Iterable[Frame], text: str, size: Size) -> tuple[Iterator[Frame], float]:
    """`frames` with a white line of `text`, black-rimmed, near the bottom; and its box's share of the area (0–1)."""
    ink, share = _letters([text], size, [round(size[1] * 0.86)], size[1] * 0.06)
    rim = cv2.dilate(ink, np.ones((5, 5), np.uint8))
    _, top, _, height = cv2.boundingRect(rim)
    rows = slice(top, top + height)

    def titled() -> Iterator[Frame]:
        for frame in frames:
            shown = frame.copy()
            shown[rows] = _inked(_inked(frame[rows], rim[rows], 0), ink[rows], 255)
            yield shown

    return titled(), share


def encode(
    path: Path,
    frames: Iterable[Frame],
    size: Size,
    fps: Rate,
    *,
    times: Sequence[float | Fraction] | None = None,
    rotation: int = 0,
    pixel_aspect: tuple[int, int] = (1, 1),
    pixel_format: str = "yuv420p",
    codec: str = "libx264",
    keyframe_interval: int | None = None,
    b_frames: int | None = None,
    container: str | None = None,
    audio: bool = False,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> int:
    """Write `frames` into the video file `path`, whole or not at all. Returns the number of frames.

    `size`: of the given frames. `fps`: frames per second; with `times`, only the rate that the file claims.
    `times`: presentation time of each frame in seconds, rising, rounded to 1/90000 (Matroska and WebM: to 1/1000);
    the last frame lasts as long as the one before it, but MP4 can say so only with `b_frames=0`.
    `rotation`: 0, 90, 180 or 270 degrees, the counter-clockwise turn that a player must make. The given frames are
    those that a viewer sees; they are stored turned back. `pixel_aspect`: width to height of a stored pixel.
    `keyframe_interval`: frames from one key frame to the next, with none in between; None: the encoder's choice
    (H.264: at cuts). `b_frames`: most B-frames in a row; None: the encoder's choice.
    `container`: FFmpeg's name of the format; None: by the path's suffix. AVI keeps no presentation times: give it
    `b_frames=0` and no `times`. `audio`: add a sine tone of the same length.
    `options` and `container_options`: options of the encoder and of the format, by FFmpeg's names.

    Raises ValueError for no frames, frames that do not fit `size` or `times`, and settings that make no sense.
    """
    if rotation not in (0, 90, 180, 270):
        raise ValueError(f"rotation {rotation} is not 0, 90, 180 or 270 degrees")
    container = container or CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise ValueError(f"{path}: no container known for this suffix; name one")
    settings = {**(container_options or {}), "fflags": "+bitexact"}
    with atomic(path) as temporary, av.open(file_url(temporary), "w", format=container, options=settings) as output:
        stream = output.add_stream(codec, rate=fps, options={**CODEC_OPTIONS.get(codec, {}), **(options or {})})
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        stream.width, stream.height = size if rotation % 180 == 0 else size[::-1]
        stream.pix_fmt = pixel_format
        context.thread_count = 1
        context.flags |= Flags.bitexact
        context.sample_aspect_ratio = Fraction(*pixel_aspect)
        context.time_base = VARIABLE_TICK if times is not None else 1 / Fraction(fps)
        if rotation:
            stream.set_display_rotation(rotation)
        if b_frames is not None:
            context.max_b_frames = b_frames
        if keyframe_interval is not None:
            context.gop_size = keyframe_interval
            context.options = {**context.options, "sc_threshold": "0"}
        sound = _add_sound(output, container) if audio else None
        return _write(output, stream, sound, frames, size, rotation, times)


def _write(
    output: av.container.OutputContainer,
    stream: av.VideoStream,
    sound: av.AudioStream | None,
    frames: Iterable[Frame],
    size: Size,
    rotation: int,
    times: Sequence[float | Fraction] | None,
) -> int:
    """Encode and mux `frames`, each with the sound up to its end. Returns the number of frames."""
    tick = stream.codec_context.time_base
    starts = None if times is None else _starts(times)
    lengths: dict[int, int] = {}
    count = chunks = 0

    def mux(packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None
            packet.duration = lengths.pop(packet.pts)
            output.mux(packet)

    for count, array in enumerate(frames, 1):
        if array.shape != (size[1], size[0], 3):
            raise ValueError(f"frame {count - 1} has shape {array.shape}, which does not fit {size}")
        if starts is not None and count >= len(starts):
            raise ValueError(f"more frames than the {len(starts) - 1} times given")
        start, end = (count - 1, count) if starts is None else starts[count - 1 : count + 1]
        lengths[start] = end - start
        turned = np.ascontiguousarray(np.rot90(array, -rotation // 90))
        frame = av.VideoFrame.from_ndarray(turned, "bgr24").reformat(
            format=stream.pix_fmt, interpolation=EXACT, threads=1
        )
        frame.pts, frame.time_base = start, tick
        mux(stream.encode(frame))
        while sound and chunks * SOUND_CHUNK < end * tick * SOUND_RATE:
            output.mux(sound.encode(_sine(chunks)))
            chunks += 1
    if starts is not None and count + 1 != len(starts):
        raise ValueError(f"{count} frames, but {len(starts) - 1} times")
    if count == 0:
        raise ValueError("no frames to encode")
    mux(stream.encode())
    if sound:
        output.mux(sound.encode())
    return count


def _starts(times: Sequence[float | Fraction]) -> list[int]:
    """The start of each frame in ticks, and the end of the last one."""
    starts = [round(Fraction(time) / VARIABLE_TICK) for time in times]
    if any(later <= earlier for earlier, later in itertools.pairwise(starts)):
        raise ValueError("the times given do not rise")
    step = starts[-1] - starts[-2] if len(starts) > 1 else round(1 / VARIABLE_TICK)
    return [*starts, starts[-1] + step] if starts else [0]


def _add_sound(output: av.container.OutputContainer, container: str) -> av.AudioStream:
    codec = {"webm": "libopus", "mpeg": "mp2"}.get(container, "aac")
    sound = output.add_stream(codec, rate=SOUND_RATE, layout="mono")
    assert isinstance(sound, av.AudioStream)
    sound.codec_context.flags |= Flags.bitexact
    return sound


def _sine(chunk: int) -> av.AudioFrame:
    """SOUND_CHUNK audio samples of a quiet sine tone, from sample `chunk` × SOUND_CHUNK on."""
    samples = np.arange(chunk * SOUND_CHUNK, (chunk + 1) * SOUND_CHUNK)
    wave = 0.1 * np.sin(2 * math.pi * SOUND_PITCH / SOUND_RATE * samples)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, chunk * SOUND_CHUNK, Fraction(1, SOUND_RATE)
    return frame


def _scale_to(picture: Frame, width: int, height: int) -> Frame:
    """`picture` scaled evenly to the smallest size that is at least `width` × `height`."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    size = max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _letters(lines: Sequence[str], size: Size, tops: Sequence[int], height: float) -> tuple[Frame, float]:
    """The ink of each pixel (0–255): centred lines about `height` pixels high; and their boxes' share of the area."""
    width = size[0]
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, 1 if height < 16 else 2
    (widest, tall), _ = max((cv2.getTextSize(line, font, 1, thickness) for line in lines), key=lambda text: text[0][0])
    scale = min(height / tall, 0.92 * width / widest)
    ink = np.zeros((size[1], width), np.uint8)
    area = 0
    for line, top in zip(lines, tops, strict=True):
        scratch = np.zeros((round(3 * height) + 20, 2 * width), np.uint8)
        cv2.putText(scratch, line, (width // 4, round(2 * height)), font, scale, 255, thickness, cv2.LINE_AA)
        x, y, across, down = cv2.boundingRect(scratch)
        left = (width - across) // 2
        ink[top : top + down, left : left + across] = scratch[y : y + down, x : x + across]
        area += across * down
    return ink, area / (width * size[1])


def _inked(picture: Frame, ink: Frame, level: int) -> Frame:
    """`picture` with `ink` of the grey `level` laid over it."""
    share = cv2.merge([ink, ink, ink]).astype(np.float32) / 255
    return np.rint(picture * (1 - share) + level * share).astype(np.uint8)
