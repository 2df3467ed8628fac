"""The calibration sample: videos drawn for a run of their own. Light to import but for `write_sheet`."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.base.files import write_text
from clipmill.filters.columns import LATE_FILTERS
from clipmill.store.layout import Paths

SHARDS = 10  # of a calibration sample: enough for several cores and nodes, and few enough not to load a model too often
EMBEDDED = {"caption": "describe", "rewrite": "rules", "alignment": "none"}
LATE = {name: {"min": None, "max": None} for name in LATE_FILTERS}


def sample_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run on the calibration sample, in its own folder below `outdir`. Every clip gets every score.

    Thresholds are chosen before texts are made, so the texts come from embedded backends, and no filter judges them.
    """
    outdir = Paths(Path(config["outdir"])).calibration
    by_itself = {step: {**config["resources"][step], "mem_mb": "auto", "gpu": "auto"} for step in EMBEDDED}
    return {
        **config,
        "videos": config["videos"] and str(Paths(outdir).calibration_sheet),
        "outdir": str(outdir),
        "exclude": [],
        "videos_per_shard": math.ceil(config["calibrate"]["videos"] / SHARDS),
        "cascade": False,
        "filters": {**config["filters"], **LATE},
        **{step: {**config[step], "backend": backend} for step, backend in EMBEDDED.items()},
        "judge": {**config["judge"], "backend": "none", "with_caption": False},
        "clips_per_caption_job": "auto",
        "resources": {**config["resources"], **by_itself},
    }


def write_sheet(config: dict[str, Any]) -> None:
    """Draw `calibrate.videos` videos by `calibrate.seed`, and write the sheet that `sample_config` names.

    The draw depends only on the seed and the videos' identities: a larger sample contains the smaller one, and a new
    video replaces at most one other. Raises SetupError if there are no videos, or if `calibrate` asks for nothing.
    """
    from clipmill.fetch.files import FetchSettings
    from clipmill.inputs.discovery import list_videos  # imports pyarrow, which parsing the rules need not load

    settings, sheet = config["calibrate"], Path(sample_config(config)["videos"])
    if settings["keep"] is None and not settings["quantiles"]:
        raise SetupError("calibrate: nothing is asked for; set calibrate.keep, as 0.3, or calibrate.quantiles")
    fetch = FetchSettings(**config["fetch"])
    known = list_videos(config["videos"], Path(config["outdir"]), config["exclude"], fetch)
    drawn = sorted(known, key=lambda video: _lot(settings["seed"], video["id"]))[: settings["videos"]]
    rows = []
    for video in sorted(drawn, key=lambda video: video["id"]):
        scenes = video.pop("scenes")
        rows += [{**video, **scene} for scene in scenes] or [video]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if not sheet.exists() or _files(sheet.read_text(encoding="utf-8")) != _files(text):
        write_text(sheet, text)


def _files(sheet: str) -> list[dict[str, Any]]:
    """The rows of a sheet, and which files they are of, however their paths are spelled."""
    rows = map(json.loads, sheet.splitlines())
    return [{**row, "path": os.path.realpath(row["path"])} for row in rows]


def _lot(seed: int, video_id: str) -> bytes:
    return hashlib.sha256(f"{seed} {video_id}".encode()).digest()
