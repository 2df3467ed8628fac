"""Makes the library importable from the tests: `scripts/` is where the workflow's own commands find it.

`pyproject.toml` lists the markers of tests. A folder of `FOLDERS` marks all of its tests. A module that cannot be
imported without torch or playwright says so in a line `pytestmark = pytest.mark.torch`. If `-m` deselects that marker,
the module is not even imported. So `make quick` needs the core environment only.

A test is skipped if this machine lacks something. With CLIPMILL_NO_SKIPS set, it fails instead.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FOLDERS = {"workflow": "slow", "slurm": "slurm", "with_vllm": "vllm", "gpu": "gpu"}

sys.path.insert(0, str(TESTS.parent / "scripts"))
# Tests start Python more than a thousand times. Without stored bytecode each start would compile the library again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what `-m` deselects: a folder of `FOLDERS`, or a module whose `pytestmark` names the marker."""
    deselected = set(re.findall(r"\bnot (\w+)", config.option.markexpr))
    if collection_path.parent == TESTS and collection_path.is_dir():
        marks = {FOLDERS.get(collection_path.name)}
    elif deselected and collection_path.suffix == ".py":
        lines = re.findall(r"^pytestmark = .*", collection_path.read_text(encoding="utf-8"), re.MULTILINE)
        marks = set(re.findall(r"pytest\.mark\.(\w+)", " ".join(lines)))
    else:
        return None
    return True if marks & deselected else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of each folder of `FOLDERS`, and put the modules that have slow tests before the others.

    Two workers take the modules in this order, so none of them is left with a long module at the end.
    """
    for item in items:
        if mark := FOLDERS.get(item.path.relative_to(TESTS).parts[0]):
            item.add_marker(mark)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def chromium() -> Iterator[None]:
    """A browser for the pages that the tests of a module open; see `browser`."""
    from browser import started  # tests of other environments have no playwright

    with started():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CLIPMILL_NO_SKIPS is set, as in continuous integration, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CLIPMILL_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longrepr[-1]}"
    return report
