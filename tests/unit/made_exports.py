"""Made tables of kept clips, and the dataset that the export makes of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clipmill.dataset.export import export_dataset
from clipmill.store import tables
from clipmill.store.layout import Paths
from default_config import CONFIG

STEPS = ("text", "aesthetic", "consistency", "caption", "rewrite", "alignment")
NO_CHECKS = {key: None for key in CONFIG["text_checks"]}


@dataclass(frozen=True)
class Clip:
    """A kept clip of a video: number `at` is its place there."""

    video: str
    at: int = 0
    text: str = "A cat looks out of the window."
    caption: str = "The video shows a cat that looks out of the window."
    short: str | None = None
    size: tuple[int, int] = (64, 48)
    frames: int = 40
    rate: Fraction = Fraction(10)
    codec: str = "h264"
    sound: bool = False
    file: Path | None = None  # a real video, in place of `content`
    masked: list[float] | None = None  # boxes that a mask hides
    heard: dict[str, str] = field(default_factory=dict)  # columns of what its captioner heard
    broken: tuple[str, ...] = ()  # promises that do not hold for its file; of others nobody knows

    @property
    def id(self) -> str:
        return f"{self.video}_{self.at:08d}-{self.at + 4000:08d}"

    @property
    def content(self) -> bytes:
        """Of its file: no video, unless something decodes it."""
        return self.file.read_bytes() if self.file else f"the frames of {self.id}".encode() * 20


@dataclass
class Export:
    """An output folder with a shard a video; `run` makes the dataset of `clips`."""

    outdir: Path
    clips: list[Clip]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> Path:
        return self.outdir / "dataset"

    def run(self, *formats: str, **export: Any) -> Path:
        """Export in `formats`, with `export` over the config's section, and return the dataset folder."""
        section = copy.deepcopy(CONFIG["export"]) | {"formats": list(formats)} | export
        settings = {
            "backends": dict.fromkeys(STEPS, "x"),
            "thresholds": {},
            "late": {"checks": NO_CHECKS, "filters": {}, "order": []},
            "filters": CONFIG["filters"],
            "fps": None,
            "export": section,
            **self.settings,
        }
        export_dataset(self.outdir, self._shards(), settings, [])
        return self.dataset

    def rows(self) -> dict[str, dict[str, Any]]:
        """The metadata, by clip."""
        return {row["clip_id"]: row for row in pq.read_table(self.dataset / "metadata.parquet").to_pylist()}

    def files(self) -> dict[str, bytes]:
        """All files of the dataset, by their path below it."""
        found = (path for path in self.dataset.rglob("*") if path.is_file())
        return {str(path.relative_to(self.dataset)): path.read_bytes() for path in sorted(found)}

    def _shards(self) -> dict[str, list[str]]:
        """Write all tables, and return the groups of shards."""
        index = Paths(self.outdir)
        index.index.mkdir(parents=True, exist_ok=True)
        index.removed.write_text("")
        index.problems.write_text("")
        videos = list(dict.fromkeys(clip.video for clip in self.clips))
        for number, video in enumerate(videos):
            self._write(f"{number:06d}", video, [clip for clip in self.clips if clip.video == video])
        return {f"{number:06d}": [f"{number:06d}"] for number in range(len(videos))}

    def _write(self, shard: str, video: str, clips: list[Clip]) -> None:
        rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables.ALL}
        rows["videos"] = [{"video_id": video, "name": f"{video}.mp4", "seconds": 60.0, "fps": 10.0}]
        for clip in clips:
            known = {"clip_id": clip.id, "video_id": video, "scene": clip.at, "piece": 0, "seconds": 4.0}
            known |= {"start": clip.at / 1000, "end": clip.at / 1000 + 4}
            rows["clips"].append(known)
            seen = {"width": clip.size[0], "height": clip.size[1], "masked": clip.masked}
            rows["verdicts"].append({**known, **seen, "name": f"{video}.mp4", "fps": 10.0, "kept": True})
            own = {"clip_id": clip.id, "shard": shard}
            rows["captions"].append({**own, "caption": clip.caption, "caption_short": clip.short, **clip.heard})
            rows["rewrites"].append({**own, "text": clip.text})
            rows["alignment"].append({"clip_id": clip.id})
            rows["cuts"].append(self._cut(shard, clip))
        for table in tables.ALL:
            if "shard>" in table.path and "<video>" not in table.path and "<backend>" not in table.path:
                path = table.of(self.outdir, shard)
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table.from_rows(rows[table.name]), path)  # not synced to disk, unlike real ones

    def _cut(self, shard: str, clip: Clip) -> dict[str, Any]:
        file = self.outdir / "work" / "clip_files" / shard / f"{clip.id}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_bytes(clip.content)
        return {
            "clip_id": clip.id,
            "file": f"{shard}/{clip.id}.mp4",
            "cut_method": "copy",
            "cut_seconds": float(clip.frames / clip.rate),
            "cut_frames": clip.frames,
            "cut_fps": float(clip.rate),
            "cut_codec": clip.codec,
            "cut_sound": clip.sound,
            "cut_width": clip.size[0],
            "cut_height": clip.size[1],
            "cut_bytes": len(clip.content),
            **dict.fromkeys(clip.broken, False),
        }
