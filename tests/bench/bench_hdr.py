"""How far the colours of HDR films are from the SDR pictures that they were made of.

    python tests/bench/bench_hdr.py

The first table is of films as FFmpeg's zscale grades them: pictures as stored, kept frames, clips. The second table is
of other ways to make HDR of SDR, the third one of other curves. Mean differences of all pixels, CIEDE2000.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

import hdr_films
from bench import table
from clipmill.decode import tone
from cut_sources import Source
from films import decoded
from hdr_films import CURVES, FRAMES, colour_error, hdr_film

NAMES = ("chart", "astronaut", "coffee", "big-buck-bunny", "car-detection")
