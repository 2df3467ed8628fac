"""Videos named by a sheet: of each kind, with relative paths, ids and names that need quoting."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from runs import LAST, Run, whole_plan

# path, id: a path counts from the sheet, and an id need not be safe as a file name.
ROWS = [
    ("videos/first.mp4", "one"),
    ('videos/a line\nbreak, "quotes" and a comma.mp4', "two/three"),
    ("../elsewhere/tab\tand ümlaut.mp4", "004"),
]


def write_csv(path: Path, separator: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, delimiter=separator).writerows([("path", "id", "seen by"), *((*row, "me") for row in ROWS)])


def write_jsonl(path: Path) -> None:
    lines = [json.dumps({"id": video_id, "path": name}, ensure_ascii=False) for name, video_id in ROWS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


SHEETS = {
    "sheet.csv": lambda path: write_csv(path, ","),
    "sheet.tsv": lambda path: write_csv(path, "\t"),
    "sheet.jsonl": write_jsonl,
    "sheet.parquet": lambda path: pd.DataFrame(ROWS, columns=["path", "id"]).to_parquet(path),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the csv sheet."""
    run = Run(tmp_path_factory.mktemp("sheets") / "run")
    run.videos = "sheet.csv"
    for name, _ in ROWS:
        run.video(f"../{name}")
    run.video("not in the sheet.mp4", speed=0)
    for name, write in SHEETS.items():
        write(run.place / name)
    assert run.done().jobs == whole_plan(1)
    return run


def test_the_rows_of_a_sheet_become_the_dataset(run):
    assert run.kept() == {name for name, _ in ROWS}
    assert run.errors() == []
    ids = {row["name"]: row["video_id"] for row in run.verdicts()}
    assert [ids[name] for name, _ in ROWS][::2] == ["one", "004"]
    assert ids[ROWS[1][0]].startswith("two-three-")


@pytest.mark.parametrize("name", [name for name in SHEETS if name != "sheet.csv"])
def test_each_kind_of_sheet_names_the_same_videos(run, name):
    """With another kind of sheet the finished run has nothing to do."""
    run.videos = name
    outcome = run.run()
    assert "3 videos in 1 shard" in outcome.output and "(0 new)" in outcome.output
    assert outcome.nothing_done, outcome.output


def test_rows_that_cannot_be_used_are_told_by_their_number(run):
    run.videos = "more.csv"
    useless = [("videos/lost.mp4", "five"), ("", "six"), ("videos/first.mp4", "one"), ("videos", "seven")]
    with open(run.place / run.videos, "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("path", "id"), *ROWS, *useless])
    outcome = run.done()
    assert outcome.jobs == LAST
    assert "4 entries cannot be used (errors.csv says why)" in outcome.output
    assert {(error["step"], error["kind"], error["message"].split(":")[0]) for error in run.errors()} == {
        ("index", "missing", "more.csv row 4"),
        ("index", "no_path", "more.csv row 5"),
        ("index", "listed_twice", "more.csv row 6"),
        ("index", "not_a_file", "more.csv row 7"),
    }
    assert len(run.errors()) == 4
    assert run.kept() == {name for name, _ in ROWS}
