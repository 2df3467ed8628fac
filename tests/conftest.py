"""Makes the library importable from the tests: `scripts/` is where the workflow's own commands find it.

What this machine lacks makes tests skip, but not where nothing may be skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))


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
