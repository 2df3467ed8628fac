"""`snakemake --report`: Snakemake's own report holds what a run is judged by, and is made without a network."""

from __future__ import annotations

import json
import re
import sys

import pytest
from runs import Outcome, Run, call

NO_NETWORK = """
import socket, sys
def refuse(*arguments): raise OSError("the test has no network")
socket.socket.connect = socket.getaddrinfo = refuse
from snakemake.cli import main
main(sys.argv[1:])
"""
CATEGORIES = {
    "Report": {"report.html"},
    "Dataset": {"train.json", "metadata.jsonl", "README.md"},
    "Run": {"verdicts.parquet", "errors.csv", "summary.json", "models.json"},
    "Thresholds": {"consistency.json", "aesthetic.json", "text.json", "filter.json"},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("report") / "run")
    run.settings |= {"filters": {"area": {"min": None}, "motion": {"min": "q0.3"}}}
    for name, speed in (("a.mp4", 10), ("b.mp4", 30)):
        run.video(name, speed=speed)
    run.done()
    return run


def report(run: Run, file: str) -> Outcome:
    _, _, _, *arguments = run.command("--report", file)
    return call([sys.executable, "-c", NO_NETWORK, *arguments], run.workdir)


def test_the_report_holds_the_results_by_category_with_captions(finished):
    outcome = report(finished, "run.html")
    assert outcome.code == 0, outcome.output
    page = (finished.workdir / "run.html").read_text(encoding="utf-8")
    (found,) = re.findall(r"^\s*var results = (\{.*?\});?$", page, re.MULTILINE)
    results = json.loads(found)
    by_category: dict[str, set[str]] = {}
    (categories,) = re.findall(r"^\s*var categories = (\{.*?\});?$", page, re.MULTILINE)
    for name, below in json.loads(categories).items():
        files = [file for part in below.values() for file in part] if isinstance(below, dict) else below
        by_category[name] = {results[file]["name"] for file in files}
    assert by_category == CATEGORIES
    assert all(result["caption"] for result in results.values())
    assert "A folder of videos became a set of captioned clips" in page


def test_a_large_report_may_be_a_zip(finished):
    outcome = report(finished, "run.zip")
    assert outcome.code == 0, outcome.output
    assert (finished.workdir / "run.zip").stat().st_size > 0
