"""What a job took: its benchmark, and the file that holds it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipmill.base.usage import Usage, starting, took_up_earlier_work
from clipmill.cli import measured
from clipmill.store import benchmarks
from clipmill.store.benchmarks import Benchmark
from clipmill.store.layout import Paths

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_a_process_counts_its_own_time_and_that_of_its_children():
    before = Usage.now()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    with starting():
        time.sleep(0.05)
    after = Usage.now()
    assert after.wall - before.wall >= 0.05
    assert after.processor - before.processor > 0.01
    assert 0.05 <= after.start - before.start < after.wall - before.wall
    assert after.memory > 5
    took_up_earlier_work()
    assert Usage.now().continued == after.continued + 1


PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from clipmill.base.usage import starting, took_up_earlier_work
from clipmill.cli import measured
out = Path(sys.argv[2])
time.sleep(0.3)
with measured(out, "text", "000000", 2):
    with starting():
        time.sleep(0.2)
    time.sleep(0.1)
with measured(out, "text", "000001"):
    took_up_earlier_work()
    time.sleep(0.1)
try:
    with measured(out, "text", "000002"):
        raise SystemExit(3)
finally:
    print("ended")
"""


def test_the_start_is_everything_before_the_first_step_and_the_loading_of_models(tmp_path):
    ended = subprocess.run([sys.executable, "-c", PROGRAM, SCRIPTS, tmp_path], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, b"ended\n"), ended.stderr
    first, second = (benchmarks.read(Paths(tmp_path).benchmark("text", name)) for name in ("000000", "000001"))
    assert first.start_seconds >= 0.45  # its imports too
    assert first.start_seconds + 0.08 <= first.wall_seconds
    assert first.processor_seconds > 0.01 and first.memory_mib > 5
    assert (first.threads, first.whole) == (2, True)
    assert (second.start_seconds, second.threads, second.whole) == (0, 1, False)
    assert 0.1 <= second.wall_seconds < first.wall_seconds
    assert not Paths(tmp_path).benchmark("text", "000002").exists()


def test_a_benchmark_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a" / "b.tsv"
    for job in (
        Benchmark(1.5, 2.25, 0.5, 4, 100.125, True),
        Benchmark(0.0),
        Benchmark(3600.0, None, 1.0, 1, None, False),
    ):
        benchmarks.write(path, job)
        assert benchmarks.read(path) == job


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("s\th:m:s\tmax_rss\tcpu_time\n1.5\t0:00:01\t100.5\t0.75\n", Benchmark(1.5, 0.75, memory_mib=100.5)),
        ("s\th:m:s\tmax_rss\tcpu_time\n0.01\t0:00:00\tNA\tNA\n", Benchmark(0.01)),
        ("s\th:m:s\tmax_rss\tcpu_time\n0.01\t0:0", Benchmark(0.01)),
        ("s\th:m:s\n", None),
        ("wall_seconds\tproc", None),
        ("", None),
        ("wall_seconds\nx\n", None),
    ],
)
def test_files_of_snakemake_and_files_cut_off(tmp_path, text, job):
    path = tmp_path / "b.tsv"
    path.write_text(text)
    assert benchmarks.read(path) == job
    assert benchmarks.read(tmp_path / "none.tsv") is None


def test_a_failed_job_leaves_the_benchmark_of_the_last_that_ended(tmp_path):
    with measured(tmp_path, "cut", "000000"):
        pass
    path = Paths(tmp_path).benchmark("cut", "000000")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="broken"), measured(tmp_path, "cut", "000000"):
        raise ValueError("broken")
    assert path.read_bytes() == before
