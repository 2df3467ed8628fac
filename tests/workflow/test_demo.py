"""The demo's videos, run with the default settings: what is kept, what is refused and why, and what a trainer gets."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest
from runs import REPOSITORY, Outcome, Run, call, on_a_terminal, whole_plan

from clipmill.base.opencv import cv2
from clipmill.decode.media import file_url
from clipmill.demo.videos import DEMO_VIDEOS, render_demo_videos

STRANGE = DEMO_VIDEOS[8].name
# Video by video, scene by scene: the reason against each clip, None where it is kept.
EXPECTED = {
    "four pictures.mp4": [None, None, None, None],
    "cross fade.mp4": [None, None],  # two scenes, without the dissolve
    "slow, medium, fast.mkv": ["brightness low", None, None],  # the slow shot is a picture of the night sky
    "nothing moves.mp4": ["frozen_share high"],
    "lecture.mp4": ["frozen_share high", "text_area high"],  # a slide that stands, then a subtitle
    "wide screen.mp4": [None],  # without its bars
    "holiday/day 1/upright.mp4": [None],
    "holiday/day 2/in the dark.mp4": [None],
    STRANGE: [None],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Outcome]:
    """The samples' run with the default settings, and what it printed."""
    run = Run(tmp_path_factory.mktemp("samples") / "run", {"videos_per_shard": 4})
    render_demo_videos(run.folder)
    return run, run.run()


@pytest.fixture(scope="module")
def run(finished) -> Run:
    return finished[0]


def test_the_run_goes_well_and_a_second_one_has_nothing_to_do(finished):
    run, outcome = finished
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == whole_plan(3)
    again = run.run()
    assert again.nothing_done, again.output
    assert again.output.splitlines()[-1] == outcome.output.splitlines()[-1], "the summary, again"


def test_the_terminal_shows_the_summary(finished):
    run, outcome = finished
    told = outcome.output[outcome.output.index("videos   ") :]
    for line in (
        "videos   9 decoded, 1 failed",
        "clips    16 found, 12 kept",
        "1 cropped: see docs/footage.md",
        "2  frozen_share high",
        "1  text_area high",
        "1  brightness low",
        "alignment none (not checked against the video)",
        "1  decode: not_a_video",
        f"dataset  {Path('..', 'out', 'dataset')}",
    ):
        assert line in told
    lines = outcome.output.splitlines()
    assert lines[-1] == f"  report   {Path('..', 'out', 'report.html')}"
    # One line when a rule starts and one when it is done, however many jobs it has.
    assert lines.index("  scenes   16") < 2 * len(outcome.jobs) + 10
    assert "--settings" not in outcome.output and ".parquet," not in outcome.output
    summary = run.summary()
    assert summary["videos"] == {"decoded": 9, "failed": 1, "removed": 0}
    assert summary["clips"] == {"found": 16, "kept": 12}
    assert summary["crops"] == {"cropped": 1}
    assert sum(summary["dropped"].values()) == 4
    # Stored upright, with a key frame where it starts: copied. Turned, cropped, or parted within a scene: encoded anew.
    assert summary["cuts"] == {"copy": 9, "reencode": 3, "copy_failed": 0, "frames_twice": 0}


def test_on_a_terminal_there_are_bars_and_the_report_can_be_clicked(run):
    shown = on_a_terminal(run.command("--forcerun", "write_report"), run.workdir)
    assert "write_report" in shown and "━" in shown and "write_report: 1 of 1 job done in " in shown
    link = (run.outdir / "report.html").resolve().as_uri()
    assert shown.rstrip().endswith(f"\x1b]8;;{link}\x1b\\{Path('..', 'out', 'report.html')}\x1b]8;;\x1b\\")


def test_each_video_gets_the_verdict_that_its_content_asks_for(run):
    reasons = defaultdict(list)
    for row in run.verdicts():
        reasons[row["name"]].append(row["reason"])
        assert row["kept"] == (row["reason"] is None)
    assert reasons == EXPECTED


def test_scenes_lie_where_the_shots_were_cut(run):
    """The encoder put a key frame on every cut, so a scene starts there; the guard is given up before the cut alone."""
    for sample in DEMO_VIDEOS:
        scenes = [row for row in run.verdicts() if row["name"] == sample.name and row["piece"] == 0]
        starts = [row["start"] for row in scenes if row["scene"] > 0]
        ends = [row["end"] for row in scenes if row["end"] < sample.seconds - 1]
        if sample.name == "cross fade.mp4":  # both pictures are seen from second 5 to second 6
            assert 4.5 < ends[0] <= 5 and 6 <= starts[0] < 6.5
            continue
        cuts = [] if sample.broken else sample.cuts
        assert starts == pytest.approx(cuts, abs=1e-3)
        assert ends == pytest.approx([cut - 2 / float(sample.fps) for cut in cuts], abs=1e-3)


