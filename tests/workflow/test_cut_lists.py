"""Sheets that give scenes and captions: each scene becomes one clip, to the frame, with its own caption."""

from __future__ import annotations

import csv
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from runs import AFTER_FILTER, LAST, SETTINGS, Run, Saved

from rate_films import film, read

# Nothing but the list decides which clips there are.
OPEN = {name: {"min": None, "max": None} for name in ("area", "motion", "consistency", "aesthetic", "text_area")}
OPEN |= {name: {"min": None, "max": None} for name in ("brightness", "frozen_share", "border_area", "aspect_ratio")}
SHOTS = (2.0, 1.2, 1.8)  # seconds
GIVEN = {**SETTINGS, "filters": OPEN, "caption": {"backend": "given"}, "text_checks": {"min_words": None}}
# Rows that make clips: what the sheet says, and the frames that it means at the rate of film 3, 25 a second.
ROWS = [
    (
        {"start": "0:00:00.480", "end": "1.52", "caption": "From the first shot.", "topic": "a", "score": "1.5"},
        (12, 38),
    ),
    ({"start": "1.519", "end": "2.4", "caption": "Over the cut, since the list says so.", "score": ""}, (38, 60)),
    ({"start": "00:02,4", "end": "3.2", "caption": "A few frames.", "topic": "x", "score": "2"}, (60, 80)),
    ({"start": "3.2", "end": "5.04", "caption": "To the end and a frame more.", "score": "4"}, (80, 125)),
]
# Columns of the verdicts and of the cuts, which the metadata lacks.
TAKEN = {"kept": "0", "reason": "bad", "file": "none"}
WRONG = [
    ({"start": "2", "end": "2.3", "caption": "Overlaps."}, "overlap"),
    ({"start": "4", "end": "6", "caption": "Beyond the end."}, "outside"),
    ({"start": "2", "end": "1", "caption": "Backwards."}, "bad_times"),
    ({"start": "soon", "end": "1", "caption": "No time."}, "bad_times"),
    ({"start": "0.1", "end": "0.11", "caption": "No frame."}, "no_frame"),
]


def write(run: Run, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(run.place / "cuts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def rows_of(video: str) -> list[dict[str, Any]]:
    rows = [row for row, _ in [*ROWS, *WRONG]]
    return [{"path": video, "id": f"own {number}", **TAKEN, **row} for number, row in enumerate(rows)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    run = Run(tmp_path_factory.mktemp("lists") / "run", GIVEN, "cuts.csv")
    name, _ = film(run.folder, 3, SHOTS)
    write(run, [*rows_of(f"videos/{name}"), {"path": "nowhere.mp4", "start": "0", "end": "1"}])
    outcome = run.done()
    assert outcome.jobs["decode_videos"] == 1
    return Saved(run)


def texts(run: Run) -> dict[tuple[int, int], str]:
    """The text of each clip of the dataset, by its frames."""
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    return {(row["start_frame"], row["end_frame"]): row["text"] for row in rows}


def test_each_scene_is_one_clip_to_the_frame(finished):
    run = finished.fresh()
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert [(row["start_frame"], row["end_frame"]) for row in rows] == [frames for _, frames in ROWS]
    assert [row["text"] for row in rows] == [row["caption"] for row, _ in ROWS]
    for row, (_, (first, after)) in zip(rows, ROWS, strict=True):
        shown, _ = read(run.outdir / "dataset" / row["file_path"])
        assert [number for _, number in shown] == list(range(first, after))
    assert [row["topic"] for row in rows] == ["a", None, "x", None]
    assert [row["score"] for row in rows] == [1.5, None, 2.0, 4.0]
    assert {name: {str(row[name]) for row in rows} for name in TAKEN} == {name: {cell} for name, cell in TAKEN.items()}
    assert all(row["kept"] and row["reason"] is None for row in run.verdicts())
    assert [row["id"] for row in rows] == [f"own {number}" for number in range(4)]


def test_rows_that_make_no_clip_are_errors(finished):
    found = [(error["step"], error["kind"], error["message"]) for error in finished.fresh().errors()]
    assert sorted(kind for _, kind, _ in found) == sorted([*(kind for _, kind in WRONG), "missing"])
    said = {kind: message for _, kind, message in found}
    assert "row 5 of the sheet (2 to 2.3 s) overlaps with row 2 of the sheet (1.519 to 2.4 s)" in said["overlap"]
    assert "row 6 of the sheet (4 to 6 s) lies outside the video, which has 5.000 s" in said["outside"]
    assert "cuts.csv row 10: " in said["missing"]
    assert finished.fresh().run().nothing_done


def test_a_changed_row_changes_its_clip_and_decodes_nothing(finished):
    run = finished.fresh()
    rows = rows_of("videos/3.mp4")
    rows[0] |= {"caption": "Another caption of it."}
    rows[3] |= {"start": "3.4"}
    write(run, rows)
    before = run.written("cut")
    outcome = run.done()
    assert outcome.jobs.keys() <= {"split_videos", "score_clips", "filter_clips", *AFTER_FILTER, *LAST}
    expected = {frames: row["caption"] for row, frames in ROWS[:3]} | {(85, 125): ROWS[3][0]["caption"]}
    assert texts(run) == {**expected, ROWS[0][1]: "Another caption of it."}
    assert run.more(before) == {"cut": 1}


def test_frames_instead_of_times_and_the_report_of_such_a_run(finished):
    run = finished.fresh()
    (run.place / "cuts.csv").unlink()
    run.videos = "cuts.jsonl"
    rows = [
        {"path": "videos/3.mp4", "start_frame": first, "end_frame": after, "caption": row["caption"], "score": {"a": 1}}
        for row, (first, after) in ROWS
    ]
    rows.append({"path": "videos/3.mp4", "start_frame": 124, "end_frame": 126, "caption": "A frame too many."})
    (run.place / "cuts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.done()
    assert texts(run) == {frames: row["caption"] for row, frames in ROWS}
    assert [error["kind"] for error in run.errors()] == ["outside"]
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert {row["score"] for row in rows} == {'{"a": 1}'}
    assert "The sheet gives the scenes, so nothing was looked for." in (run.outdir / "report.html").read_text()


def test_captions_beside_the_videos_and_a_detector_that_needs_a_sheet(tmp_path):
    run = Run(tmp_path / "run", GIVEN)
    run.video("a.mp4")
    run.video("below/b.mp4", picture="chelsea.png")
    run.video("none.mp4", picture="astronaut.png")
    (run.folder / "a.txt").write_text("\ufeffA cup of coffee on a table.\n", encoding="utf-8")
    (run.folder / "below" / "b.txt").write_text("A cat looks up.")
    outcome = run.run(config={"split": {"detector": "given"}})
    assert outcome.code != 0 and "split.detector: `given` needs a sheet" in outcome.output
    run.done()
    assert {row["name"]: row["text"] for row in run.verdicts() if row["kept"]} == {
        "a.mp4": "A cup of coffee on a table.",
        "below/b.mp4": "A cat looks up.",
    }
    error = run.errors()[0]
    assert (error["video"], error["step"], error["kind"]) == ("none.mp4", "caption", "no_caption")
    assert "write a .txt file beside the video" in error["message"]
    (run.folder / "a.txt").write_text("Another cup.")
    assert run.done().jobs.keys() == {"caption_clips", "rewrite_captions", "align_captions", "cut_clips", *LAST}
    assert {row["text"] for row in run.verdicts() if row["name"] == "a.mp4"} == {"Another cup."}
