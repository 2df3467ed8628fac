"""Makes the library importable from the tests: `scripts/` is where the workflow's own commands find it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import cv2

cv2.setNumThreads(1)  # as every tool does: a forked worker would wait for ever for OpenCV's threads of its parent
