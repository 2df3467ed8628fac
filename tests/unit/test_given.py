"""What sheets say of scenes: times, frames, captions, further columns, published layouts, and rows that are wrong."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_sheets import FORMATS, write

from clipmill.base.errors import SetupError
from clipmill.inputs.discovery import list_videos, update_index
from clipmill.inputs.sheets import gives_scenes_of
from clipmill.split.given import frames_of, given_clips
from clipmill.split.settings import SplitSettings
from clipmill.store import tables
from clipmill.store.given import OfClips, further_columns, given_rows, problems
from clipmill.store.index import read_json_lines
from clipmill.store.layout import Paths
from clipmill.store.tables import DecodedVideo, Part
from default_config import SPLIT_SETTINGS

VIDEO: Any = {"fps": 25.0, "frames": 250, "seconds": 10.0, "changes": "size at 4.000 s"}
PARTS: Any = [
    {"part": 0, "start": 0.0, "end": 4.0, "start_frame": 0, "end_frame": 100},
    {"part": 1, "start": 4.0, "end": 10.0, "start_frame": 100, "end_frame": 250},
]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "sub/AbCdEfGhIjK.mkv"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "in"


def given(sheet: Path, **options) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """All columns of what is given in the only shard, by the stem of the video; and the problems."""
    outdir = sheet.parent / "out"
    assert update_index(sheet, outdir, 100, **options).keys() == {"000000"}
    rows = pq.read_table(tables.GIVEN.of(outdir, "000000")).to_pylist()
    found = read_json_lines(Paths(outdir).problems)
    return rows, [(problem["video"], problem["kind"]) for problem in found]


@pytest.mark.parametrize("kind", FORMATS)
def test_many_rows_of_a_video_are_its_scenes(folder, kind):
    rows = [
        {"path": "a.mp4", "start": "0:01:02.5", "end": 63, "caption": " One. ", "id": "x", "level": 1, "motion": 2.5},
        {"path": "b.mp4", "start": 1.5, "end": "2,25", "caption": None, "id": "y", "level": 2, "motion": 3.0},
        {"path": "a.mp4", "start": 0, "end": 1, "caption": "Two.", "id": "x", "level": None, "motion": 4.0},
    ]
    for row in rows:
        row["old_file_name"] = "first.mov"
    if kind == "parquet":  # where a column has one type
        rows = [{**row, "start": str(row["start"]), "end": str(row["end"])} for row in rows]
    sheet = write(folder / f"s.{kind}", rows)
    assert gives_scenes_of(sheet)
    found, wrong = given(sheet)
    assert wrong == []
    of = {(row["video_id"][0], row["scene"]): row for row in found}
    assert [
        (row["start"], row["end"], row["caption"], row["row"]) for row in map(of.get, [("a", 0), ("a", 1), ("b", 0)])
    ] == [
        (62.5, 63.0, "One.", 1),
        (0.0, 1.0, "Two.", 3),
        (1.5, 2.25, None, 2),
    ]
    assert [of[key]["level"] for key in sorted(of)] == [1, None, 2]
    # The metadata has a column `motion` of its own.
    assert [of[key]["given_motion"] for key in sorted(of)] == [2.5, 4.0, 3.0]
    assert [(column.name, column.type) for column in further_columns(folder / "out", "000000")] == [
        ("id", "string"),
        ("level", "int64"),
        ("given_motion", "double"),
        ("old_filename", "string"),  # `datasets` would take …file_name for a video
    ]
    clips = OfClips(folder / "out", "000000")
    clip = {"video_id": of["a", 1]["video_id"], "scene": 1}
    assert clips.caption(clip) == "Two."
    assert clips.further(clip) == {"id": "x", "level": None, "given_motion": 4.0, "old_filename": "first.mov"}
    assert list_videos(sheet, folder / "out", [])[0]["scenes"] == [
        {"start": 62.5, "end": 63.0},
        {"start": 0.0, "end": 1.0},
    ]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (2, 1, "`end` (1) is not after `start` (2)"),
        (1, 1, "is not after"),
        (-1, 1, "-1 is no time"),
        ("soon", 1, "column `start`: 'soon' is no time"),
        ("0:75", 99, "'0:75' is no time"),
        (None, 1, "the column `start` is empty"),
        ("nan", 1, "'nan' is no time"),
    ],
)
def test_rows_without_a_place_are_problems(folder, start, end, words):
    rows = [{"path": "a.mp4", "start": start, "end": end}, {"path": "a.mp4", "start": 1, "end": 2}]
    found, wrong = given(write(folder / "s.jsonl", rows))
    assert [row["row"] for row in found] == [2]
    assert wrong == [("a.mp4", "bad_times")]
    message = read_json_lines(Paths(folder / "out").problems)[0]["message"]
    assert message.startswith("s.jsonl row 1: ") and words in message and message.endswith("; correct the row")


@pytest.mark.parametrize(
    ("frame", "good"), [(3, True), ("3", True), (3.0, True), (3.5, False), (-1, False), ("x", False)]
)
def test_frames_are_whole_numbers(folder, frame, good):
    rows = [{"path": "a.mp4", "start_frame": first, "end_frame": end} for first, end in ((0, 1), (frame, 9))]
    found, wrong = given(write(folder / "s.jsonl", rows))
    assert [row["start_frame"] for row in found] == ([0, 3] if good else [0])
    assert wrong == ([] if good else [("a.mp4", "bad_times")])


def test_each_row_of_a_missing_file_is_a_problem(folder):
    rows = [{"path": name, "start": 0, "end": 1} for name in ("gone.mp4", "a.mp4", "gone.mp4", "sub", "")]
    found, wrong = given(write(folder / "s.csv", rows))
    assert len(found) == 1
    assert sorted(wrong) == [
        ("gone.mp4", "missing"),
        ("gone.mp4", "missing"),
        ("row 5", "no_path"),
        ("sub", "not_a_file"),
    ]


def test_values_of_several_kinds_become_texts(folder):
    values = [1, "two", [3], {"four": "ü"}, None, True]
    rows = [{"path": "a.mp4", "start": n, "end": n + 1, "mixed": value, "flag": True} for n, value in enumerate(values)]
    found, _ = given(write(folder / "s.jsonl", rows))
    assert [row["mixed"] for row in found] == ["1", "two", "[3]", '{"four": "ü"}', None, "True"]
    assert [row["flag"] for row in found] == [True] * 6


def test_codes_with_leading_zeros_stay_texts(folder):
    rows = [
        {"path": "a.mp4", "start": n, "end": n + 1, "code": code, "big": 2**70} for n, code in enumerate(["007", "12"])
    ]
    found, _ = given(write(folder / "s.csv", rows))
    assert [row["code"] for row in found] == ["007", "12"]
    assert [row["big"] for row in found] == [str(2**70)] * 2


def test_columns_may_have_any_names(folder):
    """Also those that the dataset has, that prefixed ones have, that UTF-8 has not, and none."""
    names = ["motion", "given_motion", "kept", "file", "row", "judge_x", "two words", 'a"b', "new\nline", "\ud800"]
    rows = [{"path": "a.mp4", "start": 0, "end": 1, "": 0} | {name: n for n, name in enumerate(names)}]
    found, _ = given(write(folder / "s.jsonl", rows))
    own = ["given_motion", "given_given_motion", "kept", "file", "given_row", "given_judge_x", *names[6:9], "\\ud800"]
    assert list(found[0])[-len(own) :] == own
    assert [found[0][name] for name in own] == list(range(len(own)))


def test_two_columns_of_one_name_are_refused_and_two_without_a_name_are_not(folder):
    sheet = folder / "s.csv"
    sheet.write_text("path,start,end,,\na.mp4,0,1,x,y\n")
    assert list(given(sheet)[0][0])[-1] == "caption"
    for name in ("level", "start"):
        sheet.write_text(f"path,start,end,level,{name}\na.mp4,0,1,2,3\n")
        with pytest.raises(SetupError, match=f"has the column `{name}` 2 times"):
            update_index(sheet, folder / "out")


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1e400", "2"], ["1e400", "2"]),
        (["9" * 5000, "2"], ["9" * 5000, "2"]),
        ([float("inf"), 1.5], ["inf", "1.5"]),
        ([float("nan"), 1.5], [None, 1.5]),
        (["\ud800", "ok"], ["\\ud800", "ok"]),
    ],
)
def test_cells_that_are_hard_to_store(folder, cells, read):
    rows = [{"path": "a.mp4", "start": n, "end": n + 1, "cell": cell} for n, cell in enumerate(cells)]
    kind = "csv" if all(isinstance(cell, str) and cell.isascii() for cell in cells) else "jsonl"
    found, _ = given(write(folder / f"s.{kind}", rows))
    assert [row["cell"] for row in found] == read


def test_types_of_parquet_that_json_has_not(folder):
    table = {
        "path": ["a.mp4", "a.mp4"],
        "start": pa.array([Decimal("0.50"), Decimal("2.00")]),
        "end": pa.array([timedelta(seconds=1.5), timedelta(seconds=3)]),
        "moment": pa.array([1, None], pa.timestamp("ns")),
        "picture": [b"\xff", None],
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
    }
    pq.write_table(pa.table(table), folder / "s.parquet")
    found, wrong = given(folder / "s.parquet")
    assert (wrong, [(row["start"], row["end"]) for row in found]) == ([], [(0.5, 1.5), (2.0, 3.0)])
    assert [row["moment"] for row in found] == ["1970-01-01 00:00:00.000000001", None]
    assert [row["map"] for row in found] == ['[["k", 1]]', None] and "picture" not in found[0]


def test_the_first_row_of_json_lines_tells_whether_rows_are_scenes(folder):
    sheet = write(folder / "s.jsonl", [{"path": "a.mp4", "caption": "x"}, {"path": "a.mp4", "start": 0, "end": 1}])
    for captions in (False, True):
        with pytest.raises(SetupError, match=r"line 2 has start, end, which the first row lacks"):
            update_index(sheet, folder / "out", captions=captions)


def test_columns_that_are_nearly_those_of_places_are_told_of(folder, caplog):
    sheet = folder / "s.csv"
    sheet.write_text("path, start,End\na.mp4,0,1\n")
    update_index(sheet, folder / "out")
    assert "has the column ` start` and `End`, but no pair `start` and `end`" in caplog.text


def test_a_video_has_one_name_however_rows_spell_it(folder):
    names = ["./a.mp4", "a.mp4", str(folder / "a.mp4"), ".//a.mp4"]
    rows = [{"path": name, "start": n, "end": n + 1} for n, name in enumerate(names)]
    found, wrong = given(write(folder / "s.csv", rows))
    assert wrong == [] and [row["scene"] for row in found] == [0, 1, 2, 3]
    assert [video["scenes"] for video in list_videos(folder / "s.csv", folder / "out", [])] == [
        [{"start": n, "end": n + 1} for n in range(4)]
    ]


def test_a_video_without_a_good_row_is_not_decoded(folder):
    rows = [{"path": "b.mp4", "start": 2, "end": 1}, {"path": "a.mp4", "start": 0, "end": 1}]
    sheet = write(folder / "s.csv", rows)
    assert update_index(sheet, folder / "out") == {"000000": 1}
    assert [Path(video["path"]).name for video in list_videos(sheet, folder / "out", [])] == ["a.mp4"]


def test_captions_that_are_none(folder):
    rows = [{"path": "a.mp4", "start": n, "end": n + 1, "caption": text} for n, text in enumerate((["x"], None))]
    sheet = write(folder / "s.jsonl", rows)
    assert given(sheet)[1] == [("a.mp4", "bad_row")]
    with pytest.raises(SetupError, match=r"s\.jsonl has no filled column `caption`"):
        update_index(sheet, folder / "out", captions=True)


def test_only_what_has_changed_is_written(folder):
    rows = [{"path": name, "start": 0, "end": 1, "caption": "One."} for name in ("a.mp4", "b.mp4")]
    sheet, outdir = write(folder / "s.csv", rows), folder / "out"
    update_index(sheet, outdir, 1)
    tables_of = [tables.GIVEN.of(outdir, shard) for shard in ("000000", "000001")]
    before = [path.stat().st_mtime_ns for path in tables_of]
    update_index(sheet, outdir, 1)
    assert [path.stat().st_mtime_ns for path in tables_of] == before
    rows[1]["caption"] = "Two."
    write(sheet, rows)
    update_index(sheet, outdir, 1)
    after = [path.stat().st_mtime_ns for path in tables_of]
    assert after[0] == before[0] and after[1] != before[1]
    assert [row["caption"] for rows in given_rows(outdir, "000001").values() for row in rows] == ["Two."]


def test_captions_of_a_plain_sheet_are_of_whole_videos(folder):
    rows = [{"path": "a.mp4", "caption": "One.", "level": 1}, {"path": "b.mp4", "caption": "", "level": 2}]
    sheet = write(folder / "s.csv", rows)
    assert not gives_scenes_of(sheet)
    update_index(sheet, folder / "out", 100)
    assert not tables.GIVEN.of(folder / "out", "000000").exists()
    found, _ = given(sheet, captions=True)
    assert [(row["scene"], row["caption"], row["level"]) for row in found] == [(None, "One.", 1), (None, None, 2)]
    clips = OfClips(folder / "out", "000000")
    assert clips.caption({"video_id": found[0]["video_id"], "scene": 7}) == "One."


def test_published_sheets_find_their_files(folder):
    row = {"videoID": "AbCdEfGhIjK", "url": "u", "timestamp": "[['0:00:01.5', '0:00:03'], ['0:00:04', '0:00:05']]"}
    row |= {"caption": "['One.', 'Two.']", "matching_score": "[0.5, 0.25]"}
    other = {**row, "videoID": "ZbCdEfGhIjK"}
    broken = {**row, "caption": "['One.']"}
    sheet = write(folder / "panda.csv", [row, other, broken])
    assert gives_scenes_of(sheet)
    found, wrong = given(sheet)
    assert [(one["start"], one["end"], one["caption"], one["matching_score"]) for one in found] == [
        (1.5, 3.0, "One.", 0.5),
        (4.0, 5.0, "Two.", 0.25),
    ]
    assert sorted(wrong) == [("ZbCdEfGhIjK", "missing"), ("ZbCdEfGhIjK", "missing"), ("row 3", "bad_row")]


def test_a_file_beside_a_video_that_is_no_text(folder):
    (folder / "a.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "b.txt").write_text(" \n")
    with pytest.raises(SetupError, match=r"in has no \.txt file beside any video; add them"):
        update_index(folder, folder / "out", 100, captions=True)
    (folder / "sub" / "AbCdEfGhIjK.txt").write_text("Bees.")
    update_index(folder, folder / "out", 100, captions=True)
    assert [row["caption"] for rows in given_rows(folder / "out", "000000").values() for row in rows] == ["Bees."]
    assert [(one["video"], one["kind"]) for one in read_json_lines(Paths(folder / "out").problems)] == [
        ("a.txt", "bad_caption")
    ]


def test_a_sheet_that_cannot_be_read(folder):
    (folder / "s.parquet").write_bytes(b"no")
    with pytest.raises(SetupError, match=r"s\.parquet is not a readable"):
        gives_scenes_of(folder / "s.parquet")
    assert not gives_scenes_of(folder) and not gives_scenes_of(folder / "none.csv")


def row(scene: int, start: float, end: float, by: str = "") -> Any:
    places = dict.fromkeys(("start", "end", "start_frame", "end_frame")) | {f"start{by}": start, f"end{by}": end}
    return {"row": scene + 1, "scene": scene, "video_id": "v", "caption": None, **places}


@pytest.mark.parametrize(
    ("places", "kinds"),
    [
        ([(0, 1), (1, 2)], {}),
        ([(0, 1.015), (1, 2)], {}),  # less than half a frame
        ([(0, 1.1), (1, 2), (1.5, 3)], {1: "overlap"}),  # of the third only a scene that is an error
        ([(0, 3), (1, 2)], {1: "overlap"}),
        ([(9, 10.1)], {}),
        ([(9, 10.2)], {0: "outside"}),
        ([(10, 10.05)], {0: "outside"}),
        ([(3, 4), (4, 5)], {}),
        ([(3, 5), (3.5, 4.5)], {0: "changes_midway", 1: "changes_midway"}),
    ],
)
def test_scenes_must_lie_in_one_part_and_apart(places, kinds):
    rows = [row(number, *place) for number, place in enumerate(places)]
    found = problems(rows, VIDEO, PARTS)
    assert {scene: error.kind for scene, error in found.items()} == kinds


@pytest.mark.parametrize(
    ("places", "kinds"),
    [
        ([(0, 100), (100, 250)], {}),
        ([(0, 11), (10, 20)], {1: "overlap"}),
        ([(200, 251)], {0: "outside"}),
        ([(99, 101)], {0: "changes_midway"}),
    ],
)
def test_the_same_by_frames(places, kinds):
    rows = [row(number, *place, by="_frame") for number, place in enumerate(places)]
    assert {scene: error.kind for scene, error in problems(rows, VIDEO, PARTS).items()} == kinds


def test_a_video_may_have_very_many_scenes():
    """Each is compared with its neighbours alone: with all others this would take a minute."""
    video = {**VIDEO, "frames": 10**7, "seconds": 4e5}
    rows = [row(number, 5 * place, 5 * place + 5) for number, place in enumerate(np.arange(20_000) * 7919 % 20_000)]
    rows += [row(len(rows), 7, 9), row(len(rows) + 1, 0, 4e5)]
    found = problems(rows, video, [{**PARTS[0], "end": 4e5, "end_frame": 10**7}])
    assert {scene: error.kind for scene, error in found.items()} == {20_000: "overlap", 20_001: "overlap"}


@pytest.mark.parametrize(
    ("places", "frames"),
    [
        ([(0, 1), (0.985, 2)], [(0, 25), (25, 50)]),  # frame 25 is nearest to both
        ([(1, 1.04), (1.025, 1.045), (1.04, 1.08)], [(25, 26), (26, 27)]),  # of the second no frame is left
        ([(1, 1.001), (3, 3.001)], []),
        ([(3.985, 6), (6, 10.05)], [(100, 150), (150, 250)]),  # frame 99 is nearer, but of another part
    ],
)
def test_no_frame_is_in_two_clips(places, frames):
    times = np.arange(250) / 25
    times[99] = 3.98
    signals = pa.table({"time": times, **{name: np.ones(250, bool) for name in ("is_clean", "is_key")}})
    look = {"pixel_aspect": 1.0, "coded_width": 160, "coded_height": 120, "rotation": 0, "field_order": "progressive"}
    video: Any = {**dict.fromkeys(DecodedVideo.__annotations__), **VIDEO, "video_id": "v", "variable_rate": True}
    parts: Any = [{**dict.fromkeys(Part.__annotations__), **part, **look} for part in PARTS]
    rows = [row(number, *place) for number, place in enumerate(places)]
    clips = given_clips(video, parts, signals, rows, SplitSettings(**SPLIT_SETTINGS))
    assert [(clip["start_frame"], clip["end_frame"]) for clip in clips] == frames


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [(0, 0.4, (0, 10)), (0.419, 0.8, (10, 20)), (0.421, 0.8, (11, 20)), (9.91, 10.1, (248, 250)), (1, 1.001, (25, 25))],
)
def test_a_scene_has_the_frames_nearest_to_its_times(start, end, frames):
    times = np.arange(251) / 25
    assert frames_of(row(0, start, end), times) == frames
