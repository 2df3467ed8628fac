"""Films that change midway: pieces are encoded one by one and joined into one file, as recorders and players do it.

Each frame carries its number as a row of black and white fields, and shows a disc, so that a wrong frame, a wrong size
and a wrong pixel shape are seen in the picture.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np

BITS = 10
RATE = 25
BEGIN = 10.0  # seconds: a stream that begins at 0 would be moved to make room for what is decoded before it


def numbered(number: int, size: tuple[int, int]) -> np.ndarray:
    """Frame `number`, width × height of `size`: RGB."""
    width, height = size
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    grey = 100 + 40 * np.sin(7 * across + 0.17 * number) + 20 * np.cos(5 * down - 0.11 * number)
    frame = np.stack([grey, 0.8 * grey + 20, 200 - 0.6 * grey], 2).clip(0, 255).astype(np.uint8)
    cv2.circle(frame, (width // 2, height // 4), min(size) // 6, (255, 230, 0), -1)
    grey_code = number ^ number >> 1  # of which one bit changes from frame to frame: no cut is seen in them
    for bit in range(BITS):
        left, right = width * bit // BITS, width * (bit + 1) // BITS
        frame[height * 6 // 10 : height * 8 // 10, left:right] = 235 if grey_code >> bit & 1 else 20
    frame[: height // 8, : width // 8] = (220, 30, 30)  # so that a turn is seen
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number that a picture carries."""
    height, width = frame.shape[:2]
    row = frame[height * 66 // 100 : height * 74 // 100].mean((0, 2))
    number = 0
    for bit in reversed(range(BITS)):
        is_set = row[int(width * (bit + 0.3) / BITS) : int(width * (bit + 0.7) / BITS) + 1].mean() > 128
        number |= (is_set ^ (number >> bit + 1 & 1)) << bit
    return number


def roundness(frame: np.ndarray) -> float:
    """Width of the disc over its height."""
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    down, across = np.nonzero((red > 190) & (green > 170) & (blue < 110))
    return float((np.ptp(across) + 1) / (np.ptp(down) + 1))


def is_upright(frame: np.ndarray) -> bool:
    """Whether the red corner is the upper left one."""
    corner = frame[frame.shape[0] // 16, frame.shape[1] // 16].astype(int)
    return bool(abs(corner - (220, 30, 30)).max() < 60)


@dataclass(frozen=True)
class Piece:
    """A run of frames that are stored alike."""

    count: int = 60
    shown: tuple[int, int] = (320, 180)  # width and height as shown
    stored: tuple[int, int] | None = None  # as stored, if pixels are not square
    rate: int = RATE
    start: float | None = None  # seconds on the clock of the stream; by default the end of the piece before
    codec: Sequence[str] = ("libx264", "-preset", "veryfast", "-x264-params", "keyint=20:scenecut=0:bframes=2")
    pixels: str = "yuv420p"
    colours: str | None = None
    turn: int | None = None  # degrees that an SEI tells the player to turn by

    @property
    def seconds(self) -> float:
        return self.count / self.rate


def ffmpeg(*arguments: object, frames: Iterable[np.ndarray] = ()) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)


def encode(piece: Piece, first: int, start: float, path: Path) -> None:
    """Encode a piece whose first frame has the number `first`."""
    pictures = [numbered(number, piece.shown) for number in range(first, first + piece.count)]
    if piece.turn:
        pictures = [np.ascontiguousarray(np.rot90(picture, -piece.turn // 90)) for picture in pictures]
    height, width = pictures[0].shape[:2]
    filters, (wide, high) = [], piece.stored or (width, height)
    if piece.stored:
        aspect = Fraction(width * high, height * wide).limit_denominator(255)
        filters = ["-vf", f"scale={wide}:{high},setsar={aspect.numerator}/{aspect.denominator}"]
    codec, *options = piece.codec
    colours = ["-colorspace", piece.colours] if piece.colours else []
    turned = ["-bsf:v", f"h264_metadata=display_orientation=insert:rotate={piece.turn}"] if piece.turn else []
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", piece.rate, "-i", "-"]
    ffmpeg(*source, *filters, "-c:v", codec, *options, "-pix_fmt", piece.pixels, *colours, *turned,
           "-output_ts_offset", start, path, frames=pictures)  # fmt: skip


def joined(path: Path, pieces: Sequence[Piece]) -> Path:
    """Pieces one after the other in one file. MPEG-TS is joined byte by byte, other containers are copied from that."""
    stream = path if path.suffix == ".ts" else path.with_name(f"{path.name}.ts")
    clock, number, parts = BEGIN, 0, []
    for place, piece in enumerate(pieces):
        start = clock if piece.start is None else BEGIN + piece.start
        part = path.with_name(f"{path.stem}-{place}.ts")
        encode(piece, number, start, part)
        clock, number = start + piece.seconds, number + piece.count
        parts.append(part)
    stream.write_bytes(b"".join(part.read_bytes() for part in parts))
    if stream != path:
        ffmpeg("-copyts", "-i", stream, "-c", "copy", path)
        stream.unlink()
    for part in parts:
        part.unlink()
    return path


def pictures_of(path: Path) -> list[np.ndarray]:
    """All frames of a file, RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


PLAIN = Piece()
MPEG2 = ("mpeg2video", "-q:v", "3", "-g", "12", "-bf", "2")

# Films by name, and what changes at the second piece.
FILMS = {
    "smaller.ts": ([PLAIN, replace(PLAIN, shown=(240, 136))], "size"),
    "smaller.mkv": ([PLAIN, replace(PLAIN, shown=(240, 136))], "size"),
    "smaller.mp4": ([PLAIN, replace(PLAIN, shown=(240, 136))], "size"),
    "upright.ts": ([PLAIN, replace(PLAIN, shown=(180, 320))], "size"),
    "wider.ts": (
        [Piece(shown=(240, 180), stored=(180, 144)), Piece(shown=(320, 180), stored=(180, 144))],
        "pixel shape",
    ),
    "narrower.ts": ([Piece(stored=(320, 180)), Piece(shown=(240, 180), stored=(320, 180))], "pixel shape"),
    "wider_mpeg2.ts": (
        [
            Piece(shown=(240, 180), stored=(180, 144), codec=MPEG2),
            Piece(shown=(320, 180), stored=(180, 144), codec=MPEG2),
        ],
        "pixel shape",
    ),
    "turned.ts": ([PLAIN, replace(PLAIN, turn=90)], "rotation"),
    "deeper.ts": ([PLAIN, replace(PLAIN, pixels="yuv420p10le")], "pixel format"),
    "matrix.ts": ([replace(PLAIN, colours="smpte170m"), replace(PLAIN, colours="bt709")], "colours"),
    "faster.ts": ([PLAIN, replace(PLAIN, rate=50)], "codec parameters"),
    "again.ts": ([PLAIN, replace(PLAIN, start=0)], "clock"),
    "overlap.ts": ([PLAIN, replace(PLAIN, start=1.5)], "clock"),
    "hour.ts": ([PLAIN, replace(PLAIN, start=3600)], "clock"),
    "hour.mkv": ([PLAIN, replace(PLAIN, start=3600)], "clock"),
    "hole.ts": ([PLAIN, replace(PLAIN, start=7)], "clock"),
    "back_faster.ts": ([replace(PLAIN, start=900), replace(PLAIN, rate=50, start=0)], "clock"),
    "three.ts": ([PLAIN, replace(PLAIN, shown=(240, 136)), PLAIN], "size"),
}
