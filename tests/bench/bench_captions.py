"""What captioning by an endpoint costs our side: a server that answers each request after 200 ms, whatever it gets.

    python tests/bench/bench_captions.py [--clips 20000]

Each clip has eight frames of 854 × 480, as the archive of samples keeps them. The server is a process of its own; what
is told is the processor time of the process that captions, and the memory that it holds in the course of the work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from clipmill.captions.captioner import Captioner
from clipmill.captions.shard import caption_shards
from clipmill.chat.endpoint import Endpoint
from clipmill.decode.frames import ArchiveWriter
from clipmill.decode.video import DecodePaths
from clipmill.demo import render
from clipmill.store import tables

LATENCY, UNDER_WAY = 0.2, 64  # seconds, requests
DEMO_VIDEOS, FRAMES, SIZE, QUALITY = 400, 8, (854, 480), 90
SAID = {"role": "assistant", "content": "A red car drives along a wet road at night while rain falls on its roof."}
BODY = json.dumps({"choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)


class Server(asyncio.BufferedProtocol):
    """Throws away what it reads, as cheaply as can be, and answers LATENCY after the end of each request."""

    def __init__(self) -> None:
        self.buffer, self.head, self.missing = bytearray(1 << 20), b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, hint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        if self.missing < 0:
            self.head += bytes(self.buffer[:count])
            begin, found, body = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            length = begin.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            self.head, self.missing = b"", int(length) - len(body)
        else:
            self.missing -= count
        if self.missing == 0:
            self.missing = -1
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, HEAD + BODY)


def serve(ports: Any) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def make_samples(outdir: Path) -> float:
    """The archive and the signals of one video; the mean size of a sample in bytes."""
    paths = DecodePaths.of(outdir, "000000", "v")
    for path in (paths.frames, paths.signals):
        path.parent.mkdir(parents=True, exist_ok=True)
    archive = ArchiveWriter(paths.frames, QUALITY)
    picture = render.photograph("chelsea.png")
    for frame in range(DEMO_VIDEOS):
        archive.add(frame, np.roll(render.cover(picture, SIZE), frame, axis=1))
    archive.close("key")
    tables.SIGNALS.write(paths.signals, [{"frame": n, "time": n / 2, "sample": n} for n in range(DEMO_VIDEOS)])
    return paths.frames.stat().st_size / DEMO_VIDEOS


def make_clips(count: int) -> list[dict[str, Any]]:
    row = dict.fromkeys(column.name for column in tables.VERDICTS.columns)
    row |= {"video_id": "v", "source_key": "key", "seconds": 10.0, "width": SIZE[0], "height": SIZE[1], "fps": 24.0}
    starts = (number % (DEMO_VIDEOS - 2 * FRAMES) for number in range(count))
    return [
        {**row, "clip_id": f"v_{number}", "start_frame": start, "end_frame": start + 2 * FRAMES}
        for number, start in enumerate(starts)
    ]


def caption(outdir: Path, port: int, count: int, results: Any) -> None:
    """Caption, and tell the rate, the processor time and the memory on the way."""
    memory: dict[int, float] = {}

    class Told(Captioner):
        def caption(self, clips):
            for number, answered in enumerate(super().caption(clips)):
                if number % (count // 10) == 0:
                    memory[number] = resident()
                yield answered

    endpoint = Endpoint([f"http://127.0.0.1:{port}/v1"], "m", None, None, {}, 5, 1.0, 60.0, {})
    endpoint.batch = UNDER_WAY
    prompt = "Describe this clip of {seconds} seconds in one paragraph."
    captioner = Told(endpoint, prompt, None, FRAMES, None, 1024, "images", False, 512, 0, 0)
    clips = make_clips(count)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    rows = caption_shards(captioner, {"000000": clips}, outdir, 0.0)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    assert [row["caption"] for row in rows] == [SAID["content"]] * count
    results.put((seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory))


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20000)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ports, results = context.Queue(), context.Queue()
    context.Process(target=serve, args=(ports,), daemon=True).start()
    port = ports.get(timeout=60)
    with tempfile.TemporaryDirectory() as folder:
        size = make_samples(Path(folder))
        process = context.Process(target=caption, args=(Path(folder), port, arguments.clips, results), daemon=True)
        process.start()
        seconds, spent, memory = results.get()
        process.join()
    print(f"{arguments.clips} clips, {FRAMES} frames of {size / 1000:.0f} kB each, {UNDER_WAY} requests under way")
    print(f"{arguments.clips / seconds:.0f} clips a second; the server's latency allows {UNDER_WAY / LATENCY:.0f}")
    print(f"{arguments.clips / spent:.0f} clips a second of processor time")
    print("MiB held after so many clips: " + ", ".join(f"{number}: {held:.0f}" for number, held in memory.items()))


if __name__ == "__main__":
    main()
