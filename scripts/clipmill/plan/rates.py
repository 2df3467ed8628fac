"""What the steps cost, for the plan of a run that has measured nothing yet: one table with the source of its numbers.

The numbers are those of docs/benchmarks.md, section "Rates of a plan"; a test keeps the two equal. They belong to the
machine described there. Some backends have no number, and nothing on a GPU has one; then the plan says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clipmill.store.layout import is_classifier

SOURCE = "docs/benchmarks.md"
HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Rate:
    """Core-seconds for a unit of work, and seconds for the `start` of a job.

    `error`: two standard errors as a share; None if it is not known, as on another machine.
    """

    seconds: float
    source: str
    start: float = 0.0
    error: float | None = None


# (folder of the step in benchmarks/, backend): core-seconds per unit, core-seconds per start. Without a GPU. Decoding
# has no backend, but another rate with the score `motion_easyanimate`.
DOCUMENTED = {
    ("decode", ""): (170.0, 0.4),
    ("decode", "motion_easyanimate"): (650.0, 0.4),
    ("shots", "transnetv2"): (2000.0, 1.5),
    ("split", ""): (2.4, 0.7),
    ("consistency", "histogram"): (0.027, 0.3),
    ("consistency", "clip"): (84.0, 0.6),
    ("consistency", "dinov2"): (17.0, 0.6),
    ("aesthetic", "classic"): (0.013, 0.2),
    ("aesthetic", "siglip-v2.5"): (77.0, 0.6),
    ("aesthetic", "laion"): (43.0, 0.6),
    ("text", "rapidocr"): (0.14, 1.0),
    ("text", "easyocr"): (32.0, 0.6),
    ("classifiers", "opennsfw"): (0.14, 0.4),
    ("thresholds", ""): (0.000001, 0.4),
    ("filter", ""): (0.001, 0.2),
    ("fingerprints", ""): (0.015, 0.4),
    ("duplicates", ""): (0.0005, 0.6),
    ("caption", "describe"): (0.028, 0.3),
    ("judge", "openai"): (0.0034, 0.6),
    ("caption", "openai"): (0.0034, 0.6),
    ("rewrite", "rules"): (0.001, 0.3),
    ("alignment", "none"): (0.0, 0.3),
    ("alignment", "videoclip-xl"): (110.0, 0.6),
    ("cut", ""): (0.28, 0.4),
    ("export", ""): (0.001, 0.4),
    ("report", ""): (0.00002, 0.9),
}
START = 1.1  # seconds of the check of all embedded backends
PYTHON = 0.2  # seconds of a start that steps in one job need only once
ENGINE_START, ENGINE_A_JOB = 3.0, 0.05  # seconds of Snakemake itself, on this machine
CLUSTER_START = 20.0  # seconds of a job on a cluster before it is at work, see docs/slurm.md
FRAME_BYTES_A_PIXEL = 0.12  # of a kept frame
LARGE_TO_KEPT_BYTES = 2.8  # of a large picture, to its kept frame
SIGNAL_BYTES_AN_HOUR = 3_600_000
MINIATURE_BYTES_AN_HOUR = 110_000_000
SOUND_BYTES_AN_HOUR = 7_500_000


def find(folder: str, backend: str) -> Rate | None:
    """The documented rate of a step; None where there is none."""
    key = ("classifiers" if is_classifier(folder) else folder), backend
    if key not in DOCUMENTED:
        return None
    seconds, start = DOCUMENTED[key]
    return Rate(seconds, SOURCE, start)


def together(found: Sequence[Rate | None]) -> Rate | None:
    """The rate of a job that does several steps, one after the other; None if one of them has none."""
    known = [rate for rate in found if rate is not None]
    if len(known) < len(found):
        return None
    documented = [rate for rate in known if rate.source == SOURCE]
    spared = sum(PYTHON for rate in known[1:] if rate.source == SOURCE)  # measured starts of later steps are without it
    errors = [rate.error for rate in known if rate.error is not None]
    return Rate(
        math.fsum(rate.seconds for rate in known),
        (documented or known)[0].source,
        max(0.0, math.fsum(rate.start for rate in known) - spared),
        max(errors) if len(errors) == len(known) else None,
    )
