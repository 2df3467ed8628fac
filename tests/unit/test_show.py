"""The script that shows everything on a GPU: rehearsed on the CPU, and what it writes if something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SCRIPT = Path(__file__).resolve().parents[1] / "gpu" / "show.py"
NVIDIA_SMI = """#!/bin/sh
case "$*" in
*--loop-ms*) while true; do echo "50, 2048"; sleep 0.1; done ;;
*) echo "A Card, 1.2, 80000 MiB" ;;
esac
"""


def show(output: Path, *arguments: str, path: str = "") -> tuple[int, str]:
    """The script's status, and what stands in its results."""
    command = [sys.executable, str(SCRIPT), str(output), "--tiny", *arguments]
    environment = {**os.environ, "PATH": path + os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, (output / "results.md").read_text(encoding="utf-8")


def test_a_part_that_needs_the_card_says_so(tmp_path: Path):
    status, results = show(tmp_path, "--only", "decode")
    assert status == 1
    assert "\njob: " in results and "\nbare: " in results
    assert "\npynvvideocodec does not run here: it ended with 1, and" in results
    assert "No module named 'torchcodec'" in results
    assert "**Not shown**: no decoder of the card runs here." in results


def test_what_does_not_fit_into_the_time_is_named(tmp_path: Path):
    status, results = show(tmp_path, "--only", "tests", "run", "--minutes", "0")
    assert status == 1
    assert results.count("**Not shown**: no time was left.") == 2


def test_a_command_ends_with_the_time(tmp_path: Path):
    status, results = show(tmp_path, "--only", "models", "--minutes", "0.02")
    assert status == 1
    assert "**Not shown**: the time ended while it ran." in results


def test_the_card_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    status, results = show(tmp_path, "--only", "tests", "--minutes", "0", path=f"{program.parent}{os.pathsep}")
    assert results.startswith("# A Card, 1.2, 80000 MiB; ")

    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    from show import Busy

    with Busy().watched() as busy:
        start = time.time()
        while len(busy.times) < 3:
            time.sleep(0.05)
        end = time.time()
    assert busy.between(start, end) == "| 50 % | 2.0 |"
    assert busy.between(0, 1) == "| not measured | not measured |"
