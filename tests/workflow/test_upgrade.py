"""A run that clipmill 0.1 began is continued by this version: nothing is done twice, and the dataset is complete."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from runs import Outcome, Run

from clipmill import __version__
from clipmill.store import tables
from clipmill.store.layout import Paths

DATA = Path(__file__).resolve().parents[1] / "data"
# The files of single videos and clips that cost something, and would be written again if the work were done again.
EXPENSIVE = ("frames", "signals", "clip_files")
ONCE = ("decode", "consistency", "aesthetic", "text", "caption", "rewrite", "cut")


class Older(Run):
    """The run of 0.1, as it was left: three videos in the dataset, a broken one, and one that was only decoded."""

    def unpack(self) -> None:
        with tarfile.open(DATA / "run_of_0.1.tar.xz") as archive:
            archive.extractall(self.place, filter="data")
        self.settings = yaml.safe_load((self.workdir / "my.yaml").read_text(encoding="utf-8"))
        self.settings.pop("videos"), self.settings.pop("outdir")

    def expensive(self) -> dict[str, tuple[int, bytes]]:
        """Time and content of each expensive file."""
        files = [path for name in EXPENSIVE for path in (Paths(self.outdir).work / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.outdir)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Older:
    """The run, before it goes on."""
    run = Older(tmp_path_factory.mktemp("older") / "run")
    run.unpack()
    return run


@pytest.fixture(scope="module")
def continued(older) -> tuple[Older, dict, dict, list, Outcome]:
    """The run, what it had before, and how it went on."""
    files, journals, train = older.expensive(), older.written(*ONCE), older.train()
    return older, files, journals, train, older.done()


def test_nothing_is_decoded_or_captioned_again(continued):
    run, files, journals, _, _ = continued
    after = run.expensive()
    assert {name: after[name] for name in files} == files
    # The video that was only decoded gets its scores, its caption and its clip; all others have theirs.
    # Text area and the sharpness in `aesthetic` have another meaning since: both clips are scored again for them.
    again = {"text": 3, "aesthetic": 3}
    assert run.more(journals) == {**dict.fromkeys(ONCE, 1), "decode": 0, **again}


def test_the_dataset_is_complete(continued):
    run, _, _, train, _ = continued
    now = {entry["file_path"]: entry["text"] for entry in run.train()}
    before = {entry["file_path"]: entry["text"] for entry in train}
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


def test_tables_that_had_no_reason_to_change_are_still_those_of_0_1(continued):
    """They are read as they are. Only tables that were written now say which version wrote them."""
    run, *_ = continued
    paths = Paths(run.outdir)
    (signals,) = (paths.work / "signals" / "000000").iterdir()
    assert b"clipmill_version" not in pq.read_schema(signals).metadata
    assert tables.SIGNALS.read(signals).num_rows > 0
    verdicts = tables.VERDICTS.of(run.outdir, "000000")
    assert pq.read_schema(verdicts).metadata[b"clipmill_version"] == __version__.encode()
