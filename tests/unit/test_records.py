"""Snakemake's records of a run's files, brought from one working folder to another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from clipmill.store.layout import Paths
from clipmill.store.records import bring_records
from clipmill.store.spelling import remember_spelling

LONG = "clips/" + "long name " * 60  # its record lies in folders of its own


def start(folder: Path, outdir: str, monkeypatch: pytest.MonkeyPatch) -> FilePersistence:
    """What a start of Snakemake in a folder has of records, those of other folders included."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    bring_records(outdir)
    remember_spelling(Path(outdir))
    return FilePersistence(dag=None, nolock=True)


def write(records: FilePersistence, file: str, params: str, at: int) -> None:
    records._io_write(records._metadata_path, {"params": [params], "input": [f"{Path(file).parent}/é"]}, file)
    os.utime(records._record_path(records._metadata_path, file), (at, at))


def read(records: FilePersistence, file: str) -> dict:
    return records._io_read(records._metadata_path, file)


@pytest.mark.parametrize("spelling", ["{}/out", "../out"])
def test_of_each_file_the_newest_record_counts_wherever_the_run_was_started(tmp_path, monkeypatch, caplog, spelling):
    first, second = tmp_path / "first", tmp_path / "second"
    ours, theirs = spelling.format(tmp_path), f"{tmp_path}/out"
    (tmp_path / "out").mkdir()
    one = start(first, ours, monkeypatch)
    for name in ("a", LONG, "summary.json"):
        write(one, f"{ours}/{name}", "old", 100)
    write(one, f"{tmp_path}/other/a", "of another run", 100)
    (first / ".snakemake" / "metadata" / "no record").touch()

    other = start(second, theirs, monkeypatch)
    assert [read(other, f"{theirs}/{name}")["params"] for name in ("a", LONG)] == [["old"]] * 2
    assert read(other, f"{theirs}/a")["input"] == [f"{theirs}/é"]
    assert not read(other, f"{tmp_path}/other/a")
    write(other, f"{theirs}/a", "new", 200)
    write(one, f"{ours}/{LONG}", "newest", 300)

    one = start(first, ours, monkeypatch)
    assert [read(one, f"{ours}/{name}")["params"] for name in ("a", LONG)] == [["new"], ["newest"]]
    other = start(second, theirs, monkeypatch)
    assert [read(other, f"{theirs}/{name}")["params"] for name in ("a", LONG)] == [["new"], ["newest"]]
    assert not caplog.messages


def test_a_dataset_without_records_is_told_of_and_another_outdir_gives_none(tmp_path, monkeypatch, caplog):
    first, second, outdir = tmp_path / "first", tmp_path / "second", tmp_path / "out"
    outdir.mkdir()
    write(start(first, "../out", monkeypatch), "../out/summary.json", "old", 100)
    Paths(outdir).summary.write_text(json.dumps({}), encoding="utf-8")
    start(first, "../out", monkeypatch)
    assert not caplog.messages

    outdir.rename(tmp_path / "moved")
    records = start(second, f"{tmp_path}/moved", monkeypatch)
    assert not read(records, f"{tmp_path}/moved/summary.json"), "`../out` does not lead there from the first folder"
    assert len(caplog.messages) == 1
    assert f"{first}/.snakemake. Settings" in caplog.text and "run once with --forceall" in caplog.text
