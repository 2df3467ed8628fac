"""Videos in a bucket give the same dataset as videos on disk, whatever happens while they are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import Run, make_shots, make_video, same, wait_for

from bucket_server import bucket_server, environment, fill
from slow_proxy import SlowProxy, slow_proxy

SETTINGS = {"videos_per_shard": 3, "split": {"min_seconds": 0.5}, "filters": {"area": {"min": None}}}
BUCKET = "s3://films/raw"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "videos"
    make_video(folder / "a.mp4", seconds=2, audio=True)
    make_video(folder / "below" / "b.mkv", picture="chelsea.png")
    make_video(folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    make_shots(folder / "two shots.mp4", "coffee.png", "ihc.png")
    return folder


@pytest.fixture(scope="module")
def bucket(videos) -> Iterator[SlowProxy]:
    """The same videos in a bucket, by a connection that a test may make slow."""
    objects = {f"raw/{path.relative_to(videos)}": path for path in videos.rglob("*") if path.is_file()}
    with bucket_server() as url, slow_proxy(url, None) as proxy:
        fill(url, "films", {**objects, "raw/read me.txt": b"", "raw/.hidden.mp4": b"no", "rawer.mp4": b"no"})
        yield proxy


def test_killed_in_the_middle_of_a_transfer_it_gives_the_bytes_of_a_local_run(videos, bucket, run: Run, monkeypatch):
    local = Run(run.place.with_name("local"), SETTINGS, str(videos))
    local.done()
    for name, value in environment(bucket.url).items():
        monkeypatch.setenv(name, value)
    remote, config = Run(run.place, SETTINGS), {"videos": BUCKET}
    parts = remote.outdir / "work" / "fetched"
    bucket.rate = 30_000
    with remote.started(config=config) as main:
        wait_for(
            lambda: any(path.stat().st_size > 8_000 for path in parts.rglob(".*.part")), lambda: main.poll() is None
        )
    before, bucket.rate = bucket.sent, None
    left = sum(path.stat().st_size for path in parts.rglob(".*.part"))
    assert left
    assert remote.run("--unlock", config=config).code == 0
    plan = remote.run("plan", config=config).output
    assert "fetch " in plan and "no header is read" in plan
    outcome = remote.done(config=config)
    assert "fetch_videos" not in outcome.jobs
    assert same(remote.left(), local.left())
    assert not list(parts.rglob("*.*"))  # no file stays
    whole = sum(path.stat().st_size for path in videos.rglob("*") if path.is_file())
    assert bucket.sent - before < 2 * whole - left / 2 + 60_000  # once to decode, once to cut, less what was there
    assert remote.done(config=config).nothing_done
