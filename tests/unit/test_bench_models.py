"""The benchmark of models: that it runs, and what it says of a score that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from films import Film, panned

pytestmark = [pytest.mark.torch, pytest.mark.slow]

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench_models.py"


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    Film(panned(), seconds=4).render(folder / "a.mp4")
    return folder


def bench(videos: Path, *arguments: str, fault: str = "") -> subprocess.CompletedProcess:
    """Run the benchmark on narrow models and one clip, after the Python program `fault`."""
    program = f"""
import runpy, sys
sys.path[:0] = {[str(BENCH.parent), str(BENCH.parents[2] / "scripts")]}
{fault}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    command = [sys.executable, "-c", program, BENCH, "--tiny", "--clips", "1", "--videos", videos, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_it_prints_its_tables(videos):
    done = bench(videos, "--only", "dinov2")
    assert done.returncode == 0, done.stderr
    assert " reader threads, models of small size\n" in done.stdout
    assert "| score | TFLOP a clip | original, clips/s | clipmill, clips/s | ratio |" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| dinov2 |")]
    assert len(rows) == 3  # speed, where the time goes, reading alone


def test_a_score_that_fails_costs_itself(videos):
    fault = "import original_way; original_way.SCORES['laion'] = lambda *_: 1 / 0"
    done = bench(videos, "--only", "laion", "dinov2", fault=fault)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1] == "failed: laion"
    assert sum(line.startswith("| dinov2 |") for line in done.stdout.splitlines()) == 3
