"""Fetching videos from addresses: they come whole or not at all, and go on where they were cut off."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from films import SETTINGS
from test_plan_numbers import settings as of_plan

from bucket_server import environment
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.workers import map_in_processes
from clipmill.decode.shard import decode_shard
from clipmill.fetch import remote
from clipmill.fetch.files import FetchSettings, LocalFiles
from clipmill.fetch.shard import failed_fetches, fetch_shard
from clipmill.inputs.discovery import update_index
from clipmill.inputs.finding import find_videos
from clipmill.plan.plan import make_plan
from clipmill.plan.text import as_text
from clipmill.remote.files import Files, Patience
from clipmill.store import tables
from clipmill.store.index import lost_videos, read_videos, shards_to_fetch_first
from clipmill.store.layout import Paths
from web_server import Fault, WebServer, web_server

CONTENT = bytes(range(256)) * 20_000  # 5 MB
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def soon(monkeypatch):

    monkeypatch.setattr(Files.__init__, "__defaults__", (Patience(tries=3, first_seconds=0.01),))


@pytest.fixture
def server():
    with web_server() as server:
        server.files["/a.mp4"] = CONTENT
        yield server


def settings(*hosts: str, **changes) -> FetchSettings:
    default = {"directory": None, "keep": True, "own_jobs": False, "parallel": 2, "max_mb": None, "timeout_seconds": 5}
    return FetchSettings(hosts=hosts, **{**default, "recheck": False, **changes})


def video(server: WebServer, path: str = "/a.mp4", **changes) -> dict:
    row = {"video_id": path[1], "name": f"{server.url}{path}", "path": f"{server.url}{path}", "size_bytes": None}
    row |= {"mtime_ns": 0, "returns": 0, "origin": "remote", "member": None, "offset": None, "etag": None}
    if "at" in changes:
        changes["path"] = changes.pop("at")
    return {**row, "checksum": None, **changes}


def bring(server: WebServer, folder: Path, *videos: dict, **changes) -> tuple[LocalFiles, dict[str, ItemError | None]]:
    files = LocalFiles(videos, folder, True, settings(server.host, **changes))
    return files, {video["video_id"]: error for video, error in files.bring([video["video_id"] for video in videos])}


def asked(server: WebServer) -> list[str | None]:
    return [headers.get("range") for method, _, headers in server.asked if method == "GET"]


def test_a_file_comes_whole_with_what_its_server_says_of_it(server, tmp_path, caplog):
    caplog.set_level("DEBUG")
    one = video(server, at=f"{server.url}/a.mp4?X-Amz-Signature={SECRET}")
    files, errors = bring(server, tmp_path, one)
    local = files.local(one)
    assert errors == {"a": None} and Path(local["path"]).read_bytes() == CONTENT
    assert local["size_bytes"] == len(CONTENT) == Path(local["path"]).stat().st_size
    assert local["mtime_ns"] == Path(local["path"]).stat().st_mtime_ns
    assert files.etag(one) == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert bring(server, tmp_path, one)[1] == {"a": None} and asked(server) == [None]  # it is here
    assert SECRET in server.asked[0][1] and SECRET not in caplog.text
    changed = video(server, etag='"new"')
    assert bring(server, tmp_path, changed)[1]["a"].kind == "changed"
    files = LocalFiles([one], tmp_path, False, settings())
    files.release(["a"])
    assert not tmp_path.exists()


def test_a_transfer_goes_on_where_it_was_cut(server, tmp_path):
    server.faults["/a.mp4"] = Fault(times=1, cut_after=2_000_000)
    files, errors = bring(server, tmp_path, video(server))
    first, second = asked(server)
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first is None and 0 < start <= 2_000_000 and errors == {"a": None}
    assert files.path(video(server)).read_bytes() == CONTENT


@pytest.mark.parametrize("changes", [False, True])
def test_a_transfer_that_has_failed_goes_on_later_if_the_file_is_the_same(server, tmp_path, changes):
    server.faults["/a.mp4"] = Fault(times=9, cut_after=900_000)  # too little to count as progress
    assert bring(server, tmp_path, video(server))[1]["a"].kind == "unreachable"
    left = next(tmp_path.glob(".*.part")).stat().st_size
    assert 900_000 < left < 2_700_001
    server.faults.clear()
    if changes:
        server.files["/a.mp4"] = bytes(reversed(CONTENT))
    before = server.sent["/a.mp4"]
    files, errors = bring(server, tmp_path, video(server))
    assert errors == {"a": None} and files.path(video(server)).read_bytes() == server.files["/a.mp4"]
    assert asked(server)[-1] == f"bytes={left}-"
    assert server.sent["/a.mp4"] - before == len(CONTENT) - (0 if changes else left)


def test_without_ranges_a_transfer_begins_anew(tmp_path):
    with web_server(ranges=False) as server:
        server.files["/a.mp4"] = CONTENT
        server.faults["/a.mp4"] = Fault(times=1, cut_after=2_000_000)
        files, errors = bring(server, tmp_path, video(server))
        assert errors == {"a": None} and files.path(video(server)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "changes", "kind", "lasting"),
    [
        (Fault(times=9, status=404), {}, "not_found", True),
        (Fault(times=9, status=403), {}, "forbidden", True),
        (Fault(times=9, status=500), {}, "failed", False),
        (Fault(times=9, cut_after=100_000), {}, "unreachable", False),
        (Fault(times=9, pause=1), {}, "timed_out", False),
        (Fault(), {"checksum": "md5:" + "0" * 32}, "wrong_checksum", True),
        (Fault(), {"checksum": "sha256:" + "0" * 64}, "wrong_checksum", True),
        (Fault(), {"size_bytes": 7}, "changed", False),
        (Fault(), {"max_mb": 1}, "too_large", False),
        (Fault(), {"at": "https://elsewhere.org/a.mp4"}, "not_allowed", True),
        (Fault(), {"at": f"https://me:{SECRET}@elsewhere.org/a.mp4"}, "bad_address", True),
    ],
)
def test_each_video_has_its_own_error(server, tmp_path, fault, changes, kind, lasting):
    server.files["/b.mp4"] = b"there"
    server.faults["/a.mp4"] = fault
    limits = {"max_mb": changes.pop("max_mb", None), "timeout_seconds": 0.3}
    _, errors = bring(server, tmp_path, video(server, **changes), video(server, "/b.mp4"), **limits)
    error = errors["a"]
    assert (error.kind, error.lasting, errors["b"]) == (kind, lasting, None)
    assert SECRET not in str(error) and not (tmp_path / "a.mp4").exists()
    assert [path.stat().st_size > 0 for path in tmp_path.glob(".*.part")] in ([], [True])


def test_right_checksums_are_accepted(server, tmp_path):
    sums = f"md5:{hashlib.md5(CONTENT).hexdigest()}", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    for number, checksum in enumerate(sums):
        assert bring(server, tmp_path / str(number), video(server, checksum=checksum))[1] == {"a": None}


def test_so_many_transfers_run_at_once_and_no_more_are_ahead_of_the_reader(server, tmp_path):
    names = "abcdefgh"
    videos = [video(server, f"/{name}.mp4") for name in names]
    server.files |= {f"/{name}.mp4": b"there" for name in names}
    files = LocalFiles(videos, tmp_path, True, settings(server.host, parallel=2))
    arrived = files.bring(list(names))
    next(arrived)
    threading.Event().wait(0.3)
    assert len(asked(server)) == 3  # the one that is read, and two ahead
    assert len(list(arrived)) == 7


def test_files_come_in_another_process_while_others_are_read(server, tmp_path):
    videos = [video(server), video(server, "/gone.mp4")]
    files = LocalFiles(videos, tmp_path, True, settings(server.host))
    came = list(files.as_they_come(["of a file", "a", "g"]))
    assert came[0] == ("of a file", None) and ("a", None) in came
    error = dict(came)["g"]
    assert error.kind == "not_found" and error.lasting
    assert next(files.as_they_come(["g", "a"])) == ("a", None)  # first what is here


def test_files_of_the_hub_have_other_etags_where_it_keeps_them(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/kept"] = CONTENT
    address, moved = "hf://datasets/u/n/a.mp4", Fault(times=9, status=302, headers={"Location": "/kept"})
    server.faults["/datasets/u/n/resolve/main/a.mp4"] = moved
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    of_list = {"at": address, "etag": f'"{sha256}"', "checksum": f"sha256:{sha256}", "size_bytes": len(CONTENT)}
    listed = video(server, **of_list)
    files = LocalFiles([listed], tmp_path, True, settings("hf://datasets/u/n", server.host))
    assert files.not_brought(["a"]) == {} and files.path(listed).read_bytes() == CONTENT


def test_etags_that_look_like_checksums_may_be_none(server, tmp_path, monkeypatch):
    """As those of objects that a store has encrypted with some kinds of keys."""
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_other_etags", set())
    for name in ("a", "b"):
        server.files[f"/encrypted/{name}.mp4"] = CONTENT
        server.etags[f"/encrypted/{name}.mp4"] = f'"{"0" * 31}{name}"'
    videos = [video(server, f"/{name}.mp4", at=f"s3://encrypted/{name}.mp4") for name in "ab"]
    files = LocalFiles(videos, tmp_path, True, settings("s3://encrypted", parallel=1))
    assert files.not_brought(["a", "b"]) == {}
    assert [path for _, path, _ in server.asked] == ["/encrypted/a.mp4", "/encrypted/a.mp4", "/encrypted/b.mp4"]


def test_files_come_while_others_are_read_and_nobody_waits_for_all(server, tmp_path):
    names = "bcdef"
    server.files |= {f"/{name}.mp4": b"there" for name in names}
    videos = [video(server, f"/{name}.mp4") for name in names]
    files = LocalFiles(videos, tmp_path, True, settings(server.host, parallel=1))
    paths = [files.path(video) for video in videos]

    def work(arrived: tuple[str, ItemError | None]) -> tuple[bool, bool]:
        """Whether the next file comes while this one is read, and whether the last one was there at the beginning."""
        number = names.index(arrived[0])
        last = paths[-1].exists()
        for _ in range(300):
            if number + 1 == len(paths) or paths[number + 1].exists():
                return True, last
            time.sleep(0.1)
        return False, last

    results = [result for _, result in map_in_processes(files.as_they_come(list(names)), work, 1)]
    assert [came for came, _ in results] == [True] * 5 and not results[0][1]


# --- jobs of their own ------------------------------------------------------------------------------------------------


class OwnJobs:
    """A sheet of addresses in one shard, fetched by a job of its own and then decoded. `names`: of the videos."""

    def __init__(self, server: WebServer, folder: Path, names: str):
        self.server, self.outdir, self.sheet = server, folder / "out", folder / "list.csv"
        folder.mkdir(exist_ok=True)
        self.sheet.write_text("".join(["path\n", *(f"{server.url}/{name}.mp4\n" for name in names)]))

    @property
    def table(self) -> Path:
        return tables.FETCHES.of(self.outdir, "000000")

    def start(self, own_jobs: bool = True) -> None:
        self.settings = settings(self.server.host, keep=False, own_jobs=own_jobs)
        update_index(self.sheet, self.outdir, 10, fetch=self.settings)

    def fetch(self) -> list[dict]:
        files = LocalFiles.of_shard(self.outdir, "000000", self.settings)
        rows = fetch_shard(files, self.outdir, "000000", 1.0)
        tables.FETCHES.write(self.table, rows)
        return rows

    def decode(self) -> list[dict]:
        failed = failed_fetches(self.table) if self.table.exists() else None
        files = LocalFiles.of_shard(self.outdir, "000000", self.settings, failed)
        videos = read_videos(Paths(self.outdir).shard("000000"))
        rows, _ = decode_shard(videos, self.outdir, "000000", SETTINGS, 1, 1.0, files=files)
        tables.VIDEOS.write(tables.VIDEOS.of(self.outdir, "000000"), rows)
        return rows

    def asked(self) -> list[str]:
        """The paths that the server was asked for since the last call."""
        paths = [path for _, path, _ in self.server.asked]
        self.server.asked.clear()
        return paths


@pytest.fixture
def jobs(server, tmp_path) -> OwnJobs:
    server.files["/b.mp4"] = b"no video"
    server.faults["/d.mp4"] = Fault(times=9, status=500)
    return OwnJobs(server, tmp_path, "abcd")


def test_a_job_of_its_own_fetches_and_the_one_that_decodes_asks_for_nothing_more(jobs, server):
    jobs.start()
    a, b, c, d = jobs.fetch()
    assert [row.get("bytes") for row in (a, b, c, d)] == [len(CONTENT), 8, None, None]
    assert [(row.get("error_kind"), row.get("may_pass")) for row in (c, d)] == [("not_found", None), ("failed", True)]
    assert len(jobs.asked()) == 3 + 3  # each file once, and one three times
    rows = jobs.decode()
    assert not server.asked, "no error is tried twice"
    assert [row["error_kind"] for row in rows][2:] == ["not_found", "failed"]
    assert [row["not_fetched"] for row in rows] == [False, False, True, True]
    assert not list(Paths(jobs.outdir).fetched.rglob("*.*")), "decoded files are removed"
    other = OwnJobs(server, jobs.outdir.parent / "other", "abcd")
    other.start(own_jobs=False)
    assert other.fetch() == [] and other.decode() == rows, "the same rows come without jobs of their own"


def test_what_may_pass_is_fetched_by_the_next_run_and_what_is_done_is_not(jobs, server):
    jobs.start()
    jobs.fetch()
    jobs.decode()
    server.faults.clear()
    server.files |= {"/c.mp4": b"there by now", "/d.mp4": b"no video either"}
    jobs.asked()
    jobs.start()
    assert [row.get("bytes") for row in jobs.fetch()] == [len(CONTENT), 8, None, 15]
    assert jobs.asked() == ["/d.mp4"]
    assert [row["error_kind"] for row in jobs.decode()][2:] == ["not_found", "not_a_video"] and not server.asked
    jobs.start()
    assert jobs.fetch()[3]["bytes"] == 15 and not server.asked


def test_a_fetched_file_that_is_gone_is_fetched_by_the_job_that_decodes(jobs):
    jobs.start()
    jobs.fetch()
    jobs.asked()
    (gone,) = (path for path in Paths(jobs.outdir).fetched.rglob("*.mp4") if path.read_bytes() == b"no video")
    gone.unlink()
    assert [row["error_kind"] for row in jobs.decode()][:2] == ["not_a_video"] * 2
    assert jobs.asked() == ["/b.mp4"]


@pytest.mark.parametrize("directory", ["$TMPDIR", "${TMPDIR}/videos", "/scratch/$SLURM_JOB_ID", "$SLURM_TMPDIR"])
def test_on_a_cluster_jobs_of_their_own_need_a_shared_folder(directory):
    with pytest.raises(
        SetupError, match=r"^config: fetch\.directory: \$\S+ is another folder in each job of a cluster"
    ):
        settings(own_jobs=True, directory=directory).check_for_cluster()
    settings(own_jobs=False, directory=directory).check_for_cluster()
    for shared in (None, "/scratch/shared", "$SCRATCH"):
        settings(own_jobs=True, directory=shared).check_for_cluster()


def test_a_decoded_shard_keeps_its_jobs_until_its_videos_change(jobs, server):
    def has_job(own_jobs: bool) -> bool:
        jobs.start(own_jobs)
        return "000000" in shards_to_fetch_first(jobs.outdir)

    assert not has_job(False) and has_job(True) and not has_job(False)  # nothing is decoded yet
    del server.faults["/d.mp4"]
    jobs.decode()
    assert not has_job(True)
    jobs.sheet.write_text(jobs.sheet.read_text().replace("path\n", "path,md5\n").replace("b.mp4", f"b.mp4,{'0' * 32}"))
    assert has_job(True)
    jobs.fetch()
    assert not has_job(False) and has_job(True)
    jobs.decode()
    assert has_job(False)
    os.utime(Paths(jobs.outdir).shard("000000"))
    assert not has_job(False)


# --- what a start finds -----------------------------------------------------------------------------------------------


def started(outdir: Path, sheet: Path, server: WebServer, **changes) -> list[dict]:
    update_index(sheet, outdir, 10, fetch=settings(server.host, **changes))
    return read_videos(Paths(outdir).shard("000000"))


def test_a_sheet_of_addresses_is_not_asked_for_each(server, tmp_path):
    sheet, outdir = tmp_path / "list.csv", tmp_path / "out"
    signed = f"{server.url}/signed.mp4?X-Amz-Signature={SECRET}"
    rows = [
        *(f"{server.url}/a.mp4,{'0' * 32}", f"{signed},", "http://169.254.169.254/latest/meta-data,"),
        *(
            "file:///etc/passwd,",
            f"https://me:{SECRET}@host.org/a.mp4,",
            f"{server.url}/c.mp4,123",
            "s3://other/a.mp4,",
        ),
    ]
    sheet.write_text("\n".join(["path,md5", *rows]) + "\n")
    first, second = started(outdir, sheet, server)
    assert not server.asked
    assert (first["size_bytes"], first["etag"], first["checksum"]) == (None, None, f"md5:{'0' * 32}")
    assert second["name"] == f"{server.url}/signed.mp4" and second["path"] == signed
    problems = Paths(outdir).problems.read_text()
    kinds = [json.loads(line)["kind"] for line in problems.splitlines()]
    assert sorted(kinds) == ["bad_address", "bad_address", "bad_row", "not_allowed", "not_allowed"]
    assert SECRET not in problems
    sheet.write_text(sheet.read_text().replace(SECRET, "other"))
    assert started(outdir, sheet, server)[1]["video_id"] == second["video_id"]


def test_changed_files_of_a_sheet_are_found_where_that_is_wanted(server, tmp_path):
    sheet, outdir = tmp_path / "list.csv", tmp_path / "out"
    server.files |= {"/b.mp4": b"new", "/c.mp4": b"there"}
    sheet.write_text(f"path\n{server.url}/a.mp4\n{server.url}/b.mp4\n{server.url}/c.mp4\n{server.url}/d.mp4\n")
    before = started(outdir, sheet, server)
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    fetched = [
        {"etag": etag, "size_bytes": len(CONTENT)},
        {"etag": '"old"', "size_bytes": 3},
        {"error_kind": "not_found"},
    ]
    rows = [{"video_id": video["video_id"], **of} for video, of in zip(before, fetched, strict=False)]
    tables.VIDEOS.write(tables.VIDEOS.of(outdir, "000000"), rows)
    assert started(outdir, sheet, server) == before and not server.asked
    a, b, c, d = started(outdir, sheet, server, recheck=True)
    assert [a, d] == [before[0], before[3]] and {path for _, path, _ in server.asked} == {"/a.mp4", "/b.mp4", "/c.mp4"}
    assert (b["etag"], b["size_bytes"]) == (f'"{hashlib.md5(b"new").hexdigest()}"', 3)
    assert c == {**before[2], "returns": 1} and lost_videos(outdir, "000000") == {c["video_id"]}
    assert started(outdir, sheet, server)[1] == b  # it is not forgotten


def test_a_query_that_is_no_signature_belongs_to_the_name(server, tmp_path):
    sheet, get = tmp_path / "list.csv", f"{server.url}/get.mp4"
    rows = [f"{get}?id=1", f"{get}?id=2", f"{get}?id=1", get]
    sheet.write_text("\n".join(["path,start,end", *(f"{path},{number},9" for number, path in enumerate(rows))]))
    found = find_videos(sheet, tmp_path / "out", [], fetch=settings(server.host))
    assert found.names == [rows[0], rows[1], get] and [row.place for row in found.given] == [0, 1, 0, 2]
    sheet.write_text("\n".join(["path", *rows]))
    found = find_videos(sheet, tmp_path / "out", [], fetch=settings(server.host))
    assert found.names == [rows[0], rows[1], get]
    assert [problem["kind"] for problem in found.problems] == ["listed_twice"]


def test_an_archive_at_an_address_is_refused(tmp_path):
    for name in ("set.tar", "set.tar.gz"):
        with pytest.raises(SetupError, match=rf"^videos: s3://set/{name}: an archive is read only from a disk"):
            find_videos(f"s3://set/{name}", tmp_path, [], fetch=settings("s3://set"))


def test_a_video_that_could_not_be_fetched_is_tried_again_where_that_is_wanted(server, tmp_path):
    sheet, outdir = tmp_path / "list.csv", tmp_path / "out"
    sheet.write_text(f"path\n{server.url}/b.mp4\n")

    def kind(**changes) -> str:
        videos, fetch = started(outdir, sheet, server, **changes), settings(server.host)
        files = LocalFiles.of_shard(outdir, "000000", fetch)
        (row,), _ = decode_shard(videos, outdir, "000000", SETTINGS, 1, 1.0, files=files)
        tables.VIDEOS.write(tables.VIDEOS.of(outdir, "000000"), [row])
        return row["error_kind"]

    assert kind() == "not_found"
    server.files["/b.mp4"] = b"no video"
    assert kind() == "not_found"  # it lasts
    found = kind(recheck=True)
    assert found != "not_found"
    assert kind() == found and not lost_videos(outdir, "000000")


def test_a_sheet_may_lie_at_an_address_and_name_files_beside_it(server, tmp_path):
    server.files["/set/list.csv"] = b"path,start,end\nclips/a.mp4,0,1\n./clips/a.mp4,1,2\nb.mp4,0,1\n"
    found = find_videos(f"{server.url}/set/list.csv", tmp_path, [], fetch=settings(server.host))
    assert found.names == ["clips/a.mp4", "b.mp4"] and [row.place for row in found.given] == [0, 0, 1]
    assert found.paths == [f"{server.url}/set/clips/a.mp4", f"{server.url}/set/b.mp4"]
    assert len(server.asked) == 1
    server.files["/set/list.csv"] = b"file,start,end\n"
    with pytest.raises(SetupError, match=rf"^videos: {server.url}/set/list\.csv has no column `path`"):
        find_videos(f"{server.url}/set/list.csv", tmp_path, [], fetch=settings(server.host))


def test_the_plan_says_what_comes_from_addresses(server, tmp_path, monkeypatch):
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    listing = "".join(
        f"<Contents><Key>raw/{name}</Key><Size>{size}</Size><ETag>&quot;{name}&quot;</ETag>"
        "<LastModified>2026-11-02T10:00:00.000Z</LastModified></Contents>"
        for name, size in (("a.mp4", 30_000_000), ("b.mp4", 20_000_000), ("c.mp4", 900_000_000), ("d.txt", 5))
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listing}</ListBucketResult>".encode()
    server.texts["/films?list-type=2&prefix=raw%2F"] = ({"Content-Type": "application/xml"}, body)
    update_index("s3://films/raw", tmp_path, 10, fetch=settings("s3://films", max_mb=100))
    assert [json.loads(line)["kind"] for line in Paths(tmp_path).problems.read_text().splitlines()] == ["too_large"]
    text = as_text(make_plan(tmp_path, of_plan(), sample=10))
    assert "fetch    50 MB (counted), from addresses, to decode" in text and "carried over by bytes, assumed" in text
    assert "fetch_videos" not in text and " to fetch before that" not in text
    own_jobs = settings("s3://films", max_mb=100, own_jobs=True)
    update_index("s3://films/raw", tmp_path, 10, fetch=own_jobs)
    text = as_text(make_plan(tmp_path, {**of_plan(), "fetch": asdict(own_jobs)}, sample=10))
    assert "50 MB to fetch before that (counted)" in text and re.search(r"^  fetch_videos +1 +0\.05 GB ", text, re.M)
    sheet = tmp_path / "list.csv"
    sheet.write_text(f"path\n{server.url}/a.mp4\n")
    update_index(sheet, tmp_path / "out", 10, fetch=settings(server.host))
    text = as_text(make_plan(tmp_path / "out", of_plan(), sample=10))
    assert "fetch    1 video of unknown size" in text
