"""A run that clipmill 0.1 began is continued by this version: only signals are new, and the dataset is complete."""

from __future__ import annotations

import csv
import re
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import yaml
from runs import Outcome, Run

from clipmill import __version__
from clipmill.store import tables
from clipmill.store.layout import Paths

DATA = Path(__file__).resolve().parents[1] / "data"
ONCE = ("decode", "consistency", "aesthetic", "text", "caption", "rewrite", "cut")


class Older(Run):
    """The run of 0.1, as it was left: three videos in the dataset, a broken one, and one that was only decoded."""

    def unpack(self) -> None:
        with tarfile.open(DATA / "run_of_0.1.tar.xz") as archive:
            archive.extractall(self.place, filter="data")
        self.settings = yaml.safe_load((self.workdir / "my.yaml").read_text(encoding="utf-8"))
        self.settings.pop("videos"), self.settings.pop("outdir")

    def clips_by_time(self) -> dict[str, tuple[int, bytes]]:
        """Time and content of each clip file, which would be written again if it were cut again."""
        files = [path for path in (Paths(self.outdir).work / "clip_files").rglob("*") if path.is_file()]
        return {str(path.relative_to(self.outdir)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def pictures(self) -> dict[str, bytes]:
        """The kept frames of all videos."""
        found = {}
        for path in sorted((Paths(self.outdir).work / "frames").rglob("*.zip")):
            with ZipFile(path) as archive:
                found |= {f"{path.name} {name}": archive.read(name) for name in archive.namelist()}
        return found


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Older:
    """The run, before it goes on."""
    run = Older(tmp_path_factory.mktemp("older") / "run")
    run.unpack()
    return run


@pytest.fixture(scope="module")
def continued(older) -> tuple[Older, tuple[dict, dict], dict, list, Outcome]:
    """The run, what it had before, and how it went on."""
    files, journals, train = (older.clips_by_time(), older.pictures()), older.written(*ONCE), older.train()
    return older, files, journals, train, older.done()


def test_only_signals_are_measured_again(continued):
    """The four videos are decoded again for their motion. Their pictures are the same, and so are scores and clips."""
    run, (clips, pictures), journals, _, _ = continued
    after = run.clips_by_time()
    assert {name: after[name] for name in clips} == clips
    assert run.pictures() == pictures
    # The video that was only decoded gets its scores, its caption and its clip; all others have theirs. `describe` says
    # what the camera does and how much moves, so it describes all three clips anew. Text area and the sharpness in
    # `aesthetic` have another meaning since: both clips are scored again for them.
    again = {"decode": 4, "caption": 3, "rewrite": 3, "text": 3, "aesthetic": 3}
    assert run.more(journals) == {**dict.fromkeys(ONCE, 1), **again}


def test_the_dataset_is_complete(continued):
    run, _, _, train, _ = continued
    # The first sentence is on the camera and on motion, which are measured anew, and so is the detail.
    now, before = (
        {one["file_path"]: re.sub(", and there is [^.]* detail", "", one["text"].split(". ", 1)[1]) for one in of}
        for of in (run.train(), train)
    )
    assert len(before) == 2 and {name: now[name] for name in before} == before
    assert run.kept() == {"added.mp4", "moving ünï.mp4", "two shots.mp4"} or len(now) == len(before) + 1
    assert run.clip_files() == now.keys()
    assert run.summary()["clipmill"] == __version__


def test_errors_are_those_of_steps_now(continued):
    run, *_ = continued
    with open(Paths(run.outdir).errors, encoding="utf-8", newline="") as handle:
        assert [(row["step"], row["video"], row["kind"]) for row in csv.DictReader(handle)] == [
            ("decode", "broken.mp4", "not_a_video")
        ]


def test_a_second_run_has_nothing_to_do(continued):
    run, *_ = continued
    assert run.done().nothing_done


def test_tables_that_were_written_now_say_which_version_wrote_them(continued):
    run, *_ = continued
    (signals,) = (Paths(run.outdir).work / "signals" / "000000").iterdir()
    verdicts = tables.VERDICTS.of(run.outdir, "000000")
    for table in (signals, verdicts):
        assert pq.read_schema(table).metadata[b"clipmill_version"] == __version__.encode()
