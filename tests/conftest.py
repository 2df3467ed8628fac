"""Makes the library importable from the tests: `scripts/` is where the workflow's own commands find it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import cv2
import pytest

cv2.setNumThreads(1)  # as every tool does: a forked worker would wait for ever for OpenCV's threads of its parent


@pytest.fixture(scope="module")
def chromium() -> Iterator[None]:
    """A browser for the pages that the tests of a module open; see `browser`."""
    from browser import started  # tests of other environments have no playwright

    with started():
        yield
