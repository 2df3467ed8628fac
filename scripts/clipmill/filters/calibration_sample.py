"""Drawing a sample of the videos, for a run of its own. Light but for `write_sheet`, as jobs import this too."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.base.files import write_text

SHARDS = 10  # of a sample: enough to share among cores and nodes, so few that a model is not loaded too often
EMBEDDED = {"caption": "describe", "rewrite": "rules", "alignment": "none"}
LATE = {"alignment": {"min": None, "max": None}, "alignment_margin": {"min": None, "max": None}}


def sample_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run on a sample, in a folder of its own below `outdir`, where every clip gets every score.

    Thresholds are chosen before texts are made, so texts are the embedded ones, and nothing judges them.
    """
    outdir = Path(config["outdir"]) / "calibrate"
    by_itself = {step: {**config["resources"][step], "mem_mb": "auto", "gpu": "auto"} for step in EMBEDDED}
    return {
        **config,
        "videos": config["videos"] and str(outdir / "videos.jsonl"),
        "outdir": str(outdir),
        "exclude": [],
        "videos_per_shard": math.ceil(config["calibrate"]["videos"] / SHARDS),
        "cascade": False,
        "filters": {**config["filters"], **LATE},
        **{step: {**config[step], "backend": backend} for step, backend in EMBEDDED.items()},
        "clips_per_caption_job": "auto",
        "resources": {**config["resources"], **by_itself},
    }


def write_sheet(config: dict[str, Any]) -> None:
    """Write the sheet of the sample that `sample_config` names: `calibrate.videos` of the videos, by `calibrate.seed`.

    The draw goes by the videos' identities: a larger sample holds the smaller one, and a video that is added takes the
    place of at most one other. Raises SetupError where there are no videos, and where nothing is asked for.
    """
    from clipmill.inputs.discovery import list_videos  # pandas, which jobs need not load

    settings, sheet = config["calibrate"], Path(sample_config(config)["videos"])
    if settings["keep"] is None and not settings["quantiles"]:
        raise SetupError("calibrate: nothing is asked for; set calibrate.keep, as 0.3, or calibrate.quantiles")
    known = list_videos(config["videos"], Path(config["outdir"]), config["exclude"])
    drawn = sorted(known, key=lambda video: _lot(settings["seed"], video["id"]))[: settings["videos"]]
    text = "".join(json.dumps(video) + "\n" for video in sorted(drawn, key=lambda video: video["id"]))
    if not sheet.exists() or sheet.read_text(encoding="utf-8") != text:
        write_text(sheet, text)


def _lot(seed: int, video_id: str) -> bytes:
    return hashlib.sha256(f"{seed} {video_id}".encode()).digest()
