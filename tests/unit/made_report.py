"""Finished runs of made verdicts, for the report: quick to write, and every number is known."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from whole import ORDINARY, find_transitions, single_part

from clipmill.decode.frames import ArchiveWriter
from clipmill.decode.video import DecodePaths
from clipmill.filters import columns, reasons, verdict
from clipmill.report import write_report
from clipmill.review import write_review
from clipmill.split.settings import SplitSettings
from clipmill.split.transitions import transition_rows
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.tables import TransitionRow
from default_config import CONFIG, SPLIT_SETTINGS

FOLDER = Path(__file__).resolve().parents[2] / "config"
SCHEMA = FOLDER / "config.schema.yaml"
ORDER = list(columns.FILTERS)
SPLIT = SplitSettings(**SPLIT_SETTINGS)
NAMES = [*columns.FILTERS, *columns.LATE_FILTERS]


def bounds(**given: tuple[float | None, float | None] | dict[str, list[str | bool]]) -> verdict.Bounds:
    """Bounds of all filters: those `given` as (least, greatest), or of words as `allow` and `deny`, others none."""
    ends = {name: ("allow", "deny") if name in columns.WORDS else ("min", "max") for name in NAMES}
    return {
        name: dict.fromkeys(ends[name]) | one
        if isinstance(one := given.get(name, (None, None)), dict)
        else dict(zip(ends[name], one, strict=True))
        for name in NAMES
    }


def row(number: int, filters: verdict.Bounds, **known: Any) -> dict[str, Any]:
    """A row of the final verdicts; what is not `known` passes. The verdict follows from the filters."""
    values = {"video_id": f"v{number // 3}", "scene": number, "piece": 0, "seconds": 4.0, "fps": 24.0}
    values |= {"width": 640, "height": 360, "area": 640 * 360, "motion": 5.0, "aesthetic": 5.0, "consistency": 0.9}
    values |= {"brightness": 100.0, "text_area": 0.0, "start": 4.0 * (number % 3), "end": 4.0 * (number % 3) + 4}
    values |= {"start_frame": number % 3 * 8, "end_frame": number % 3 * 8 + 8, **known}
    values["aspect_ratio"] = round(values["width"] / values["height"], 6)
    exact = {**values, "aspect_ratio": values["width"] / values["height"]}
    failure = verdict.out_of(verdict.active(filters, ORDER), exact)
    failure = reasons.BY_WORDS[known["reason"]] if known.get("reason") else failure
    captioned = failure is None or failure.stage not in (*columns.FILTERS, "split")
    text = f"The number of this clip is {number}, and it is about a cat." if captioned else None
    late = verdict.out_of(verdict.active(filters, list(columns.LATE_FILTERS)), values) if captioned else None
    reason = str(failure or late) if failure or late else None
    made = {
        "kept": reason is None,
        "reason": reason,
        "cut_seconds": values["seconds"] - 0.5 if reason is None else None,
    }
    return {
        "clip_id": f"v{number // 3}_{number}",
        "name": f"video {number // 3}.mp4",
        "caption": text,
        "text": text,
        **values,
        **made,
    }


def facts_of(frames: int, fps: int) -> dict[str, Any]:
    return {"source_key": "key", "frames": frames, "fps": fps, "seconds": frames / fps}


def signal_rows(frames: int, fps: int, cuts: Mapping[int, float]) -> list[dict[str, Any]]:
    """Signals of still shots, each another picture; two kept frames per second. `cuts`: content values by frame."""
    shots = [0] * frames
    for cut in cuts:
        shots[cut:] = [cut] * (frames - cut)
    pictures = {shot: np.random.default_rng(shot).integers(0, 200, 64, np.uint8).tobytes() for shot in {*shots}}
    changes = ("content", "delta_hue", "delta_sat", "delta_lum", "difference")
    every = fps // 2
    return [
        {
            "frame": n,
            "time": n / fps,
            "is_key": n == 0,
            "is_clean": True,
            **dict.fromkeys(changes, cuts.get(n, 0.0)),
            "luma_mean": 100.0,
            "luma_spread": 50.0,
            "thumbnail": pictures[shots[n]],
            "sample": n // every if n % every == 0 else None,
        }
        for n in range(frames)
    ]


class Finished:
    """An output folder with the verdicts `rows`, of `filters`; `frames`: the videos that have any."""

    def __init__(
        self, outdir: Path, filters: verdict.Bounds, rows: Sequence[dict[str, Any]], frames: Sequence[str] = ()
    ):
        self.outdir, self.filters, self.rows = outdir, filters, list(rows)
        outdir.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(outdir / "verdicts.parquet", tables.FINAL_VERDICTS.schema) as writer:
            for first in range(0, len(self.rows), 7):  # in row groups, as shards give
                writer.write_table(tables.FINAL_VERDICTS.from_rows(self.rows[first : first + 7]))
        videos = sorted({row["video_id"] for row in self.rows})
        index = Paths(outdir)
        index.index.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"video_id": videos, "shard": [0] * len(videos)}), index.videos)
        index.shards.write_text(f"000000 {len(videos)}\n")
        index.removed.write_text("")
        names = {row["video_id"]: row["name"] for row in self.rows}
        self.videos = {video: {"video_id": video, "name": names[video], **facts_of(24, 4)} for video in videos}
        self.transitions: dict[str, list[TransitionRow]] = {}
        self.write_tables()
        seconds = sum(row["seconds"] for row in self.rows)
        kept = [row for row in self.rows if row["kept"]]
        summary = {
            "videos": {"decoded": len(videos), "failed": 1, "removed": 0},
            "scenes": len({(row["video_id"], row["scene"]) for row in self.rows}),
            "clips": {"found": len(self.rows), "kept": len(kept)},
            "hours": {
                "videos": seconds / 3600,
                "clips": seconds / 3600,
                "dataset": sum(row["cut_seconds"] for row in kept) / 3600,
            },
            "clipmill": "0.0.0",
            "errors": [{"step": "decode", "kind": "not_a_video", "count": 1}],
            "settings": {"caption": "describe", "rewrite": "rules", "alignment": "none"},
        }
        (outdir / "summary.json").write_text(json.dumps(summary))
        (outdir / "models.json").write_text(
            json.dumps([{"step": "text", "model": "m", "revision": "1", "licence": "MIT"}])
        )
        tables_errors = ",".join(tables.ERRORS.schema.names)
        (outdir / "errors.csv").write_text(f"{tables_errors}\nbad.mp4,bad,,decode,not_a_video,cannot be read\n")
        for video in frames:
            self.add_frames(video)

    def add_frames(self, video: str) -> None:
        """Six seconds of a video that is one shot, with twelve kept frames of rising grey levels."""
        self.add_shots(video, 24, 4, {})

    def add_shots(
        self, video: str, frames: int, fps: int, cuts: Mapping[int, float], split: SplitSettings = SPLIT
    ) -> None:
        """Signals, kept frames and transitions of a video with cuts, as the settings `split` find them."""
        paths = DecodePaths.of(self.outdir, "000000", video)
        for path in (paths.frames, paths.signals):
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = signal_rows(frames, fps, cuts)
        archive = ArchiveWriter(paths.frames, 90)
        for sample in range(sum(row["sample"] is not None for row in rows)):
            archive.add(sample, np.full((90, 160, 3), 20 * sample % 256, np.uint8))
        archive.close("key")
        tables.SIGNALS.write(paths.signals, rows)
        self.videos[video] |= facts_of(frames, fps)
        signals = tables.SIGNALS.read(paths.signals)
        self.transitions[video] = transition_rows(self.videos[video], signals, find_transitions(signals, fps, split))
        self.write_tables()

    def write_tables(self) -> None:
        """The tables of videos and of transitions."""
        for table, rows in (
            (tables.VIDEOS, self.videos.values()),
            (tables.PARTS, (single_part({**ORDINARY, **video}) for video in self.videos.values())),
            (tables.TRANSITIONS, itertools.chain(*self.transitions.values())),
        ):
            path = table.of(self.outdir, "000000")
            path.parent.mkdir(parents=True, exist_ok=True)
            table.write(path, rows)

    def report(
        self,
        cascade: bool = False,
        config: dict[str, Any] | None = None,
        quantiles: dict[str, Any] | None = None,
        split: SplitSettings = SPLIT,
        **more: bool,
    ) -> Path:
        """`quantiles`: what bounds of the filters were before they were found. `more`: further settings."""
        settings = {"filters": self.filters, "order": ORDER, "cascade": cascade, "quantiles": quantiles or {}, **more}
        path = self.outdir / "report.html"
        write_report(self.outdir, settings, split, CONFIG if config is None else config, path)
        return path

    def review(self, clip: Path | None = None) -> Path:
        """The page of all kept clips. `clip`: a video that the file of each of them is a link to; None for no files."""
        paths = Paths(self.outdir)
        clips = [{"clip_id": row["clip_id"], "source_key": "key", **span(row)} for row in self.rows]
        tables.CLIPS.of(self.outdir, "000000").parent.mkdir(parents=True, exist_ok=True)
        tables.CLIPS.write(tables.CLIPS.of(self.outdir, "000000"), clips)
        kept = [row["clip_id"] for row in self.rows if row["kept"]]
        files = {clip_id: f"clips/{clip_id.rpartition('_')[0]}/{clip_id}.mp4" for clip_id in kept}
        paths.dataset.mkdir(exist_ok=True)
        rows = [{"clip_id": clip_id, "file_path": file, "split": "train"} for clip_id, file in files.items()]
        tables.METADATA.write(paths.metadata, rows)
        for file in files.values() if clip else ():
            (paths.dataset / file).parent.mkdir(parents=True, exist_ok=True)
            os.link(clip, paths.dataset / file)
        return self.write_review(paths.review_page)

    def write_review(self, path: Path) -> Path:
        """The same page, written once more."""
        write_review(self.outdir, {"filters": self.filters, "order": ORDER, "cascade": False}, path)
        return path

    def index_source(self, video_id: str, path: Path) -> None:
        """Have the index know the file of a video."""
        rows = [{"video_id": video, "shard": 0, "path": str(path)} for video in self.videos if video == video_id]
        tables.INDEX.write(Paths(self.outdir).videos, rows)


def span(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[name] for name in ("start_frame", "end_frame")}
