"""Formats of the dataset in real runs: a change of `export` runs the export alone, and what it writes can be moved."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import av
import datasets
import pytest
import webdataset
from runs import Outcome, Run, Saved, explain

FORMATS = [
    *("easyanimate", "jsonl", "hf-videofolder", "webdataset", "finetrainers", "diffusers"),
    *(
        "musubi-tuner",
        "diffusion-pipe",
        "data-juicer",
        "videox-fun",
        "diffsynth",
        "fastvideo",
        "simpletuner",
        "ai-toolkit",
    ),
]
BUCKETS = {"resolutions": [[160, 120]], "frames": "4n+1"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    run = Run(tmp_path_factory.mktemp("formats") / "run")
    for name in ("test one.mp4", "two.mp4", "{three}.mp4"):
        run.video(name)
    run.done()
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def below(run: Run) -> set[str]:
    return {path.name for path in (run.outdir / "dataset").iterdir()}


def exported_alone(outcome: Outcome) -> bool:
    """Whether the export ran, and nothing before it; the report is made of what it writes."""
    return "export_dataset" in outcome.jobs and outcome.jobs.keys() <= {"export_dataset", "write_report"}


def test_a_change_of_export_runs_nothing_else(run):
    assert below(run) == {"README.md", "clips", "metadata.jsonl", "metadata.parquet", "train.json"}
    before, train = run.written("decode", "text", "caption", "cut"), run.train()
    more = {"export": {"formats": FORMATS, "card": {"title": "{Braces} and 'quotes'"}}}
    assert exported_alone(run.done(config=more))
    assert below(run) == {"README.md", "clips", "metadata.parquet", "metadata.jsonl", "train.json", *FORMATS[2:]}
    assert run.train() == train and len(train) == 3
    assert run.run(config=more).nothing_done

    fewer = {"export": {"formats": ["parquet"]}}
    assert exported_alone(run.done(config=fewer))
    assert below(run) == {"README.md", "clips", "metadata.parquet"}
    assert exported_alone(run.done())
    assert run.train() == train
    assert run.written("decode", "text", "caption", "cut") == before


def test_a_trigger_word_runs_the_export_alone(run):
    texts = {entry["file_path"]: entry["text"] for entry in run.train()}
    assert exported_alone(run.done(config={"export": {"text_prefix": "sks 'cat', "}}))
    assert {entry["file_path"]: entry["text"] for entry in run.train()} == {
        path: f"sks 'cat', {text}" for path, text in texts.items()
    }


def test_the_sound_of_the_clips_is_beside_them(tmp_path):
    run = Run(tmp_path / "run")
    run.video("loud.mp4", seconds=3, audio=True)
    run.done(config={"cut": {"audio": True}, "export": {"formats": ["videox-fun"]}})
    dataset = run.outdir / "dataset"
    (entry,) = json.loads((dataset / "videox-fun" / "train.json").read_text())
    with wave.open(str(dataset / entry["audio_path"])) as sound, av.open(dataset / entry["file_path"]) as video:
        (pictures,) = video.streams.video
        seconds = float(pictures.frames / pictures.average_rate)
        assert sound.getnframes() / sound.getframerate() == pytest.approx(seconds, abs=0.001)
        assert any(sound.readframes(sound.getnframes() // 2))


def test_a_lost_list_is_made_anew(run):
    settings = {"export": {"formats": ["webdataset"]}}
    run.done(config=settings)
    (run.outdir / "dataset" / "webdataset" / "train.json").unlink()
    assert exported_alone(run.done(config=settings))
    assert run.run(config=settings).nothing_done


def test_a_dataset_that_was_moved_still_loads(run, tmp_path):
    run.done(config={"export": {"formats": FORMATS, "buckets": BUCKETS}})
    names = {row["name"] for row in run.verdicts() if row["kept"]}
    assert names == {"test one.mp4", "two.mp4", "{three}.mp4"}
    moved = tmp_path / "elsewhere"
    (run.outdir / "dataset").rename(moved)
    clips = datasets.load_dataset(str(moved), split="train", cache_dir=str(tmp_path / "cache"))
    for clip in clips.cast_column("video", datasets.Video(decode=False)):
        names.remove(clip["name"])
        assert frames(clip["video"]["path"]) == clip["cut_frames"]
    assert not names
    tar = str(moved / "webdataset" / "train-000000.tar")
    samples = list(webdataset.WebDataset(tar, shardshuffle=False).decode())
    assert [frames(io.BytesIO(sample["mp4"])) for sample in samples] == [15, 15, 15]
    videos = (moved / "finetrainers" / "train" / "videos.txt").read_text().splitlines()
    assert all((moved / "finetrainers" / "train" / video).is_file() for video in videos) and len(videos) == 3
    assert len(list(moved.glob("musubi-tuner/train/160x120x13@*/0000/*.mp4"))) == 3
    everything = [path for path in moved.rglob("*") if path.suffix in (".json", ".jsonl", ".toml", ".txt", ".md")]
    assert not [path for path in everything if str(run.place) in path.read_text(encoding="utf-8")]


def frames(file: str | io.IOBase) -> int:
    with av.open(file) as container:
        return sum(1 for _ in container.decode(video=0))


def test_both_splits_are_written_and_the_card_counts_them(run):
    run.done(config={"export": {"validation_share": 0.5}})
    parts = {split: run.outdir / "dataset" / f"{split}.json" for split in ("train", "validation")}
    counts = {split: len(json.loads(path.read_text())) for split, path in parts.items()}
    assert sum(counts.values()) == 3 and all(counts.values())
    card = (run.outdir / "dataset" / "README.md").read_text()
    assert all(f"| {split} | {count} |" in card for split, count in counts.items())


@pytest.mark.parametrize(
    ("export", "parts"),
    [
        ({"formats": ["videofolder"]}, ("export.formats: 'videofolder' is no format", "`hf-videofolder`")),
        ({"buckets": {"frames": []}}, ("export.buckets.frames: []",)),
    ],
)
def test_a_wrong_setting_is_told_before_anything_runs(run, export, parts):
    explain(run.run(config={"export": export}), *parts)


def test_without_a_train_file_the_summary_names_what_there_is(run):
    outcome = run.done(config={"export": {"formats": ["hf-videofolder"]}})
    told = next(line.split()[1] for line in outcome.output.splitlines() if line.startswith("  dataset "))
    assert Path(run.workdir, told).exists()
