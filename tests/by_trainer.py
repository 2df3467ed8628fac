"""What each trainer sees of an exported dataset: it reads the lists and configs there as the trainer does."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from trainers import (
    File,
    Seen,
    Size,
    ai_toolkit,
    diffsynth,
    diffusers_cogvideo,
    diffusion_pipe,
    fastvideo,
    finetrainers,
    ltx_trainer,
    musubi_tuner,
    simpletuner,
    videox_fun,
)

Trained = dict[str, Seen | None]
"""What a trainer sees, by clip; a clip that its config does not name is missing."""
Trainer = Callable[[Path, Mapping[str, File], Fraction], Trained]


def by_folder(dataset: Path, sections: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """The section of each clip."""
    return {video.stem: section for section in sections for video in (dataset / section[key]).glob("*.mp4")}


def by_musubi_tuner(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    config = tomllib.loads((dataset / "musubi-tuner" / "train.toml").read_text())
    assert config["general"]["enable_bucket"], "else training mixes shapes in a batch"
    sections = by_folder(dataset, config["datasets"], "video_directory")
    return {clip: musubi_tuner(files[clip], section, float(rate)) for clip, section in sections.items()}


def by_diffusion_pipe(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    config = tomllib.loads((dataset / "diffusion-pipe" / "train.toml").read_text())
    sections = by_folder(dataset, config["directory"], "path")
    return {clip: diffusion_pipe(files[clip], section, config, float(rate)) for clip, section in sections.items()}


def by_simpletuner(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    *videos, texts = json.loads((dataset / "simpletuner" / "train.json").read_text())
    assert texts["dataset_type"] == "text_embeds" and texts["default"]
    sections = by_folder(dataset, videos, "instance_data_dir")
    return {clip: simpletuner(files[clip], section, rate) for clip, section in sections.items()}


def by_ai_toolkit(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    datasets = yaml.safe_load((dataset / "ai-toolkit" / "train.yaml").read_text())["datasets"]
    sections = by_folder(dataset, datasets, "folder_path")
    return {clip: ai_toolkit(files[clip], section, rate) for clip, section in sections.items()}


def by_finetrainers(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    (section,) = json.loads((dataset / "finetrainers" / "training.json").read_text())["datasets"]
    videos = (dataset / section["data_root"] / "videos.txt").read_text().splitlines()
    return {clip: finetrainers(files[clip], section, rate) for clip in (Path(video).stem for video in videos)}


def by_ltx_trainer(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
    card = (dataset / "README.md").read_text()
    shapes = card.partition('--resolution-buckets "')[2].partition('"')[0].split(";")
    buckets = [tuple(map(int, shape.split("x"))) for shape in shapes]
    entries = json.loads((dataset / "ltx-trainer-train.json").read_text())
    return {clip: ltx_trainer(files[clip], buckets) for clip in (Path(entry["video"]).stem for entry in entries)}


def with_frames(frames: int, size: Size) -> dict[str, Trainer]:
    """Trainers that are told the number of frames by their user."""

    def by_fastvideo(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
        entries = json.loads((dataset / "fastvideo" / "train" / "videos2caption.json").read_text())
        assert all((dataset / "fastvideo" / "train" / "videos" / entry["path"]).is_file() for entry in entries)
        by_clip = {Path(entry["path"]).stem: entry for entry in entries}
        return {clip: fastvideo(files[clip], entry, frames, float(rate), size) for clip, entry in by_clip.items()}

    def by_videox_fun(
        dataset: Path, files: Mapping[str, File], rate: Fraction, listed: str = "videox-fun/train.json"
    ) -> Trained:
        entries = json.loads((dataset / listed).read_text())
        by_clip = {Path(entry["file_path"]).stem: entry for entry in entries}
        return {clip: videox_fun(files[clip], entry, frames, 1, rate) for clip, entry in by_clip.items()}

    def by_diffsynth(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
        with open(dataset / "diffsynth" / "train.csv", encoding="utf-8", newline="") as file:
            clips = [Path(row["video"]).stem for row in csv.DictReader(file)]
        return {clip: diffsynth(files[clip], frames, size, rate) for clip in clips}

    def by_diffusers(dataset: Path, files: Mapping[str, File], rate: Fraction) -> Trained:
        videos = (dataset / "diffusers" / "train" / "videos.txt").read_text().splitlines()
        clips = (Path(video).stem for video in videos)
        return {clip: diffusers_cogvideo(files[clip], rate, frames, size) for clip in clips}

    return {
        "fastvideo": by_fastvideo,
        "videox-fun": by_videox_fun,
        "easyanimate": partial(by_videox_fun, listed="train.json"),  # both trainers have the same loader
        "diffsynth": by_diffsynth,
        "diffusers": by_diffusers,
    }


BY_BUCKET: dict[str, Trainer] = {
    "musubi-tuner": by_musubi_tuner,
    "diffusion-pipe": by_diffusion_pipe,
    "simpletuner": by_simpletuner,
    "ai-toolkit": by_ai_toolkit,
    "finetrainers": by_finetrainers,
    "ltx-trainer": by_ltx_trainer,
}