def test_what_was_measured_is_what_was_rendered(run):
    rows = {(row["name"], row["scene"]): row for row in run.verdicts()}
    wide = rows["wide screen.mp4", 0]
    assert [wide[f"crop_{part}"] for part in ("x", "y", "width", "height")] == [0, 60, 640, 360]
    assert wide["border_area"] == 0
    assert rows["nothing moves.mp4", 0]["frozen_share"] == 1
    # Percent of the short side (360) a second.
    assert rows["slow, medium, fast.mkv", 0]["motion"] == pytest.approx(12 / 3.6, rel=0.1)
    assert rows["slow, medium, fast.mkv", 1]["motion"] == pytest.approx(60 / 3.6, rel=0.1)
    assert rows["slow, medium, fast.mkv", 2]["motion"] == pytest.approx(220 / 3.6, rel=0.1)
    upright = rows["holiday/day 1/upright.mp4", 0]
    assert (upright["width"], upright["height"]) == (360, 640)
    assert (upright["cut_width"], upright["cut_height"]) == (360, 640)


def test_the_only_model_is_the_text_detector_inside_its_package(run):
    listed = json.loads((run.outdir / "models.json").read_text(encoding="utf-8"))
    assert listed == [
        {
            "step": "text",
            "backend": "rapidocr",
            "model": "PP-OCRv6_det_small",
            "revision": f"rapidocr {version('rapidocr')}",
            "licence": "Apache-2.0",
            "columns": ["text_area", "text_area_frames", "text_static_area", "text_scene_area"],
        }
    ]


def test_the_broken_file_is_the_only_error(run):
    (error,) = run.errors()
    assert (error["video"], error["step"], error["kind"]) == ("broken off.mp4", "decode", "not_a_video")
    assert error["message"].endswith("repair or remove it")
    assert error["clip_id"] == ""


def test_the_train_file_names_playable_clips_and_every_clip(run):
    entries = run.train()
    assert len(entries) == 12
    assert {entry["file_path"] for entry in entries} == run.clip_files()
    lengths = {f"clips/{row['video_id']}/{row['clip_id']}.mp4": row["cut_seconds"] for row in run.verdicts()}
    for entry in entries:
        assert list(entry) == ["file_path", "text", "type", "width", "height"]
        assert entry["type"] == "video"
        assert len(entry["text"].split()) >= 20
        with av.open(file_url(run.outdir / "dataset" / entry["file_path"])) as container:
            rate = container.streams.video[0].average_rate
            frames = sum(1 for _ in container.decode(video=0))
        assert frames / rate == pytest.approx(lengths[entry["file_path"]], abs=0.15)


def test_the_dataset_may_be_moved(run, tmp_path):
    moved = tmp_path / "elsewhere"
    (run.outdir / "dataset").rename(moved)
    try:
        for entry in json.loads((moved / "train.json").read_text(encoding="utf-8")):
            assert not Path(entry["file_path"]).is_absolute()
            with av.open(file_url(moved / entry["file_path"])) as container:
                assert next(container.decode(video=0))
        assert str(run.place) not in (moved / "metadata.jsonl").read_text(encoding="utf-8")
    finally:
        moved.rename(run.outdir / "dataset")


def test_the_metadata_agree_with_the_train_file_and_the_verdicts(run):
    dataset = run.outdir / "dataset"
    rows = pq.read_table(dataset / "metadata.parquet").to_pylist()
    lines = [json.loads(line) for line in (dataset / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == rows
    assert [(row["file_path"], row["text"]) for row in rows] == [
        (entry["file_path"], entry["text"]) for entry in run.train()
    ]
    kept = [row for row in run.verdicts() if row["kept"]]
    assert [row["clip_id"] for row in rows] == [row["clip_id"] for row in kept]
    assert all(
        row[name] == verdict[name] for row, verdict in zip(rows, kept, strict=True) for name in row.keys() & verdict
    )
    assert {row["name"] for row in rows} == {name for name, reasons in EXPECTED.items() if None in reasons}


@pytest.mark.browser
@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="there is no Chromium")
def test_the_report_can_be_pictured(run, tmp_path):
    tool = REPOSITORY / "scripts" / "report_picture.py"
    outcome = call([sys.executable, str(tool), str(run.outdir), str(tmp_path)], tmp_path)
    assert outcome.code == 0, outcome.output
    sizes = {path.stem: cv2.imread(str(path)).shape for path in tmp_path.iterdir()}
    assert sizes.keys() == {"report", "report-funnel", "report-motion"}
    assert all(width == 1100 and height > 300 for height, width, _ in sizes.values())
    for name in sizes:
        assert (REPOSITORY / "docs" / "pictures" / f"{name}.webp").exists()
