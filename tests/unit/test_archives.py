"""Archives as input: what is listed of them and when, what a fault costs, and that fetched files are the members."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from index_runs import Run

from clipmill.base.errors import SetupError
from clipmill.fetch.files import FetchSettings, LocalFiles
from clipmill.fetch.shard import fetch_shard
from clipmill.filters.calibration_sample import write_sheet
from clipmill.inputs import archives, tars
from clipmill.inputs.discovery import update_index
from clipmill.inputs.sheets import gives_scenes_of
from clipmill.store import tables
from clipmill.store.index import read_json_lines, read_videos, shards_to_fetch
from default_config import CONFIG
from made_archives import at, make_parquet, make_tar

SHARD = "000000"
LONG = "a folder/" + "ünïcode " * 30 + "/クリップ.v2.MP4"  # beyond what a plain header holds


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def files_of(run: Run, shard: str = SHARD, **settings: Any) -> LocalFiles:
    return LocalFiles.of_shard(run.outdir, shard, FetchSettings(**{**CONFIG["fetch"], **settings}))


def fetched(run: Run, **settings: Any) -> dict[str, bytes | str]:
    """The bytes of each video of the first shard that is in an archive, by its name; the kind of its error instead."""
    files = files_of(run, **settings)
    rows = {row["video_id"]: row for row in fetch_shard(files, run.outdir, SHARD, 1.0)}
    found: dict[str, bytes | str] = {}
    for video in files.videos:
        row = rows[video["video_id"]]
        found[video["name"]] = row["error_kind"] if "error" in row else files.path(video).read_bytes()
        if "error" not in row:
            status = files.path(video).stat()
            assert (status.st_size, status.st_mtime_ns) == (video["size_bytes"], video["mtime_ns"])
            assert row == {"video_id": video["video_id"], "file": row["file"], "bytes": status.st_size}
    tables.FETCHES.from_rows(rows.values())
    return found


def given(run: Run) -> dict[str, dict[str, Any]]:
    """What is given of each video, by its name."""
    names = {row["video_id"]: row["name"] for row in run.index.to_dict("records")}
    rows = pq.read_table(tables.GIVEN.of(run.outdir, SHARD)).to_pylist()
    empty = ("video_id", "scene", "start", "end", "start_frame", "end_frame")
    return {names[row["video_id"]]: {k: v for k, v in row.items() if k not in empty} for row in rows}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_a_tar_are_videos(run, form):
    long = LONG if form != tarfile.USTAR_FORMAT else "long " * 25 + "/v.MP4"
    members = {"./0001.mp4": b"one", "sub/0002.webm": b"two" * 999, long: b"three", "../up.mp4": b"4", "/abs.mov": b"5"}
    others = {"0001.txt": b"A caption.", "0001.json": b"{}", "._0001.mp4": b"of another system", "notes": b"x"}
    make_tar(run.videos / "set 1.tar", {**members, **others}.items(), form)
    run.put("plain.mp4")
    run.update(100)
    names = {name: f"set 1.tar/{name.removeprefix('./')}" for name in members}
    # A tar file of the old format has no absolute names.
    assert run.shards == {SHARD: sorted(["plain.mp4", *names.values()])}
    assert fetched(run) == {names[name]: content for name, content in members.items()}
    folder = run.outdir / "work" / "fetched" / SHARD
    assert len(list(folder.iterdir())) == len(members), "members are names, never paths"
    files_of(run).release(run.index["video_id"])
    assert not folder.exists()
    assert (run.videos / "plain.mp4").exists()


def test_captions_and_fields_are_given_where_they_are_asked_for(run):
    members = {
        "a/1.mp4": b"x",
        "a/1.txt": b"\xef\xbb\xbf  From the text. ",
        "a/1.json": b'{"caption": "not this", "score": 1.5}',
        "b.seg.mp4": b"x",
        "b.json": '{"caption": "Aus dem Feld: ü", "width": 3, "tags": ["x"]}'.encode(),
        "c.mp4": b"x",
        "c.txt": b"\xff",
        "d.mp4": b"x",
        "d.json": b"[1]",
    }
    make_tar(run.videos / "s.tar", members.items())
    run.put("plain.mp4")
    (run.videos / "plain.txt").write_text("Beside it.")
    run.update(100)
    assert run.problems == {}
    run.update(100, captions=True)
    assert run.problems == {"s.tar/c.txt": "bad_caption", "s.tar/d.json": "bad_caption"}
    nothing = {"row": None, "caption": None, "score": None, "given_width": None, "tags": None}
    assert given(run) == {
        "s.tar/a/1.mp4": {**nothing, "caption": "From the text.", "score": 1.5},
        "s.tar/b.seg.mp4": {**nothing, "caption": "Aus dem Feld: ü", "given_width": 3, "tags": '["x"]'},
        "s.tar/c.mp4": nothing,
        "s.tar/d.mp4": nothing,
        "plain.mp4": {**nothing, "caption": "Beside it."},
    }


def test_what_is_wrong_with_a_tar_costs_only_that(run):
    make_tar(run.videos / "a.tar", [("1.mp4", b"x"), ("2.mp4", b""), ("1.mp4", b"y"), ("3.mp4", b"z")])
    with tarfile.open(run.videos / "a.tar", "a") as archive:
        link = tarfile.TarInfo("link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    make_tar(run.videos / "cut.tar", [("1.mp4", b"x"), ("2.mp4", b"y" * 5000), ("3.mp4", b"z")])
    os.truncate(run.videos / "cut.tar", 512 * 4)
    whole = make_tar(run.videos / "header.tar", [("1.mp4", b"x"), ("2.mp4", b"y"), ("3.mp4", b"z")])
    with open(whole, "r+b") as file:
        file.seek(512 * 2)
        file.write(b"damage")
    with tarfile.open(make_tar(run.videos / "large.tar", [("1.mp4", b"x")]), "a") as archive:
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 2 << 20
        archive.addfile(header, io.BytesIO(bytes(header.size)))
    for name, size in (("below.tar", -1536), ("little.tar", -1)):  # the first one leads back to the first header
        with tarfile.open(make_tar(run.videos / name, [("1.mp4", b"x")]), "a") as archive:
            header = tarfile.TarInfo("2.mp4")
            header.pax_headers = {"size": str(size)}
            archive.addfile(header)
    make_tar(run.videos / "none.tar", [("1.jpg", b"x")])
    (run.videos / "empty.tar").touch()
    (run.videos / "text.tar").write_text("no archive" * 99)
    with tarfile.open(run.videos / "packed.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.mp4"))
    (run.videos / "hidden.tar").write_bytes((run.videos / "packed.tar.gz").read_bytes())
    bad = os.fsdecode(b"\xff.mp4")
    make_tar(run.videos / "name.tar", [(bad, b"x"), ("ok.mp4", b"x")], tarfile.GNU_FORMAT)
    run.update(100)
    assert run.shards[SHARD] == [
        "a.tar/1.mp4",
        "a.tar/3.mp4",
        "below.tar/1.mp4",
        "cut.tar/1.mp4",
        "header.tar/1.mp4",
        "large.tar/1.mp4",
        "little.tar/1.mp4",
        "name.tar/ok.mp4",
    ]
    problems = [(problem["video"], problem["kind"]) for problem in read_json_lines(run.paths.problems)]
    assert problems == [
        ("a.tar/1.mp4", "listed_twice"),
        ("a.tar/2.mp4", "empty"),
        ("a.tar/link.mp4", "not_a_file"),
        ("below.tar", "damaged_archive"),
        ("cut.tar/2.mp4", "damaged_archive"),
        ("empty.tar", "damaged_archive"),
        ("header.tar", "damaged_archive"),
        ("hidden.tar", "compressed_archive"),
        ("large.tar", "damaged_archive"),
        ("little.tar", "damaged_archive"),
        ("name.tar/\\udcff.mp4", "bad_name"),
        ("none.tar", "no_video"),
        ("packed.tar.gz", "compressed_archive"),
        ("text.tar", "damaged_archive"),
    ]
    message = {problem["video"]: problem["message"] for problem in read_json_lines(run.paths.problems)}
    assert message["header.tar"].startswith("it is damaged from byte 1,024 on")
    assert "(a header of 2,097,152 bytes)" in message["large.tar"]
    assert set(fetched(run).values()) == {b"x", b"z"}


def test_an_archive_alone_and_what_is_left_out(run):
    make_tar(run.videos / "a.tar", [("1.mp4", b"x"), ("2.mp4", b"y")])
    make_tar(run.videos / "b.tar", [("1.mp4", b"x")])
    assert update_index(run.videos / "a.tar", run.outdir, 100, ["*/2.mp4"]) == {SHARD: 1}
    assert run.shards == {SHARD: ["a.tar/1.mp4"]}
    run.update(100, exclude=["b.tar", "a.tar/1*"])
    assert run.shards == {SHARD: ["a.tar/2.mp4"]}
    make_tar(run.videos / "none.tar", [("1.jpg", b"x")])
    with pytest.raises(SetupError, match=r"none\.tar holds no video .*: it holds no video"):
        update_index(run.videos / "none.tar", run.outdir)
    with pytest.raises(SetupError, match="has no .txt nor `caption` with any video"):
        update_index(run.videos / "a.tar", run.outdir, captions=True)


def test_an_archive_is_listed_once_for_each_of_its_states(run, monkeypatch):
    listed: list[str] = []

    def counting(path: Path, captions: bool) -> Any:
        listed.append(path.name)
        return tars.entries(path, captions)

    monkeypatch.setitem(archives.KINDS, ".tar", archives.Kind("tar", counting))
    for name in "ab":
        at(make_tar(run.videos / f"{name}.tar", [("1.mp4", b"x"), ("1.txt", b"A text.")]), 10**18)
    run.update(1)
    before = run.written
    run.start()
    run.update(1)
    assert listed == ["a.tar", "b.tar"]
    assert run.rewritten(before) == {"removed.jsonl"} - set(before), "nothing is written again"
    at(make_tar(run.videos / "b.tar", [("0.mp4", b"new"), ("1.mp4", b"x")]), 10**18 + 1)
    run.update(1)
    assert listed == ["a.tar", "b.tar", "b.tar"]
    assert run.shards == {"000000": ["a.tar/1.mp4"], "000001": ["b.tar/1.mp4"], "000002": ["b.tar/0.mp4"]}
    changed = {name for name in run.rewritten(before) if name.startswith("shards/")}
    assert changed == {"shards/000001.jsonl", "shards/000002.jsonl"}
    run.update(1, captions=True)
    run.update(1)
    assert listed[3:] == ["a.tar", "b.tar"], "texts are read when they are asked for, and are known later"
    (run.videos / "a.tar").unlink()
    run.update(1)
    assert len(list(run.paths.archives.iterdir())) == 1
    for file in run.paths.archives.iterdir():
        file.write_bytes(b"damaged")
    run.update(1)
    assert listed[5:] == ["b.tar"]


def cells(*contents: bytes | None, path: str = "{}.mp4") -> list[dict[str, Any]]:
    return [{"bytes": content, "path": path.format(number)} for number, content in enumerate(contents)]


@pytest.mark.parametrize("rows_together", [1, 2, 100])
@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False}])
def test_cells_of_parquet_are_videos(run, rows_together, options):
    contents = [bytes([65 + number]) * (number % 4 * 1000) or None for number in range(1, 8)]
    columns = {"video": cells(*contents), "caption": ["A."] * 7, "score": range(7), "at": [[1, 2]] * 7}
    make_parquet(run.videos / "s.parquet", columns, rows_together, **options)
    run.update(100)
    wanted = {f"s.parquet/{number}.mp4": content for number, content in enumerate(contents) if content}
    assert fetched(run) == wanted
    assert run.problems == {"s.parquet/3.mp4": "empty"}
    run.update(100, captions=True)
    assert given(run)["s.parquet/4.mp4"] == {"row": 5, "caption": "A.", "score": 4, "at": "[1, 2]"}
    for files in (files_of(run), files_of(run)):
        files.release(run.index["video_id"])
        assert files.not_brought(run.index["video_id"][3:5]) == {}
        assert [files.path(video).exists() for video in files.videos] == [False] * 3 + [True] * 2 + [False]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"__key__": ["k/1", "k/2"], "mp4": [b"1", b"2"], "txt": ["A.", "B."]}, ["k/1.mp4", "k/2.mp4"]),
        ({"video": [b"1", b"2"], "text": ["A.", "B."]}, ["000000", "000001"]),
        ({"video": cells(b"1", b"2", path="v.mp4"), "caption": ["A.", "B."]}, ["000000", "000001"]),
        ({"webm": [b"1", b"2"], "json": [{"caption": "A."}, {"caption": "B."}]}, ["000000.webm", "000001.webm"]),
        ({"bytes": [b"1", b"2"], "caption": ["A.", "B."]}, ["000000", "000001"]),
    ],
)
def test_the_columns_tell_where_the_videos_are(run, columns, names):
    file = make_parquet(run.videos / "s.parquet", columns)
    assert not gives_scenes_of(file)
    update_index(file, run.outdir, 100, captions=True)
    assert fetched(run) == {f"s.parquet/{name}": content for name, content in zip(names, (b"1", b"2"), strict=True)}
    assert [row["caption"] for row in given(run).values()] == ["A.", "B."]


def test_the_hub_tells_which_column_holds_videos(run):
    table = pa.table({"picture": pa.array([b"p"]), "clip": pa.array([b"v"])})
    features = {"picture": {"_type": "Image"}, "clip": {"_type": "Video"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(about), run.videos / "s.parquet")
    make_parquet(run.videos / "others.parquet", {"picture": [b"p"], "n": [1]})
    run.put("plain.mp4")
    run.update(100)
    assert run.shards == {SHARD: ["plain.mp4", "s.parquet/000000"]}
    assert run.problems == {}, "a Parquet file of something else is no archive"
    assert fetched(run) == {"s.parquet/000000": b"v"}


def test_a_sheet_stays_a_sheet(run):
    run.put("a.mp4", "b.mp4")
    for columns in (
        {"path": ["a.mp4"], "video": cells(b"x")},
        {"video": cells(None, path="a.mp4")},
        {"video": ["a.mp4"], "start": [0.0], "end": [1.0]},
    ):
        sheet = make_parquet(run.videos / "s.parquet", columns)
        assert list(update_index(sheet, run.outdir, 100).values()) == [1]
        assert run.shards == {SHARD: ["a.mp4"]}
        assert not shards_to_fetch(run.outdir)
        assert "origin" not in read_json_lines(run.paths.shard(SHARD))[0], "lists are as older versions wrote them"


def test_damage_of_parquet_costs_what_it_hits(run):
    contents = [os.urandom(6000) for _ in range(6)]  # longer than what statistics repeat
    columns = {"video": cells(*contents)}
    file = make_parquet(run.videos / "s.parquet", columns, 2, write_page_checksum=True, use_dictionary=False)
    whole = file.read_bytes()
    make_parquet(run.videos / "cut.parquet", columns)
    os.truncate(run.videos / "cut.parquet", 20_000)
    place = whole.index(contents[2][:500]) + 100
    file.write_bytes(whole[:place] + b"damage" + whole[place + 6 :])
    text = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe"))
    make_parquet(run.videos / "text.parquet", {"video": cells(b"x"), "note": text})
    run.put("plain.mp4")
    run.update(100)
    damaged = "damaged_archive"
    assert run.problems == {"s.parquet": damaged, "cut.parquet": damaged, "text.parquet": damaged}
    message = {problem["video"]: problem["message"] for problem in read_json_lines(run.paths.problems)}["s.parquet"]
    assert message.startswith("rows 3 to 4 cannot be read")
    assert fetched(run) == {f"s.parquet/{number}.mp4": contents[number] for number in (0, 1, 4, 5)}


def test_archives_that_change_while_a_run_is_on(run):
    tar = at(make_tar(run.videos / "a.tar", [("1.mp4", b"x" * 2000), ("2.mp4", b"y")]), 10**18)
    parquet = make_parquet(run.videos / "b.parquet", {"video": cells(b"1", b"2")}, 1, use_dictionary=False)
    run.update(100)
    names = [video["name"] for video in read_videos(run.paths.shard(SHARD))]
    at(tar, 10**18 + 1)
    parquet.unlink()
    assert fetched(run) == dict(zip(names, ["changed", "changed", "vanished", "vanished"], strict=True))
    assert len(list(run.paths.again.iterdir())) == 1, "the next start tries again"
    at(tar, 10**18)
    os.truncate(tar, 1024)
    at(tar, 10**18)
    assert fetched(run) == dict(zip(names, ["damaged_archive"] * 2 + ["vanished"] * 2, strict=True))
    assert [path for path in (run.outdir / "work" / "fetched").rglob("*") if path.is_file()] == []


def test_a_row_that_is_gone_is_missing(run):
    file = at(make_parquet(run.videos / "b.parquet", {"video": cells(b"1", b"2")}), 10**18)
    run.update(100)
    at(make_parquet(file, {"video": cells(b"1")}), 10**18)
    assert fetched(run) == {"b.parquet/0.mp4": b"1", "b.parquet/1.mp4": "missing_member"}


def test_a_video_is_fetched_once(run, monkeypatch, tmp_path):
    tar = at(make_tar(run.videos / "a.tar", [("1.mp4", b"x"), ("2.mp4", b"y")]), 10**18)
    run.update(100)
    monkeypatch.setenv("SCRATCH", str(tmp_path / "node"))
    settings = {"directory": "$SCRATCH/fetched"}
    assert set(fetched(run, **settings).values()) == {b"x", b"y"}
    files = files_of(run, **settings)
    assert all(str(files.path(video)).startswith(f"{tmp_path}/node/fetched/.clipmill-") for video in files.videos)
    files.release([files.videos[0]["video_id"]])
    rows = fetch_shard(files, run.outdir, SHARD, 1.0)
    assert [row["bytes"] for row in rows] == [1, 1]
    assert not files.path(files.videos[0]).exists(), "decoding has had it: whoever needs it again brings it back"
    with monkeypatch.context() as patch:
        patch.setattr("clipmill.fetch.tar.fetch", lambda videos, arriving: ((video, None) for video in videos))
        ids = [video["video_id"] for video in files.videos]
        assert [video["video_id"] for video, _ in files.bring([ids[1], "of a file", ids[1]])] == [ids[1]]
    os.utime(files.path(files.videos[1]), ns=(1, 1))
    assert files.not_brought(ids) == {}
    assert [files.path(video).stat().st_mtime_ns for video in files.videos] == [10**18] * 2, (
        "a strange file is replaced"
    )
    keeping = files_of(run, keep=True, **settings)
    keeping.release(ids)
    assert all(keeping.path(video).exists() for video in keeping.videos)
    monkeypatch.delenv("SCRATCH")
    with pytest.raises(SetupError, match=r"fetch\.directory: \$SCRATCH/fetched has a variable that is not set here"):
        files_of(run, **settings)
    at(make_tar(tar, [("1.mp4", b"xx")]), 10**18 + 1)
    run.start()
    run.update(100)
    (changed,) = (video["video_id"] for video in read_videos(run.paths.shard(SHARD)) if video["size_bytes"] == 2)
    fetch_shard(files_of(run), run.outdir, SHARD, 1.0)
    assert [path.stem for path in (run.outdir / "work" / "fetched" / SHARD).iterdir()] == [changed]


def test_a_sheet_names_videos_in_archives(run):
    make_tar(run.videos / "a.tar", [("sub/1.mp4", b"x"), ("2.mp4", b""), ("../3.mp4", b"z")])
    make_parquet(run.videos / "b.parquet", {"video": cells(b"1", b"2")})
    rows = [("a.tar/sub/1.mp4", 0, 1), ("a.tar/sub/1.mp4", 1, 2), ("b.parquet/1.mp4", 0, 1), ("a.tar/../3.mp4", 0, 1)]
    rows += [("a.tar/2.mp4", 0, 1), ("a.tar/no.mp4", 0, 1), ("nowhere.tar/1.mp4", 0, 1)]
    sheet = run.videos / "cuts.csv"
    sheet.write_text("path,start,end\n" + "".join(f"{path},{start},{end}\n" for path, start, end in rows))
    update_index(sheet, run.outdir, 100)
    assert fetched(run) == {"a.tar/../3.mp4": b"z", "a.tar/sub/1.mp4": b"x", "b.parquet/1.mp4": b"2"}
    assert run.problems == dict.fromkeys(("a.tar/2.mp4", "a.tar/no.mp4", "nowhere.tar/1.mp4"), "missing")
    scenes = pq.read_table(tables.GIVEN.of(run.outdir, SHARD)).to_pylist()
    assert [row["start"] for row in scenes if row["video_id"].startswith("a-tar-sub-1-")] == [0.0, 1.0]


def test_a_calibration_sample_finds_videos_in_archives(run):
    make_tar(run.videos / "a.tar", [(f"/x/{number}.mp4", bytes([number])) for number in range(5)])
    run.update(100)
    config = {**CONFIG, "videos": str(run.videos), "outdir": str(run.outdir)}
    config["calibrate"] = {**CONFIG["calibrate"], "videos": 3, "keep": 0.5}
    write_sheet(config)
    sample = Run.__new__(Run)
    sample.videos, sample.outdir = run.outdir / "calibrate" / "videos.jsonl", run.outdir / "calibrate"
    sample.paths = type(run.paths)(sample.outdir)
    sample.update(100)
    assert len(found := fetched(sample)) == 3
    assert all(content == bytes([int(Path(name).stem)]) for name, content in found.items())
    assert set(sample.index["video_id"]) <= set(run.index["video_id"])
