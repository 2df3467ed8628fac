"""Videos in archives: clips are those of the unpacked files, killed runs go on, a change costs its shard alone."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runs import SETTINGS, Run, Saved, make_video, wait_for

from made_archives import at, make_parquet, make_tar

PICTURES = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
CAPTIONS = [f"A camera moves over photograph {number}." for number in range(4)]
GIVEN = {**SETTINGS, "videos_per_shard": 3, "caption": {"backend": "given"}, "text_checks": {"min_words": None}}


def clips(run: Run) -> dict[str, list[tuple[str, bytes]]]:
    """Text and file of each clip, in order, by the number of its video."""
    found = defaultdict(list)
    for row in pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist():
        found[Path(row["name"]).stem].append((row["text"], (run.outdir / "dataset" / row["file_path"]).read_bytes()))
    return found


def unpacked(place: Path) -> Run:
    run = Run(place, {**GIVEN, "videos_per_shard": 4})
    for number, picture in enumerate(PICTURES):
        make_video(run.folder / f"{number}.mp4", picture=picture)
        (run.folder / f"{number}.txt").write_text(CAPTIONS[number], encoding="utf-8")
    run.done()
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Saved, Run]:
    """A run on archives that was killed while it fetched, and a run on the same files unpacked."""
    place = tmp_path_factory.mktemp("archives")
    files = unpacked(place / "files")
    content = [(files.folder / f"{number}.mp4").read_bytes() for number in range(4)]
    run = Run(place / "run", GIVEN)
    members = [("0.mp4", content[0]), ("0.txt", CAPTIONS[0].encode())]
    members += [("1.mp4", content[1]), ("1.json", b'{"caption": "%s"}' % CAPTIONS[1].encode()), ("2.mp4", b"")]
    make_tar(run.folder / "a.tar", members)
    rows = [
        {"bytes": one, "path": f"{number}.mp4"} for number, one in ((2, content[2]), (3, content[3]), (4, content[2]))
    ]
    columns = {"video": rows, "caption": [*CAPTIONS[2:], "Its bytes are damaged later."]}
    options = {"write_page_checksum": True, "use_dictionary": False, "compression": "none"}
    parquet = at(make_parquet(run.folder / "b.parquet", columns, 1, **options), 10**18)
    planned = run.done("-n").planned
    assert planned["fetch_videos"] == planned["decode_videos"] == 2
    whole = parquet.read_bytes()
    place_of_damage = whole.rindex(content[2][-200:]) + 100
    parquet.write_bytes(whole[:place_of_damage] + b"damage" + whole[place_of_damage + 6 :])
    at(parquet, 10**18)
    with run.started() as process:
        wait_for(lambda: run.journal("fetch"), lambda: process.poll() is None)
    before = run.journal("fetch")
    outcome = run.done()
    assert outcome.jobs["decode_videos"] == 2
    assert all(line in run.journal("fetch") for line in before)
    items = [line["item"] for line in run.journal("fetch")]
    assert len(items) == len(set(items)) == 5, "each video is fetched once, kills or not"
    return Saved(run), files


def test_the_clips_are_those_of_the_unpacked_files(finished):
    saved, files = finished
    run = saved.fresh()
    assert clips(run) == clips(files)
    assert all(clips(run).values()) and len(clips(run)) == 4
    errors = [(row["video"], row["step"], row["kind"]) for row in run.errors()]
    assert errors == [("a.tar/2.mp4", "index", "empty"), ("b.parquet/4.mp4", "fetch", "damaged_archive")]
    assert [path for path in (run.outdir / "work" / "fetched").rglob("*") if path.is_file()] == []
    assert run.run().nothing_done, "fetched files that are gone are not missed"


def test_a_changed_archive_costs_its_shard(finished):
    saved, files = finished
    run = saved.fresh()
    tar = run.folder / "a.tar"
    make_tar(tar, [("0.mp4", (files.folder / "3.mp4").read_bytes()), ("0.txt", b"It is another one.")])
    at(tar, os.stat(tar).st_mtime_ns + 10**9)
    planned = run.done("-n").planned
    assert {planned[rule] for rule in ("fetch_videos", "decode_videos", "cut_clips")} == {1}
    keep = {"fetch": {"directory": str(run.place / "scratch"), "keep": True}}
    assert run.done("--until", "decode_videos", config=keep).jobs == {"fetch_videos": 1, "decode_videos": 1}
    (kept,) = (path for path in (run.place / "scratch").rglob("*") if path.is_file())
    assert kept.read_bytes() == (files.folder / "3.mp4").read_bytes(), "only what has changed is fetched again"
