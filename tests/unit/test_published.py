"""Sheets of published datasets: made rows in the real layouts become rows of scenes."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from clipmill.inputs.published import LAYOUTS, LONGEST_CELL, Cells, is_empty, layout_of, seconds, text_of

PANDA = """\
videoID,url,timestamp,caption,matching_score,desirable_filtering,shot_boundary_detection
-aB_3dEf-1k,https://www.youtube.com/watch?v=-aB_3dEf-1k,\
"[['0:01:20.880', '0:01:23.983'], ['1:02:31.151', '1:02:34.320']]",\
"['A goat jumps over a fence.', ""It's raining, and a dog's asleep.""]","[0.451416015625, 0.4990234375]",\
"['1_still_foreground_image', 'desirable']",\
"[[['0:00:00.000', '0:00:03.069']], [['0:00:00.000', '0:00:01.100'], ['0:00:01.133', '0:00:03.169']]]"
Zz9_yX8w7v6,https://www.youtube.com/watch?v=Zz9_yX8w7v6,\
"[['0:00:31.658', '0:00:40.000']]","['Boats.']",[0.5],['desirable'],[[]]
"""
KOALA = """\
videoID,url,timestamp,caption,clarity_score,aesthetic_score,motion_score,video_training_suitability_score
-aB_3dEf-1k_7,https://www.youtube.com/watch?v=-aB_3dEf-1k,"['0:00:31.658', '0:00:40.125']",\
"A kettle boils, and its lid rattles.",0.9014,5.34,22.03,4.48
Zz9_yX8w_12_0,https://www.youtube.com/watch?v=Zz9_yX8w_12,"['0:10:00.000', '0:10:02.500']",,0.5284,4.58,50.87,4.35
"""
OPENVID = """\
video,caption,aesthetic score,motion score,temporal consistency score,camera motion,frame,fps,seconds
-aB_3dEf-1k_13_0to241.mp4,"A heron waits in the reeds, then strikes.",5.26,3.9,0.998,pan_left,241,30.0,8.03
Zz9_yX8w7v6_0_18to486.mp4,,4.9,1.2,0.996,static,468,24.0,19.5
"""
META = {"video_id": "-aB_3dEf-1k", "video_title": "My garden", "num_clips": 2, "integrity": True}
PARTS = {
    "shot_type": "Medium shot.",
    "camera_movement": "Static.",
    "content": " Hands plant a bulb. ",
    "scene_title": "Planting",
}
VOICE = ["Now we dig.", "Deeper."]
VRIPT_LINES = f"""\
{json.dumps({"meta": META, "clip_id": "-aB_3dEf-1k-Scene-001", "caption": PARTS, "voiceover": VOICE})}
{json.dumps({"meta": META, "clip_id": "-aB_3dEf-1k-Scene-002", "caption": None, "voiceover": []})}
"""


def from_csv(text: str) -> list[Cells]:
    return list(csv.DictReader(io.StringIO(text)))


def scenes(rows: list[Cells]) -> list[Cells]:
    layout = layout_of(rows[0])
    assert layout is not None
    return [scene for row in rows for scene in layout.rows(row)]


def refused(row: Cells, **changes: Any) -> str:
    """The message about a row with these cells changed."""
    with pytest.raises(ValueError) as error:
        scenes([{**row, **changes}])
    return str(error.value)


def test_panda():
    first, second, third = scenes(from_csv(PANDA))
    assert first == {
        "videoID": "-aB_3dEf-1k",
        "url": "https://www.youtube.com/watch?v=-aB_3dEf-1k",
        "stem": "-aB_3dEf-1k",
        "start": 80.88,
        "end": 83.983,
        "caption": "A goat jumps over a fence.",
        "matching_score": 0.451416015625,
        "desirable_filtering": "1_still_foreground_image",
        "shot_boundary_detection": [["0:00:00.000", "0:00:03.069"]],
    }
    assert (second["start"], second["end"], second["matching_score"]) == (3751.151, 3754.32, 0.4990234375)
    assert second["caption"] == "It's raining, and a dog's asleep."
    assert second["desirable_filtering"] == "desirable" and len(second["shot_boundary_detection"]) == 2
    assert (third["stem"], third["start"], third["shot_boundary_detection"]) == ("Zz9_yX8w7v6", 31.658, [])


def test_panda_without_later_columns_or_captions():
    first = {name: cell for name, cell in from_csv(PANDA)[0].items() if name not in ("desirable_filtering", "url")}
    first = {**first, "caption": "", "shot_boundary_detection": None}
    rows = scenes([first])
    assert [(row["start"], row["caption"], row["shot_boundary_detection"]) for row in rows] == [
        (80.88, None, None),
        (3751.151, None, None),
    ]
    assert "desirable_filtering" not in rows[0] and "url" not in rows[0]


def test_lists_may_be_json_or_values():
    row = from_csv(PANDA)[0]
    spans = [[80.88, 83.983], ("1:02:31,151", "1:02:34,32")]
    expected = scenes([row])
    assert scenes([{**row, "timestamp": spans}]) == expected
    as_json = {**row, "timestamp": json.dumps(spans), "caption": json.dumps([scene["caption"] for scene in expected])}
    assert scenes([as_json]) == expected


def test_koala():
    first, second = scenes(from_csv(KOALA))
    assert first == {
        "videoID": "-aB_3dEf-1k_7",
        "url": "https://www.youtube.com/watch?v=-aB_3dEf-1k",
        "stem": "-aB_3dEf-1k",
        "start": 31.658,
        "end": 40.125,
        "caption": "A kettle boils, and its lid rattles.",
        "clarity_score": "0.9014",
        "aesthetic_score": "5.34",
        "motion_score": "22.03",
        "video_training_suitability_score": "4.48",
    }
    assert (second["stem"], second["start"], second["caption"]) == ("Zz9_yX8w_12", 600.0, None)  # not Zz9_yX8w


def test_openvid():
    first, second = scenes(from_csv(OPENVID))
    assert first == {
        "path": "-aB_3dEf-1k_13_0to241.mp4",
        "caption": "A heron waits in the reeds, then strikes.",
        "aesthetic score": "5.26",
        "motion score": "3.9",
        "temporal consistency score": "0.998",
        "camera motion": "pan_left",
        "frame": "241",
        "fps": "30.0",
        "seconds": "8.03",
    }
    assert (second["path"], second["caption"]) == ("Zz9_yX8w7v6_0_18to486.mp4", None)


PLANTING = {
    "stem": "-aB_3dEf-1k-Scene-001",
    "clip_id": "-aB_3dEf-1k-Scene-001",
    "caption": "Hands plant a bulb.",
    "shot_type": "Medium shot.",
    "camera_movement": "Static.",
    "scene_title": "Planting",
    "voiceover": VOICE,
}


def test_vript_lines():
    first, second = scenes([json.loads(line) for line in VRIPT_LINES.splitlines()])
    assert first == {**META, **PLANTING}
    assert second == {**META, "stem": second["clip_id"], "clip_id": second["clip_id"], "caption": None, "voiceover": []}


def test_vript_in_texts():
    """As a table of texts holds the same rows, be it in JSON or as Python writes it."""
    lines = [json.loads(line) for line in VRIPT_LINES.splitlines()]
    for write in (json.dumps, repr):
        sheet = io.StringIO()
        writer = csv.DictWriter(sheet, lines[0])
        writer.writeheader()
        writer.writerows({**line, "meta": write(META), "caption": line["caption"] and write(PARTS)} for line in lines)
        first, second = scenes(from_csv(sheet.getvalue()))
        assert first == {**META, **PLANTING, "voiceover": str(VOICE)}
        assert second["caption"] is None and second["video_title"] == "My garden"


@pytest.mark.parametrize("write", [dict, json.dumps])
def test_vript_caption_file(write):
    """A whole caption file: clips by their ids."""
    clip = {"video_id": META["video_id"], "video_title": META["video_title"], "voiceover": VOICE}
    data = {
        f"-aB_3dEf-1k-Scene-{number:03}": {**clip, "clip_id": f"-aB_3dEf-1k-Scene-{number:03}", "caption": PARTS}
        for number in (1, 2)
    }
    first, second = scenes([{"meta": write(META), "data": write(data)}])
    assert first == {**META, **PLANTING}
    assert (second["stem"], second["caption"]) == ("-aB_3dEf-1k-Scene-002", "Hands plant a bulb.")


@pytest.mark.parametrize(
    ("sheet", "name", "has_times"),
    [(PANDA, "Panda-70M", True), (KOALA, "Koala-36M", True), (OPENVID, "OpenVid-1M", False)],
)
def test_an_added_path_names_the_file(sheet, name, has_times):
    row = from_csv(sheet)[0]
    layout = layout_of([*row, "path"])
    assert layout is not None and (layout.name, layout.has_times) == (name, has_times)
    found = [scene for scene in layout.rows({**row, "path": "sub/a.mkv"})]
    assert all(scene["path"] == "sub/a.mkv" and "stem" not in scene for scene in found)
    assert list(layout.rows({**row, "path": ""})) == list(layout.rows(row))
    assert all(("start" in scene) == ("end" in scene) == has_times for scene in found)


def test_columns_tell_the_layout():
    for layout in LAYOUTS:
        for told in layout.told_by:
            found = layout_of([*told, "another"])
            assert found is layout
            assert layout_of([*told, "start", "end"]) is None
            assert layout_of([*told, "start_frame", "end_frame"]) is None
            for missing in told:
                assert layout_of(told - {missing}) is not layout
    assert layout_of(["path", "start", "end", "caption"]) is None
    assert layout_of(["video", "caption", "id"]) is None
    assert layout_of(["path", "clip_id", "caption"]) is None
    assert layout_of([]) is None


def test_rows_that_cannot_be_read():
    panda, koala = from_csv(PANDA)[0], from_csv(KOALA)[0]
    vript = json.loads(VRIPT_LINES.splitlines()[0])
    assert refused(panda, caption="['one']") == (
        "the column `caption` has 1 entries, `timestamp` 2; each needs one per scene"
    )
    assert "`matching_score` has 3 entries" in refused(panda, matching_score="[1, 2, 3]")
    assert refused(panda, timestamp="[]") == "the column `timestamp` has no scene"
    assert refused(panda, timestamp="") == "the column `timestamp` is empty"
    assert "`timestamp` holds no list" in refused(panda, timestamp="[['0:00:01', '0:00:02']")
    assert refused(panda, timestamp="7") == "the column `timestamp` holds no list that can be read: '7'"
    assert "`caption` holds no list" in refused(panda, caption="__import__('os').getcwd()")
    assert refused(panda, timestamp="[['0:00:01', '0:00:02'], ['0:00:03']]") == (
        "the column `timestamp`: ['0:00:03'] is no pair of start and end"
    )
    assert refused(panda, timestamp="[['0:00:01', '0:75:02'], ['0:00:03', '0:00:04']]") == (
        "the column `timestamp`: '0:75:02' is no time: minutes after hours must be below 60"
    )
    assert refused(panda, videoID="") == "the column `videoID` is empty"
    assert refused(panda, videoID="../secret") == "the column `videoID`: '../secret' is no name of a file"
    assert "no YouTube id of 11 characters" in refused(koala, videoID="short_1")
    assert "`timestamp`: " in refused(koala, timestamp="['0:00:31.658']")
    assert refused(from_csv(OPENVID)[0], video="") == "the column `video` is empty"
    assert "`video`: {'bytes'" in refused(from_csv(OPENVID)[0], video={"bytes": b"x" * 1000})
    assert "`caption` holds no object with fields" in refused(vript, caption="Only words.")
    assert refused(vript, caption={"shot_type": "Wide."}) == "the column `caption` has no field `content`"
    assert refused({"meta": {}, "data": {"a": 1}}) == "the column `data`: 'a' has no fields"


def test_nothing_is_given_before_the_whole_row_is_read():
    layout = layout_of(from_csv(PANDA)[0])
    assert layout is not None
    rows = layout.rows({**from_csv(PANDA)[0], "timestamp": "[['0:00:01', '0:00:02'], ['0:00:03', 'later']]"})
    with pytest.raises(ValueError, match="later"):
        next(rows)


STRANGE = ["[" * 100_000, "-" * 100_000 + "1", "1+" * 100_000 + "1", "{" * 1000, "\0", "{[]: 1}"]


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_strange_texts_are_refused(text):
    assert len(refused(from_csv(PANDA)[0], timestamp=text)) < 200


def test_the_longest_cell():
    panda = from_csv(PANDA)[0]
    filler = ["x" * (LONGEST_CELL - len('["",""]')), ""]
    cell = json.dumps(filler, separators=(",", ":"))
    assert len(cell) == LONGEST_CELL
    assert [scene["caption"] for scene in scenes([{**panda, "caption": cell}])] == [filler[0], None]
    assert f"at most {LONGEST_CELL} are read" in refused(panda, caption=cell + " ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (31.658, 31.658),
        ("31.658", 31.658),
        ("31,658", 31.658),
        (" 31. ", 31.0),
        ("5e-05", 5e-05),
        ("1:02", 62.0),
        ("75:30", 4530.0),
        ("00:01:02", 62.0),
        ("0:00:31.658", 31.658),
        ("0:00:31,658", 31.658),
        ("0:01:20.880", 80.88),
        ("100:00:00.001", 360000.001),
    ],
)
def test_times(value, expected):
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value",
    [-1, -0.001, float("nan"), float("inf"), 10**400, True, None, [1], b"1"]
    + ["", " ", "nan", "inf", "1e999", "-1", "-0:00:01", "1:75", "0:60:00", "1:2:3:4", "1:", ":1"]
    + ["1_000", "1.2.3", "1,234.5", "0:00:01:12", "٣", "one"],
)
def test_no_times(value):
    with pytest.raises(ValueError, match="is no time"):
        seconds(value)


def test_the_same_time_gives_the_same_number():
    """Whatever the notation, so that the same scene starts at the same frame."""
    for milliseconds in range(0, 4_000_000, 997):
        whole, rest = divmod(milliseconds, 1000)
        text = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:03}"
        assert seconds(text) == seconds(f"{whole}.{rest:03}") == seconds(milliseconds / 1000)


def test_cells():
    assert [is_empty(cell) for cell in (None, "", float("nan"), 0, " ", [], False)] == [True] * 3 + [False] * 4
    assert [text_of(cell) for cell in (None, " ", " a b ", 7)] == [None, None, "a b", "7"]
