"""Frames per second of one way to decode a film, in a process of its own.

    python tests/gpu/decoding.py WAY FILM [--lines 1080] [--seconds 20] [--threads 8]

WAY is `job` (clipmill's decode job with all its measurements), `bare` (decoding alone, on the same cores),
`pynvvideocodec` or `torchcodec` (on the card, where the frames stay). The film is made if it is not there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "bench")]

import av

import bench
from clipmill.demo import render

RATE = 25  # frames per second of the film
AT_ONCE = 64  # frames that torchcodec gives at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("film", type=Path)
    parser.add_argument("--lines", type=int, default=1080)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=8)
    args = parser.parse_args()
    if not args.film.exists():
        size = (args.lines * 16 // 9 // 2 * 2, args.lines)
        render.encode(args.film, render.pan(render.photograph("coffee.png"), size, args.seconds, RATE, 60), size, RATE)
    run = WAYS[args.way]
    run(args.film, args.threads)  # what is loaded once for many films is not timed
    start = time.perf_counter()
    frames = run(args.film, args.threads)
    print(f"{args.way}: {frames / (time.perf_counter() - start):.0f} frames/s")


def job(film: Path, threads: int) -> int:
    """All that a decode job does with a film."""
    with tempfile.TemporaryDirectory() as folder:
        (row,) = bench.decode_folder(film, Path(folder), threads)
    return row["frames"]


def bare(film: Path, threads: int) -> int:
    """Decoding alone."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        return sum(1 for _ in container.decode(stream))


def pynvvideocodec(film: Path, threads: int) -> int:
    """NVIDIA's own package. Frames stay on the card."""
    import PyNvVideoCodec

    decoder = PyNvVideoCodec.SimpleDecoder(str(film), gpu_id=0, use_device_memory=True)
    return sum(1 for _ in (decoder[number] for number in range(len(decoder))))


def torchcodec(film: Path, threads: int) -> int:
    """PyTorch's package. Frames stay on the card."""
    import torch
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(film), device="cuda", seek_mode="approximate")
    count = len(decoder)
    for first in range(0, count, AT_ONCE):
        decoder.get_frames_in_range(first, min(first + AT_ONCE, count))
    torch.cuda.synchronize()
    return count


WAYS: dict[str, Callable[[Path, int], int]] = {
    "job": job,
    "bare": bare,
    "pynvvideocodec": pynvvideocodec,
    "torchcodec": torchcodec,
}


if __name__ == "__main__":
    main()
