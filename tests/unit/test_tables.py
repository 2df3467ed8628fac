"""Tables: written and read as defined, and refused otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipmill import __version__
from clipmill.base.errors import SetupError
from clipmill.store import tables
from clipmill.store.table import (
    BYTES,
    FLAG,
    INTEGER,
    MINIATURE,
    REAL,
    REALS,
    SMALL,
    SMALL_INTEGER,
    SMALL_REALS,
    TEXT,
    THUMBNAIL,
    Column,
    vector,
)
from clipmill.store.table import about as about_file

ROOT = Path(__file__).resolve().parents[2]
CLIP = {
    "clip_id": "v_00000000-00001500",
    "video_id": "v",
    "source_key": "k",
    "part": 0,
    "scene": 0,
    "piece": 1,
    "start": 0.0,
    "end": 1.5,
    "seconds": 1.5,
    "start_frame": 0,
    "end_frame": 36,
    "unfit": "too_short",
    "target_frames": None,
    "width": 64,
    "height": 48,
    **dict.fromkeys(("crop_x", "crop_y", "crop_width", "crop_height", "whole_width", "whole_height", "masked")),
    "fps": 24.0,
    "bit_depth": 8,
    "transfer": "sdr",
    "primaries": "bt709",
    "color_range": "limited",
    "field_order": "progressive",
    "variable_rate": False,
}


def example(column: Column):
    """Some value that fits a column exactly."""
    if column.type in (REALS, SMALL_REALS):
        return [0.5, 0.25]
    if column.type in (THUMBNAIL, MINIATURE):
        return bytes(number % 256 for number in range(64 if column.type == THUMBNAIL else 27 * 48 * 3))
    if column.type == vector(768):
        return [0.5, -0.25] * 384
    if column.type in (REAL, SMALL):
        return 0.5
    if column.type == BYTES:
        return b"\x00\xff"
    return {TEXT: "caf\u00e9\n", FLAG: True}.get(column.type, 7)


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_every_table_comes_back_as_it_was_written(tmp_path, table):
    row = {column.name: example(column) for column in table.columns}
    path = tmp_path / "deep" / "t.parquet"
    table.write(path, [row, {}])
    assert table.rows(path) == [row, dict.fromkeys(row)]
    assert table.read(path, [table.columns[1].name]).column_names == [table.columns[1].name]
    assert [batch.num_rows for batch in table.batches(path, size=1)] == [1, 1]
    assert pq.read_schema(path).equals(table.schema)


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_a_table_without_rows_has_its_columns(tmp_path, table):
    table.write(tmp_path / "t.parquet", [])
    assert table.rows(tmp_path / "t.parquet") == []
    assert pq.read_schema(tmp_path / "t.parquet").equals(table.schema)


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_definitions(table):
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in table.columns)
    for column in table.columns:
        assert column.decimals is None or column.type in (REAL, SMALL, REALS, SMALL_REALS)
        assert column.unit or column.type in (TEXT, FLAG) or column.type in (INTEGER, SMALL_INTEGER)


def test_shard_tables_lie_apart():
    paths = [table.path for table in tables.ALL]
    assert len(set(paths)) == len(paths)


def test_columns_of_one_name_are_of_one_type():
    """Verdicts and metadata gather columns from the other tables."""
    types: dict[str, str] = {}
    for table in tables.ALL:
        if table not in (tables.SIGNALS, tables.INDEX):
            for column in table.columns:
                assert types.setdefault(column.name, column.type) == column.type


def test_unknown_columns_are_refused(tmp_path):
    with pytest.raises(KeyError, match=r"table clips has no column \['shard', 'sceen'\]|\['sceen', 'shard'\]"):
        tables.CLIPS.write(tmp_path / "t.parquet", [CLIP, {**CLIP, "sceen": 1, "shard": 2}])
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(("name", "value"), [("scene", "one"), ("unfit", 3), ("clip_id", b"x")])
def test_values_of_another_type_are_refused(tmp_path, name, value):
    with pytest.raises((pa.ArrowException, TypeError, ValueError, AttributeError)):
        tables.CLIPS.write(tmp_path / "t.parquet", [{**CLIP, name: value}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        tables.CLIPS.from_rows([CLIP]).append_column("more", pa.array([1])),
        tables.CLIPS.from_rows([CLIP]).set_column(4, "scene", pa.array([0.0])),
        tables.MOTION.from_rows([]),
    ],
)
def test_a_table_of_another_kind_is_refused_by_name(tmp_path, content):
    path = tmp_path / "t.parquet"
    pq.write_table(content, path)
    with pytest.raises(SetupError, match=rf"^{path}: not a table `clips` of this version of clipmill; delete the file"):
        tables.CLIPS.rows(path)


def test_columns_that_an_older_table_lacks_are_missing(tmp_path):
    """However it is read; their order in the file does not matter."""
    path = tmp_path / "t.parquet"
    older = tables.CLIPS.from_rows([CLIP]).select(["video_id", "clip_id"])
    pq.write_table(older, path)
    wanted = {name: CLIP[name] if name in ("video_id", "clip_id") else None for name in CLIP}
    assert tables.CLIPS.rows(path) == [wanted]
    assert list(tables.CLIPS.rows(path)[0]) == list(CLIP)
    assert tables.CLIPS.read(path, ["scene", "clip_id"]).to_pylist() == [{"scene": None, "clip_id": CLIP["clip_id"]}]
    assert tables.CLIPS.read(path, ["scene"]).to_pylist() == [{"scene": None}]
    assert [batch.to_pylist() for batch in tables.CLIPS.batches(path, ["end", "clip_id"])] == [
        [{"end": None, "clip_id": CLIP["clip_id"]}]
    ]
    assert tables.CLIPS.take(path, [0], ["end"]).to_pylist() == [{"end": None}]


@pytest.mark.parametrize("version", ["0.99.0", "1.0", "0.2.0.1", "12.0.0"])
def test_a_table_of_a_newer_clipmill_is_refused_with_both_versions(tmp_path, version):
    path = tmp_path / "t.parquet"
    tables.CLIPS.write(path, [CLIP])
    table = pq.read_table(path)
    assert table.schema.metadata[b"clipmill_version"] == __version__.encode()
    newer = table.replace_schema_metadata({**table.schema.metadata, b"clipmill_version": version.encode()})
    pq.write_table(newer, path)
    message = rf"^{path}: written by clipmill {version}, and this is clipmill {__version__}; run clipmill {version}"
    for read in (
        tables.CLIPS.rows,
        lambda path: list(tables.CLIPS.batches(path)),
        lambda path: tables.CLIPS.take(path, [0], ["end"]),
    ):
        with pytest.raises(SetupError, match=message):
            read(path)


def test_a_table_of_an_older_clipmill_may_have_columns_that_are_gone(tmp_path):
    path = tmp_path / "t.parquet"
    tables.CLIPS.write(path, [CLIP])
    table = pq.read_table(path)
    older = table.append_column("gone", pa.array([1]))
    pq.write_table(older.replace_schema_metadata({**table.schema.metadata, b"clipmill_version": b"0.1.9"}), path)
    assert tables.CLIPS.rows(path) == [CLIP]


def test_a_table_says_which_one_it_is(tmp_path):
    """Motion and technical tables of clips that nobody measured hold the same ids and nothing else."""
    path = tmp_path / "t.parquet"
    tables.MOTION.write(path, [{"clip_id": "c"}])
    with pytest.raises(SetupError, match=rf"^{path}: not a table `technical`"):
        tables.TECHNICAL.rows(path)


@pytest.mark.parametrize("cut", [0, 3, 200, -20])
def test_a_broken_table_is_refused_by_name(tmp_path, cut):
    path = tmp_path / "t.parquet"
    tables.CLIPS.write(path, [CLIP])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SetupError, match=rf"^{path}: unreadable \(.*\); delete the file and run again"):
        tables.CLIPS.rows(path)


def test_numbers_are_rounded_once(tmp_path):
    path = tmp_path / "t.parquet"
    row = {"clip_id": "c", "sharpness": 1.23455, "brightness": -1e-9, "frozen_share": 0.00005, "contrast": 1 / 3}
    tables.TECHNICAL.write(path, [row])
    first = tables.TECHNICAL.rows(path)
    assert [first[0][name] for name in ("sharpness", "brightness", "contrast")] == [round(1.23455, 4), 0.0, 0.3333]
    assert math.copysign(1, first[0]["brightness"]) == 1  # not -0.0, which is another byte for the same number
    content = path.read_bytes()
    tables.TECHNICAL.write(path, first)
    assert path.read_bytes() == content


def test_lists_are_rounded_and_numpys_numbers_taken(tmp_path):
    path = tmp_path / "t.parquet"
    row = {"clip_id": "c", "text_area": np.float32(0.1), "text_area_frames": [1 / 3, np.float64(2 / 3), 1]}
    tables.TEXT_SCORES.write(path, [row])
    assert tables.TEXT_SCORES.rows(path)[0]["text_area_frames"] == [0.333333, 0.666667, 1.0]
    assert tables.TEXT_SCORES.rows(path)[0]["text_area"] == 0.1


def test_times_of_long_videos_keep_their_microseconds(tmp_path):
    times = [k * 1001 / 24000 for k in range(0, 2_000_000, 99_991)]
    tables.SIGNALS.write(tmp_path / "t.parquet", [{"frame": k, "time": time} for k, time in enumerate(times)])
    read = tables.SIGNALS.read(tmp_path / "t.parquet")["time"].to_numpy()
    assert np.abs(read - times).max() <= 0.5e-6 + 1e-9


def test_text_that_utf8_cannot_hold_is_escaped(tmp_path):
    path = tmp_path / "t.parquet"
    tables.ERRORS.write(path, [{"video": "bad\udcff.mp4", "message": "half \ud800 of a pair", "step": "\u2028"}])
    row = tables.ERRORS.rows(path)[0]
    assert (row["video"], row["message"], row["step"]) == ("bad\\udcff.mp4", "half \\ud800 of a pair", "\u2028")


def test_metadata_says_how_a_table_was_made(tmp_path):
    path = tmp_path / "t.parquet"
    about = {"settings": {"max": None, "min": 0.5}, "model": "caf\u00e9"}
    tables.CLIPS.write(path, [CLIP], about)
    assert about_file(path) == about
    assert tables.CLIPS.rows(path) == [CLIP]
    content = path.read_bytes()
    tables.CLIPS.write(path, [CLIP], dict(reversed(about.items())))
    assert path.read_bytes() == content
    tables.CLIPS.write(path, [CLIP])
    assert about_file(path) == {}


def test_parts_are_row_groups_of_one_table(tmp_path):
    path = tmp_path / "t.parquet"
    parts = (tables.CLIPS.from_rows([{**CLIP, "scene": number}] * 2) for number in range(3))
    tables.CLIPS.write_parts(path, parts, {"x": 1})
    assert [row["scene"] for row in tables.CLIPS.rows(path)] == [0, 0, 1, 1, 2, 2]
    assert pq.ParquetFile(path).num_row_groups == 3
    assert about_file(path) == {"x": 1}


def test_an_error_in_a_part_leaves_the_old_table(tmp_path):
    path = tmp_path / "t.parquet"
    tables.CLIPS.write(path, [CLIP])

    def parts():
        yield tables.CLIPS.from_rows([CLIP])
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        tables.CLIPS.write_parts(path, parts())
    assert tables.CLIPS.rows(path) == [CLIP]
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


def test_tables_are_lost_where_a_shard_has_others(tmp_path):
    """Those of one that was not begun are still to come, and no job makes others on purpose."""
    shards, groups = ["000000", "000001", "000002"], ["000000", "000002"]
    declared = [table.path for table in tables.ALL if table.path.endswith("shard>.parquet")]
    declared.remove("work/embeddings/<backend>/<shard>.parquet")
    assert tables.lost(tmp_path, shards, groups) == []
    for path in declared:
        for name in ("000000", "000001"):
            if name == "000000" or "<shard>" in path:
                file = tmp_path / path.replace("<shard>", name).replace("<first shard>", name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    assert tables.lost(tmp_path, shards, groups) == []
    gone = ["work/captions/000000.parquet", "work/scores/text/000001.parquet", "work/videos/000000.parquet"]
    for path in gone:
        (tmp_path / path).unlink()
    assert tables.lost(tmp_path, shards, groups) == gone


def test_a_table_that_not_every_run_has_is_lost_only_in_a_run_that_has_it(tmp_path):
    tables.VIDEOS.write(tables.VIDEOS.of(tmp_path, "000000"), [])
    without = tables.lost(tmp_path, ["000000"], ["000000"])
    assert "work/clips/000000.parquet" in without and "work/shots/000000.parquet" not in without
    found = tables.lost(tmp_path, ["000000"], ["000000"], tables.OPTIONAL)
    folders = ("fingerprints", "judgements", "shots")
    assert sorted(found) == sorted([*without, *(f"work/{folder}/000000.parquet" for folder in folders)])
