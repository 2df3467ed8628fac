"""Sheets of videos: four formats, ids, and rows that cannot be used."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from index_runs import refuse

from clipmill.base.errors import SetupError
from clipmill.inputs.discovery import update_index
from clipmill.inputs.identities import make_id
from clipmill.store.index import read_json_lines
from clipmill.store.layout import Paths

FORMATS = ("csv", "tsv", "jsonl", "parquet")


def write(sheet: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows` in the format that the sheet's ending says; None is an empty cell."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if sheet.suffix == ".jsonl":
        sheet.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif sheet.suffix == ".parquet":
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), sheet)
    else:
        with open(sheet, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns, delimiter="\t" if sheet.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return sheet


@pytest.fixture
def folder(tmp_path):
    """A folder of files that sheets name."""
    for name in ("a.mp4", "b.mp4", "sub/c.mp4", "no ending", 'odd, "name"\n.mp4'):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "in"


def index(sheet: Path, outdir: Path | None = None, **options) -> tuple[dict[str, str], dict[str, str]]:
    """Ids by name, and kinds of problems by name."""
    outdir = outdir or sheet.parent / "out"
    videos: dict[str, str] = {}
    for shard in update_index(sheet, outdir, **options):
        for row in read_json_lines(Paths(outdir).shard(shard)):
            videos[row["name"]] = row["video_id"]
            assert row["path"] == os.path.join(sheet.parent, row["name"])
    return videos, {row["video"]: row["kind"] for row in read_json_lines(Paths(outdir).problems)}


@pytest.mark.parametrize("kind", FORMATS)
def test_sheet_names_files_from_its_own_folder(folder, kind, monkeypatch):
    names = ["sub/c.mp4", "no ending", 'odd, "name"\n.mp4', str(folder / "a.mp4")]
    write(folder / f"s.{kind}", [{"title": "t", "path": name} for name in names])
    monkeypatch.chdir(folder.parent)
    update_index(f"in/s.{kind}", folder / "out")
    videos, problems = index(folder / f"s.{kind}")
    assert videos == {name: make_id(name) for name in names}
    assert problems == {}


@pytest.mark.parametrize("kind", FORMATS)
def test_ids(folder, kind):
    rows = [{"path": "a.mp4", "id": "Film_1.v2"}, {"path": "b.mp4", "id": None}, {"path": "sub/c.mp4", "id": "a b/c"}]
    videos, problems = index(write(folder / f"s.{kind}", rows))
    assert videos == {"a.mp4": "Film_1.v2", "b.mp4": make_id("b.mp4"), "sub/c.mp4": make_id("a b/c")}
    assert videos["sub/c.mp4"].startswith("a-b-c-")
    assert problems == {}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ids", [(7, None), (2**53 + 1, 2**53, None)])
def test_numbers_as_ids_stay_what_they_are(folder, kind, ids):
    """A reader that makes floats of them would call the videos 7.0, and rename them when the gap is filled."""
    names = ["a.mp4", "b.mp4", "sub/c.mp4"]
    rows = [{"path": name, "id": number} for name, number in zip(names, ids, strict=False)]
    videos, problems = index(write(folder / f"s.{kind}", rows))
    assert list(videos.values()) == [make_id(row["path"]) if row["id"] is None else str(row["id"]) for row in rows]
    assert problems == {}


@pytest.mark.parametrize(("given", "safe"), [("x" * 100, True), ("x" * 101, False), (".x", False), ("NA", True)])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_ids_that_are_no_file_names_are_made_safe(folder, given, safe, kind):
    videos, _ = index(write(folder / f"s.{kind}", [{"path": "a.mp4", "id": given}]))
    assert videos["a.mp4"] == (given if safe else make_id(given))


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_that_cannot_be_used(folder, kind):
    rows = [
        {"path": "a.mp4", "id": "one"},
        {"path": "a.mp4", "id": "two"},  # the same file under another id is another video
        {"path": "b.mp4", "id": "one"},
        {"path": "sub/c.mp4", "id": None},
        {"path": "sub/c.mp4", "id": None},
        {"path": None, "id": "x"},
        {"path": "nowhere.mp4", "id": None},
        {"path": "sub", "id": None},
    ]
    sheet = write(folder / f"s.{kind}", rows)
    update_index(sheet, folder / "out")
    problems = [(row["video"], row["kind"]) for row in read_json_lines(Paths(folder / "out").problems)]
    assert problems == [
        ("b.mp4", "listed_twice"),
        ("nowhere.mp4", "missing"),
        ("row 6", "no_path"),
        ("sub", "not_a_file"),
        ("sub/c.mp4", "listed_twice"),
    ]
    messages = {row["kind"]: row["message"] for row in read_json_lines(Paths(folder / "out").problems)}
    assert messages["no_path"] == f"{sheet.name} row 6: the column `path` is empty"
    assert messages["missing"] == f"{sheet.name} row 7: {folder}/nowhere.mp4 cannot be read (No such file or directory)"


def test_an_id_that_another_video_has_is_a_problem(folder):
    rows = [{"path": "a.mp4", "id": None}, {"path": "b.mp4", "id": make_id("a.mp4")}]
    videos, problems = index(write(folder / "s.csv", rows))
    assert videos == {"a.mp4": make_id("a.mp4")}
    assert problems == {"b.mp4": "id_taken"}


def test_a_video_keeps_its_id_when_the_sheet_no_longer_gives_it(folder):
    index(write(folder / "s.csv", [{"path": "a.mp4", "id": "one"}]))
    (folder / "out" / "work" / "journals" / "decode").mkdir(parents=True)
    videos, _ = index(write(folder / "s.csv", [{"path": "a.mp4"}, {"path": "b.mp4"}]))
    assert videos == {"a.mp4": "one", "b.mp4": make_id("b.mp4")}


def test_a_video_may_be_renamed_under_its_id(folder):
    """The list of the shard must say the new name, though file and path are the same."""
    outdir = folder.parent / "out"
    index(write(folder / "s.csv", [{"path": "a.mp4", "id": "one"}]), outdir)
    (outdir / "work" / "journals" / "decode").mkdir(parents=True)
    write(folder.parent / "s.csv", [{"path": "in/a.mp4", "id": "one"}])
    videos, _ = index(folder.parent / "s.csv", outdir)
    assert videos == {"in/a.mp4": "one"}


@pytest.mark.parametrize("kind", FORMATS)
def test_exclude_goes_by_the_path_as_the_sheet_gives_it(folder, kind):
    rows = [{"path": "a.mp4"}, {"path": "sub/c.mp4"}, {"path": "sub/nowhere.mp4"}]
    videos, problems = index(write(folder / f"s.{kind}", rows), exclude=["sub/*"])
    assert set(videos) == {"a.mp4"}
    assert problems == {}


@pytest.mark.parametrize("path", ["a\0.mp4", "a\ud800.mp4", "../" * 3000 + "a.mp4"])
def test_paths_that_no_file_can_have(folder, path):
    videos, problems = index(write(folder / "s.jsonl", [{"path": "b.mp4"}, {"path": path}]))
    assert set(videos) == {"b.mp4"}
    assert list(problems.values()) == ["missing"]


def test_ids_that_are_no_text(folder):
    videos, problems = index(write(folder / "s.jsonl", [{"path": "b.mp4"}, {"path": "a.mp4", "id": "\ud800"}]))
    assert set(videos) == {"b.mp4"}
    assert problems == {"a.mp4": "bad_name"}


def test_delimited_sheets_as_programs_write_them(folder):
    (folder / "s.csv").write_bytes(b'\xef\xbb\xbfpath,id\r\n"a.mp4",007\r\n\r\nb.mp4\r\n')
    assert index(folder / "s.csv")[0] == {"a.mp4": "007", "b.mp4": make_id("b.mp4")}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", b"file\na.mp4\n", r"s.csv has no column `path` \(it has file\)"),
        ("s.csv", b"", r"s.csv has no column `path` \(it has none at all\)"),
        ("s.csv", b"path\n\xff.mp4\n", r"s.csv is not a readable .csv sheet: 'utf-8' codec can't decode"),
        ("s.csv", b"path,id\na.mp4,x\nb, c.mp4,y\n", r"line 3 has 3 cells, the header 2; put a path that holds"),
        ("s.csv", b"path,id\na, b.mp4,x\nb, c.mp4,y\n", r"line 2 has 3 cells, the header 2"),
        ("s.tsv", b"path,id\na.mp4,x\n", r"s.tsv has no column `path` \(it has path,id\)"),
        ("s.jsonl", b'{"file": "a.mp4"}\n', r"s.jsonl has no column `path` \(it has file\)"),
        ("s.jsonl", b'{"path": "a.mp4"}\n{"path": \n', r"not a readable .jsonl sheet: line 2: "),
        ("s.jsonl", b'{"path": "a.mp4"}\n["a.mp4"]\n', r"line 2 is no JSON object"),
        ("s.parquet", b"PAR1", r"s.parquet is not a readable .parquet sheet: "),
        ("s.csv", b"path\n", r"holds no video \(a row with a readable file was expected\)$"),
        ("s.csv", b"path\nx.mp4\ny.mp4\n", r"the first of 2 problems: s.csv row 1: .*/x.mp4 cannot be read"),
    ],
)
def test_sheets_that_cannot_be_used(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(SetupError, match=message):
        update_index(folder / name, folder / "out")
    assert not (folder / "out").exists()


def test_a_sheet_that_may_not_be_read(folder, monkeypatch):
    write(folder / "s.csv", [{"path": "a.mp4"}])
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(SetupError, match=r"s.csv cannot be read \(Permission denied\); check its mode"):
        update_index(folder / "s.csv", folder / "out")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("column", ["file_name", "video"])
def test_columns_of_paths_as_the_hub_calls_them(folder, kind, column):
    videos, _ = index(write(folder / f"s.{kind}", [{"text": "x", column: "a.mp4"}, {"text": "y", column: "sub/c.mp4"}]))
    assert set(videos) == {"a.mp4", "sub/c.mp4"}
    both = write(folder / f"both.{kind}", [{column: "b.mp4", "path": "a.mp4"}])
    assert set(index(both, folder / "other")[0]) == {"a.mp4"}, "`path` comes first"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("column", ["path", "file_name", "video"])
def test_paths_in_structs(folder, kind, column):
    cells = ({"bytes": None, "path": "a.mp4"}, {"bytes": "x", "path": "elsewhere.mp4"}, {"bytes": "x", "path": None})
    rows = [{column: cell, "id": f"v{number}"} for number, cell in enumerate(cells)]
    videos, problems = index(sheet := write(folder / f"s.{kind}", rows))
    assert videos == {"a.mp4": "v0"}
    assert problems == {"elsewhere.mp4": "missing", "row 3": "no_path"}
    remedy = f"the column `{column}` may hold the video itself: write it into a file, and name this file"
    for problem in read_json_lines(Paths(sheet.parent / "out").problems):
        assert problem["message"].endswith(remedy)


@pytest.mark.parametrize(
    "cells", [[{"data": b"x"}], [["a.mp4"]], pa.array([[("a.mp4", 1)]], pa.map_(pa.string(), pa.int64()))]
)
def test_a_column_without_paths_is_named(folder, cells):
    pq.write_table(pa.table({"video": cells}), folder / "s.parquet")
    with pytest.raises(SetupError, match=r"the column `video` \(.*\) has no paths; write its videos into files"):
        update_index(folder / "s.parquet", folder / "out")


def test_paths_as_bytes_and_as_categories(folder):
    for number, cells in enumerate((pa.array([b"a.mp4"]), pa.array(["a.mp4"]).dictionary_encode())):
        pq.write_table(pa.table({"path": cells}), folder / "s.parquet")
        assert set(index(folder / "s.parquet", folder / str(number))[0]) == {"a.mp4"}
