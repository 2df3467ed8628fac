"""The index of videos: what is found in a folder, and what it is called for ever."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from index_runs import Run, refuse

from clipmill.base.errors import SetupError
from clipmill.inputs.archives import Archives
from clipmill.inputs.discovery import update_index
from clipmill.inputs.finding import Found
from clipmill.inputs.identities import make_id
from clipmill.inputs.places import Places
from clipmill.inputs.same_files import found_twice
from clipmill.store import tables
from clipmill.store.index import shard_sizes
from clipmill.store.layout import Paths
from clipmill.store.spelling import remember_spelling, spelling_of

SAFE = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{12}")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


# --- identities -------------------------------------------------------------------------------------------------------

NAMES = (
    "a/x.mp4", "b/x.mp4", "x.mp4", "x.webm", "X.mp4", "a-x.mp4", "a_x.mp4", "-y.mp4", "x..mp4", "a b.mp4",
    "caf\u00e9.mp4", "cafe\u0301.mp4", "cafe.mp4", "\N{CLAPPER BOARD}.mp4", "\u96fb\u5f71.mp4", "\u96fb.mp4",
    "it's \"{shard}\" 100% $HOME *[a];\n(2).mp4", "l" * 251 + ".mp4", "l" * 250 + "m.mp4", "\u00e9" * 125 + ".mp4",
)  # fmt: skip


def test_ids_are_safe_and_unique_and_name_the_file(run):
    run.put(*NAMES)
    run.update()
    index = run.index
    assert sorted(index["name"]) == sorted(NAMES)
    assert index["video_id"].is_unique
    assert all(SAFE.fullmatch(name) and len(name) <= 53 for name in index["video_id"])
    ids = dict(zip(index["name"], index["video_id"], strict=True))
    assert ids["a/x.mp4"].startswith("a-x-")
    assert ids["\u96fb\u5f71.mp4"].startswith("video-")
    assert ids["caf\u00e9.mp4"][:5] == ids["cafe\u0301.mp4"][:5] == "cafe-"


def test_ids_never_change():
    # Written down once: a change would make every finished dataset start again.
    assert make_id("a/x.mp4") == "a-x-07f9074150ae"
    assert make_id("Caf\u00e9 \N{CLAPPER BOARD}.mp4") == "cafe-2958f8fe776d"


# --- what is found ----------------------------------------------------------------------------------------------------


def test_folder_is_searched_to_the_bottom(run):
    run.put("1/2/3/4/deep.mkv", "BIG.MP4", "b.mov", "film.mp4/inside.avi", "notes.txt", "noending", "z.mp4.part")
    run.put(".hidden.mp4", ".cache/c.mp4", "1/.trash/t.mp4")
    run.update()
    assert sorted(run.index["name"]) == ["1/2/3/4/deep.mkv", "BIG.MP4", "b.mov", "film.mp4/inside.avi"]
    assert run.problems == {}


def test_links(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "sub" / "e.mp4").touch()
    run.put("a/x.mp4")
    for name, target in {
        "linked": elsewhere,
        "twice": elsewhere,
        "a/up": run.videos,
        "file.mp4": elsewhere / "sub" / "e.mp4",
        "dangling.mp4": tmp_path / "nowhere",
        "dangling": tmp_path / "nowhere",
        "circle.mp4": run.videos / "circle.mp4",
        "circle": run.videos / "circle",
    }.items():
        os.symlink(target, run.videos / name)
    os.symlink(elsewhere, elsewhere / "sub" / "loop")
    run.update()
    assert sorted(run.index["name"]) == ["a/x.mp4", "file.mp4", "linked/sub/e.mp4"]
    assert run.problems == {"dangling.mp4": "missing", "circle.mp4": "missing"}


@pytest.mark.parametrize("link", [False, True])
def test_outdir_is_not_searched(run, link):
    run.outdir = run.videos / "results"
    run.paths = Paths(run.outdir)
    run.put("a.mp4", "results/work/clip_files/c.mp4", "results2/b.mp4")
    if link:
        os.symlink(run.outdir, run.videos / "also")
    run.update()
    assert sorted(run.index["name"]) == ["a.mp4", "results2/b.mp4"]


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ([], {"a.mp4", "a.preview.mp4", "t/b.mp4", "t/u/c.mp4", "[x].mp4"}),
        (["*.preview.mp4"], {"a.mp4", "t/b.mp4", "t/u/c.mp4", "[x].mp4"}),
        (["t/*", "[[]x].mp4"], {"a.mp4", "a.preview.mp4"}),
        (["t"], {"a.mp4", "a.preview.mp4", "t/b.mp4", "t/u/c.mp4", "[x].mp4"}),
        (["*/u/*", "A.MP4"], {"a.mp4", "a.preview.mp4", "t/b.mp4", "[x].mp4"}),
    ],
)
def test_exclude(run, patterns, kept):
    run.put("a.mp4", "a.preview.mp4", "t/b.mp4", "t/u/c.mp4", "[x].mp4")
    run.update(exclude=patterns)
    assert set(run.index["name"]) == kept


def test_names_that_are_not_utf8_are_problems(run):
    run.put("good.mp4")
    Path(os.fsdecode(os.fsencode(run.videos) + b"/bad\xff.mp4")).touch()
    run.update()
    assert list(run.index["name"]) == ["good.mp4"]
    assert run.problems == {"bad\\udcff.mp4": "bad_name"}


def test_a_folder_that_cannot_be_read_is_a_problem(run, monkeypatch):
    run.put("a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    run.update()
    assert list(run.index["name"]) == ["a.mp4"]
    assert run.problems == {"closed": "unreadable_folder"}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", r"videos: .*/nowhere does not exist; name a folder of videos, a sheet or a single video"),
        ("relative", r"videos: nowhere does not exist in /.*/videos; name a folder"),
        (
            "file",
            r"videos: .*/a.txt is neither a folder nor a sheet .*, nor an archive \(.tar, .parquet\), and no video ",
        ),
        ("empty", r"videos: .*/videos holds no video \(a file ending in avi flv .* was expected\)$"),
        ("problem", r"holds no video .*; the problem: cannot be read \(No such file or directory\)"),
        ("outdir", r"videos: .* is the outdir too; name another"),
        ("closed", r"videos: .*/videos cannot be read \(Permission denied\); check its mode"),
        ("index", r"videos.parquet: unreadable .*; restore it, or use a new outdir"),
    ],
)
def test_set_up_errors(run, monkeypatch, case, message):
    videos, outdir = run.videos, run.outdir
    if case == "missing":
        videos = run.videos / "nowhere"
    elif case == "relative":
        monkeypatch.chdir(run.videos)
        videos = Path("nowhere")
    elif case == "file":
        run.put("a.txt")
        videos = run.videos / "a.txt"
    elif case == "problem":
        os.symlink("nowhere", run.videos / "a.mp4")
    elif case == "outdir":
        outdir = run.videos / ".." / "videos"
    elif case == "closed":
        monkeypatch.setattr(os, "scandir", refuse)
    elif case == "index":
        run.put("a.mp4")
        run.update()
        run.start()
        run.paths.videos.write_bytes(b"PAR1 is what it was")
    with pytest.raises(SetupError, match=message):
        update_index(videos, outdir)


def test_jobs_without_an_index_say_what_to_do(tmp_path):
    with pytest.raises(SetupError, match=r"shards.txt: missing; start the run again from the main process"):
        shard_sizes(tmp_path)


def test_files_of_cameras_and_recorders_are_found(run, caplog):
    caplog.set_level(logging.INFO, logger="clipmill")
    found = [
        "00001.MTS",
        "a.m2ts",
        "b.M2T",
        "MOV001.MOD",
        "MOV002.TOD",
        "c.3gp",
        "VTS_01_1.VOB",
        "d.dv",
        "e.mxf",
        "f.insv",
    ]
    run.put(*found, "notes.txt", "x/y.JPG", "x/z.jpg", "README")
    run.update()
    assert sorted(run.index["name"]) == sorted(found)
    line = "4 files with other endings are ignored: 2 .jpg, 1 without an ending, 1 .txt"
    assert line in caplog.text
    for name in ("x/y.JPG", "x/z.jpg", "README"):
        (run.videos / name).unlink()
    run.update()
    assert "1 file with another ending is ignored: 1 .txt" in caplog.text


def test_previews_are_left_out_beside_their_recordings(run, caplog):
    caplog.set_level(logging.INFO, logger="clipmill")
    run.put("go/GX010042.MP4", "go/GL010042.LRV", "old/GOPR0007.MP4", "old/GOPR0007.LRV", "dji/DJI_0003.MP4")
    run.put("dji/DJI_0003.LRF", "dji/DJI_0004.LRF", "GL010042.LRV", "a.lrv", "b.mp4")
    run.update()
    assert sorted(run.index["name"]) == [
        *(
            "GL010042.LRV",
            "a.lrv",
            "b.mp4",
            "dji/DJI_0003.MP4",
            "dji/DJI_0004.LRF",
            "go/GX010042.MP4",
            "old/GOPR0007.MP4",
        )
    ]
    assert "3 previews of recordings that lie beside them are ignored" in caplog.text


@pytest.mark.parametrize("left", [["work/index/shards.txt"], ["verdicts.parquet", "summary.json", "errors.csv"]])
def test_the_outdir_of_another_run_is_left_out(run, caplog, left):
    caplog.set_level(logging.INFO, logger="clipmill")
    run.put("a.mp4", "first/dataset/clips/a/a_0-9.mp4", *(f"first/{name}" for name in left))
    run.put("work/index/b.mp4", "verdicts/summary.mp4")
    run.update()
    assert sorted(run.index["name"]) == ["a.mp4", "verdicts/summary.mp4", "work/index/b.mp4"]
    assert "outdirs of other runs are left out: first" in caplog.text
    with pytest.raises(SetupError, match=r"first is the outdir of a run; .*/first/dataset/clips for its clips"):
        update_index(run.videos / "first", run.outdir)
    update_index(run.videos / "first" / "dataset" / "clips", run.outdir)
    assert sorted(run.index["name"]) == ["a/a_0-9.mp4"]


def test_a_folder_in_which_nothing_may_be_asked_for_is_no_outdir(run, monkeypatch):
    run.put("a.mp4", "closed/b.mp4")
    stat = os.stat

    def closed(path, *arguments, **options):
        if "/closed/" in str(path):
            raise PermissionError(13, "Permission denied")
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", closed)
    assert not Paths(run.videos / "closed").is_outdir
    run.update()
    assert list(run.index["name"]) == ["a.mp4", "closed/b.mp4"]


# --- spellings --------------------------------------------------------------------------------------------------------


def test_the_same_folder_spelled_otherwise_changes_nothing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.put("a/x.mp4", "y.mp4")
    run.update()
    run.start()
    before = run.written
    (tmp_path / "link").symlink_to(run.videos)
    for spelling in ("link", "videos", "./videos/", f"{tmp_path}/link/", f"{tmp_path}/out/../videos"):
        update_index(spelling, run.outdir)
        assert run.rewritten(before) == set(), spelling
    run.put("z.mp4")
    update_index("link", run.outdir)
    assert run.shards == {"000000": ["a/x.mp4"], "000001": ["y.mp4"], "000002": ["z.mp4"]}


def test_a_video_that_moved_or_changed_gets_its_new_path(run, tmp_path):
    run.put("x.mp4", "y.mp4")
    run.update()
    run.start()
    (tmp_path / "link").symlink_to(run.videos)
    run.put("y.mp4", size=2)
    update_index(tmp_path / "link", run.outdir)
    assert list(run.index["path"]) == [f"{run.videos}/x.mp4", f"{tmp_path}/link/y.mp4"]
    run.videos.rename(tmp_path / "elsewhere")
    update_index(tmp_path / "elsewhere", run.outdir)
    assert list(run.index["path"]) == [f"{tmp_path}/elsewhere/{name}" for name in ("x.mp4", "y.mp4")]
    assert list(run.index["present"]) == [True, True]


def test_a_sheet_that_spells_the_same_files_otherwise_changes_nothing(run, tmp_path):
    run.put("x.mp4", "y.mp4")
    (tmp_path / "link").symlink_to(run.videos)
    sheet = tmp_path / "sheet.csv"
    lists = (
        ["videos/x.mp4", "videos/y.mp4"],
        [f"{run.videos}/x.mp4", "link/y.mp4"],
        ["link/x.mp4", "videos/../videos/y.mp4"],
    )
    written = []
    for names in lists:
        sheet.write_text("\n".join(["path", *names]) + "\n")
        update_index(sheet, run.outdir)
        run.start()
        written.append(run.written)
    assert written[0] == written[1] == written[2]


def test_two_names_of_one_file_are_two_videos_and_a_start_reports_them(run, tmp_path, caplog):
    run.put("x.mp4", "alone.mp4")
    run.update()
    run.start()
    assert "another name" not in caplog.text
    (run.videos / "linked.mp4").hardlink_to(run.videos / "x.mp4")
    (run.videos / "other.mp4").symlink_to(run.videos / "x.mp4")
    with caplog.at_level(logging.WARNING, "clipmill"):
        run.update()
    assert sorted(run.index["name"]) == ["alone.mp4", "linked.mp4", "other.mp4", "x.mp4"]
    assert run.problems == {}, "both are used"
    (line,) = caplog.messages
    assert line.startswith("2 files are there under another name too: 'other.mp4' is 'linked.mp4', 'x.mp4' is 'linked.")
    assert "`exclude`" in line and "duplicates.backend" in line
    caplog.clear()
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("path,id\nvideos/x.mp4,1\nvideos/./x.mp4,2\nvideos/alone.mp4,3\nvideos/../videos/x.mp4,2\n")
    update_index(sheet, tmp_path / "out of the sheet")
    assert "1 file is there under another name too: 'videos/./x.mp4' is 'videos/x.mp4';" in caplog.text


def test_one_inode_of_two_files_is_no_file_with_two_names():
    """As on file systems whose inodes are not stable, or have no inodes."""

    def pairs(*statuses: tuple[int, int, int]) -> list[tuple[str, str]]:
        found = Found(Archives(Path(), captions=False), Places(None))
        for number, (inode, device, size) in enumerate(statuses):
            found.add(f"{number}.mp4", f"{number}.mp4", os.stat_result((0, inode, device, 1, 0, 0, size, 0, 0, 0)))
        return found_twice(found, [True] * len(statuses))

    assert pairs((7, 1, 10), (7, 1, 11), (7, 2, 10), (8, 1, 10)) == []
    assert pairs((0, 1, 10), (0, 1, 10)) == []
    assert pairs((2**64 - 1, 1, 10), (7, 1, 10), (2**64 - 1, 1, 10)) == [("0.mp4", "2.mp4")]
    assert pairs() == []


def test_a_single_video_is_as_a_folder_with_it_alone(run):
    """It is the same video in the folder too, by whatever way it is named."""
    run.put("b.MP4", "a.mp4")
    (run.videos / "a.txt").write_text("A caption.")
    update_index(run.videos / "a.mp4", run.outdir, captions=True)
    assert list(run.index["name"]) == ["a.mp4"]
    assert pq.read_table(tables.GIVEN.of(run.outdir, "000000"))["caption"].to_pylist() == ["A caption."]
    run.start()
    before = run.written
    update_index(os.path.relpath(run.videos / "a.mp4"), run.outdir, captions=True)
    assert run.rewritten(before) == set()
    run.update()
    assert run.shards == {"000000": ["a.mp4"], "000001": ["b.MP4"]}
    update_index(run.videos / "b.MP4", run.outdir)
    assert dict(zip(run.index["name"], run.index["present"], strict=True)) == {"a.mp4": False, "b.MP4": True}
    with pytest.raises(SetupError, match=r"a.mp4 is left out by `exclude`; name another video, or take the pattern"):
        update_index(run.videos / "a.mp4", run.outdir, exclude=["a.*"])


def test_an_outdir_keeps_its_first_spelling_in_each_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    outdir = tmp_path / "out"
    outdir.mkdir()
    (tmp_path / "link").symlink_to(outdir)
    monkeypatch.chdir(tmp_path / "here")
    assert spelling_of("../out/") == "../out", "nothing is known yet"
    remember_spelling(Path("../out"))
    for spelling in ("../out/", str(outdir), "../link", f"{tmp_path}/link/", "./../here/../out"):
        assert spelling_of(spelling) == "../out"
        remember_spelling(Path(spelling))
    monkeypatch.chdir(tmp_path)
    assert spelling_of("out") == "out"
    remember_spelling(Path("link"))
    assert spelling_of("out") == "link"
    (tmp_path / "link").unlink()
    assert spelling_of("out") == "out", "the first spelling leads nowhere now"
    remember_spelling(Path("out"))
    assert json.loads(Paths(outdir).spellings.read_text()) == {str(tmp_path): "out", f"{tmp_path}/here": "../out"}
    assert spelling_of(tmp_path / "other") == str(tmp_path / "other")
