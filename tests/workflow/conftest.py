"""Fixtures of the workflow tests; the helpers are in `runs`."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import Run, fill


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has nothing yet."""
    return Run(tmp_path / "run")


@pytest.fixture(scope="session")
def hundred_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a hundred small videos, not to be changed; in three of ten something moves, which are kept."""
    folder = tmp_path_factory.mktemp("hundred") / "videos"
    for number in range(100):
        fill(folder, number)
    return folder
