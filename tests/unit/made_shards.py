"""Shards of made frames, quick to write, and a backend that tells what it was given."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from clipmill.decode.frames import ArchiveWriter
from clipmill.decode.reading import FrameChoice
from clipmill.decode.video import DecodePaths
from clipmill.scores import Backend
from clipmill.scores.shard import score_shard
from clipmill.store import tables

EVERY_SECOND = FrameChoice(per_second=1, ends=True)


def level(video: int, sample: int) -> int:
    return (37 * video + 11 * sample) % 250


class Shard:
    """Videos of plain frames with two samples a second, cut into clips of `lengths` samples."""

    def __init__(self, outdir: Path, videos: list[list[int]], size: int = 16):
        self.outdir, self.clips = outdir, []
        for video, lengths in enumerate(videos):
            paths = DecodePaths.of(outdir, "000000", f"v{video}")
            for path in (paths.frames, paths.signals):
                path.parent.mkdir(parents=True, exist_ok=True)
            count = sum(lengths)
            archive = ArchiveWriter(paths.frames, 90)
            for sample in range(count):
                archive.add(sample, np.full((size, size, 3), level(video, sample), np.uint8))
            archive.close("key")
            tables.SIGNALS.write(paths.signals, [{"frame": n, "time": n / 2, "sample": n} for n in range(count)])
            for end, length in zip(np.cumsum(lengths).tolist(), lengths, strict=True):
                self.clips.append(
                    {"clip_id": f"v{video}_{end - length}", "video_id": f"v{video}", "source_key": "key",
                     "start_frame": end - length, "end_frame": end, "seconds": length / 2}
                )  # fmt: skip

    def score(self, backend, threads=1, rate=1.0, metric="test", clips=None):
        clips = self.clips if clips is None else clips
        wanted = {clip["clip_id"] for clip in clips}
        rows = score_shard(metric, backend, clips, wanted, self.outdir, "000000", rate, threads)
        assert [row["clip_id"] for row in rows] == [clip["clip_id"] for clip in clips]
        return rows

    def journal(self, metric="test") -> str:
        return (self.outdir / "work" / "journals" / metric / "000000.jsonl").read_text()


def thirty_clips(outdir: Path) -> Shard:
    """Seven videos, thirty clips of one to nine samples."""
    chance = random.Random(7)
    counts = [1, 12, 3, 1, 1, 10, 2]
    return Shard(outdir, [[chance.randrange(1, 10) for _ in range(count)] for count in counts])


class Levels(Backend):
    """The levels of all frames of a clip; keeps the sizes of its batches and what was in each."""

    def __init__(self, batch: int = 1, choice: FrameChoice = EVERY_SECOND):
        self.batch, self.choice, self.batches = batch, choice, []
        self.about = {"backend": "levels", "sampling": str(choice)}

    def prepare(self, frames):
        return [frame[:1, :1].copy() for frame in frames]

    def measure(self, units):
        self.batches.append([int(unit.mean()) for unit in units])
        return [float(unit.mean()) for unit in units]

    def finish(self, values):
        return {"levels": values, "mean": sum(values) / len(values)}
