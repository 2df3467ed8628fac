"""The same input gives the same output, byte for byte: whatever the number of cores and the kills in between."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from runs import WITH_KEYS, Run, make_shots, make_video, same, wait_for, whole_plan

from bucket_server import bucket_server, environment, fill, objects_below
from slow_proxy import slow_proxy

SETTINGS = {"videos_per_shard": 3, "split": {"min_seconds": 0.5}, "filters": {"area": {"min": None}}}

PADDING = 4 << 20  # bytes


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos: what is kept as it is, what is encoded anew, what is refused and what is broken."""
    folder = tmp_path_factory.mktemp("same") / "videos"
    with open(make_video(folder / "a.mp4", seconds=2, audio=True), "ab") as file:  # its transfer takes some parts
        file.write(struct.pack(">I4s", PADDING, b"free") + bytes(PADDING - 8))
    make_video(folder / "b.mkv", picture="chelsea.png")
    make_video(folder / "turned.mp4", picture="astronaut.png", rotation=270)
    make_video(folder / "stands.mp4", speed=0)
    make_video(folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    make_shots(folder / "two shots.mp4", "coffee.png", "ihc.png")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> dict[str, bytes]:
    """What a run leaves that nothing disturbs, on two cores."""
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", SETTINGS, str(videos), cores=2)
    assert run.done().jobs == whole_plan(2)
    assert run.kept() == {"a.mp4", "b.mkv", "turned.mp4", "two shots.mp4"}
    methods = [(row["name"], row["scene"], row["cut_method"]) for row in run.verdicts() if row["kept"]]
    assert methods == [
        ("a.mp4", 0, "copy"),
        ("b.mkv", 0, "copy"),
        ("turned.mp4", 0, "reencode"),
        ("two shots.mp4", 0, "copy"),
        ("two shots.mp4", 1, "copy"),
    ]
    assert [error["video"] for error in run.errors()] == ["broken.mp4"]
    return run.left()


@pytest.mark.parametrize("size", [1, 100])
def test_on_one_core_and_in_other_shards(undisturbed, videos, run: Run, size):
    tables = {"verdicts.parquet", "errors.csv", "models.json"}
    assert {"dataset/train.json", "dataset/metadata.jsonl", *tables} <= undisturbed.keys()
    alone = Run(run.place, {**SETTINGS, "videos_per_shard": size}, str(videos), cores=1)
    alone.done()
    assert same(alone.left(), undisturbed)


def test_killed_three_times(undisturbed, videos, run: Run):
    killed = Run(run.place, SETTINGS, str(videos))
    for step in ("decode", "text", "cut"):
        before = killed.journal(step)
        with killed.started() as main:
            wait_for(lambda step=step: killed.journal(step), lambda main=main: main.poll() is None)
        assert not before and killed.journal(step)
        assert not (killed.outdir / "summary.json").exists()
    outcome = killed.done()
    assert "decode_videos" not in outcome.jobs and "export_dataset" in outcome.jobs
    assert same(killed.left(), undisturbed)


def bytes_of_parts(folder: Path) -> int:
    """How much has come of files that are not whole. One that becomes so meanwhile counts as nothing."""
    size = 0
    for part in folder.rglob(".*.part"):
        with suppress(FileNotFoundError):
            size += part.stat().st_size
    return size


@pytest.mark.parametrize("own_jobs", [False, True])
def test_from_a_bucket_killed_in_the_middle_of_a_transfer(undisturbed, videos, run: Run, monkeypatch, own_jobs):
    objects = {f"raw/{path.name}": path for path in videos.iterdir()}
    remote, config = Run(run.place, SETTINGS), {"videos": "s3://films/raw", "export": {"upload": "s3://films/set"}}
    parts, jobs = remote.outdir / "work" / "fetched", {"fetch_videos": 2} if own_jobs else {}
    config["fetch"] = {"own_jobs": own_jobs}
    with bucket_server() as url, slow_proxy(url, None) as proxy:
        proxy.most = PADDING / 2
        for name, value in environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        fill(url, "films", {**objects, "raw/read me.txt": b"", "raw/.hidden.mp4": b"no", "rawer.mp4": b"no"})
        planned = remote.done("--dry-run", config=config).planned
        assert planned == {**jobs, **whole_plan(2), "upload": 1}
        with remote.started(config=config) as main:
            wait_for(lambda: bytes_of_parts(parts), lambda: main.poll() is None)
        left, before, proxy.most = bytes_of_parts(parts), proxy.sent, math.inf
        assert left
        assert remote.done(config=config).jobs.keys() >= jobs.keys()
        fetched = proxy.sent - before
        for either in (own_jobs, not own_jobs):
            assert remote.run("--dry-run", config={**config, "fetch": {"own_jobs": either}}).nothing_done
        sent = {f"dataset/{name}": content for name, content in objects_below(url, "films", "set/").items()}
        assert same(sent, {name: content for name, content in undisturbed.items() if name.startswith("dataset/")})
    assert same(remote.left(), undisturbed, but=WITH_KEYS)
    assert not list(parts.rglob("*.*"))  # no file stays
    whole = sum(path.stat().st_size for path in videos.iterdir())
    assert fetched < 2 * whole - left / 2 + 60_000  # once to decode, once to cut, less what was there


def test_fetched_with_a_network_and_worked_on_without(videos, run: Run, monkeypatch):
    """As on a cluster whose nodes have none. The same clips and errors come as where each job fetches for itself."""
    sheet = run.place / "list.csv"
    names = [*sorted(path.name for path in videos.iterdir()), "gone.mp4"]
    sheet.write_text("".join(f"{line}\n" for line in ("path", *(f"s3://films/{name}" for name in names))))
    with bucket_server() as url, slow_proxy(url, None) as proxy:
        for name, value in environment(proxy.url).items():
            monkeypatch.setenv(name, value)
        fill(url, "films", {path.name: path for path in videos.iterdir()})
        hosts = {"hosts": ["s3://films"], "timeout_seconds": 5}
        usual = Run(run.place, {**SETTINGS, "fetch": hosts}, sheet.name, "usual")
        assert "fetch_videos" not in usual.done().jobs
        own = Run(run.place, {**SETTINGS, "fetch": {**hosts, "own_jobs": True, "keep": True}}, sheet.name, "own")
        assert own.done("--until", "fetch_videos").jobs == {"fetch_videos": 3}
        sent, proxy.most = proxy.sent, 0
        assert own.done().jobs == whole_plan(3)
        assert proxy.sent == sent, "nothing more came"
    assert same(own.left(), usual.left())
    errors = [(row["video"], row["step"], row["kind"]) for row in own.errors()]
    assert ("s3://films/gone.mp4", "fetch", "not_found") in errors and len(errors) == 2
    assert own.job("decode_videos", "000000").code == 0, "a job on another machine has the same inputs"
