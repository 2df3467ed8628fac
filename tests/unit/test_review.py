"""The file of decisions: what is written is read again, bad lines are named, and a key follows the pictures alone."""

from __future__ import annotations

import json

import pytest

from clipmill.base.errors import SetupError
from clipmill.store.review import Decision, append_decisions, clip_key, parse_decision, read_review

AT = "2026-11-30T22:30:00Z"
GOOD = {"clip_id": "a_0-4", "decision": "drop", "star": False, "text": None, "clip": "k", "at": AT}
CLIP = {"source_key": "s", "start_frame": 0, "end_frame": 40, "clip_id": "a_0-4", "fps": 25.0}


def line(**changes) -> str:
    return json.dumps({**GOOD, **changes})


def test_the_last_line_of_a_clip_counts(tmp_path):
    path = tmp_path / "below" / "review.jsonl"
    first = [Decision("a", "drop", False, None, "k", AT), Decision("b", None, True, "Ein Café „heute“", "l", AT)]
    append_decisions(path, first)
    append_decisions(path, [Decision("a", "keep", False, "One  cat\n sits.", "k", AT)])
    append_decisions(path, [Decision("c", "drop", False, None, "m", AT), Decision("c", None, False, None, "m", AT)])
    assert len(path.read_text().splitlines()) == 5
    found = read_review(path)
    assert found == {"a": Decision("a", "keep", False, "One cat sits.", "k", AT), "b": first[1]}  # c was taken back


def test_a_file_that_a_browser_saved(tmp_path):
    path = tmp_path / "review.jsonl"
    path.write_text(f"{line(further=[1], at='2026-11-30T22:30:00.123Z')}\r\n\n{line(clip_id='b')}")
    assert set(read_review(path)) == {"a_0-4", "b"}
    append_decisions(path, [Decision("c", "keep", False, None, "k", AT)])  # the last line has no end
    assert set(read_review(path)) == {"a_0-4", "b", "c"}


@pytest.mark.parametrize(
    "bad, fault",
    [
        ('{"clip_id": "a"', "it is not JSON"),
        (b'{"clip_id": "\xff"}', "it is not JSON"),
        ("[1]", "it is no object"),
        (json.dumps({name: value for name, value in GOOD.items() if name != "star"}), "it has no field `star`"),
        (line(decision="dorp"), '`decision` is "dorp", and must be `drop`, `keep` or null'),
        (line(decision=[]), "`decision` is []"),
        (line(star=1), "`star` is 1, and must be true or false"),
        (line(text=" \n"), "a text that is not empty"),
        (line(text=7), "`text` is 7"),
        (line(text="half \ud83d"), "`text` is"),
        (line(clip_id=""), "the id of a clip"),
        (line(clip=None), "the key of the clip"),
        (line(at="yesterday"), "a time in UTC"),
        (line(at="2026-13-30T22:30:00Z"), "a time in UTC"),
        (line(at="2026-11-30T22:30:00+01:00"), "a time in UTC"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, fault):
    path = tmp_path / "review.jsonl"
    bad = bad if isinstance(bad, bytes) else bad.encode()
    path.write_bytes(line().encode() + b"\n" + bad + b"\n")
    with pytest.raises(SetupError) as refused:
        read_review(path)
    assert str(refused.value).startswith(f"{path}, line 2: ")
    assert fault in str(refused.value)
    assert "correct or remove the line" in str(refused.value)
    with pytest.raises(ValueError):
        parse_decision(bad)


def test_many_bad_lines_are_counted_and_a_missing_file_is_named(tmp_path):
    path = tmp_path / "review.jsonl"
    path.write_text("{\n" * 9)
    with pytest.raises(SetupError) as refused:
        read_review(path)
    lines = str(refused.value).splitlines()
    assert [lines[0].partition(":")[0], lines[-1]] == [f"{path}, line 1", f"{path}: 4 more bad lines"]
    for gone in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(SetupError, match="there is no such file"):
            read_review(gone)


def test_nothing_that_would_be_refused_is_written(tmp_path):
    path = tmp_path / "review.jsonl"
    with pytest.raises(ValueError, match="`decision`"):
        append_decisions(
            path, [Decision("a", "keep", False, None, "k", AT), Decision("b", "maybe", False, None, "k", AT)]
        )
    assert not path.exists()


def test_the_key_of_a_clip_follows_its_pictures_alone():
    key = clip_key(CLIP)
    assert clip_key({**CLIP, "fps": 30.0, "caption": "another"}) == key
    assert clip_key({name: CLIP[name] for name in ("source_key", "start_frame", "end_frame")}) == key
    changed = [{"source_key": "t"}, {"start_frame": 1}, {"end_frame": 41}]
    assert len({clip_key({**CLIP, **change}) for change in changed} | {key}) == 4
