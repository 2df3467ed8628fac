"""What the steps cost, for the plan of a run that has measured nothing yet: one table with the source of its numbers.

The numbers are those of docs/benchmarks.md, section "Rates of a plan"; a test keeps the two equal. They belong to the
machine described there. Some backends have no number, and nothing on a GPU has one; then the plan says so.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "docs/benchmarks.md"


@dataclass(frozen=True)
class Rate:
    """Core-seconds for a unit of work, and for the `start` of a job."""

    seconds: float
    source: str
    start: float = 0.0


# (folder of the step in benchmarks/, backend): core-seconds per unit, core-seconds per start. Without a GPU.
DOCUMENTED = {
    ("decode", ""): (155.0, 0.4),
    ("split", ""): (2.1, 0.4),
    ("consistency", "histogram"): (0.047, 0.6),
    ("consistency", "clip"): (84.0, 0.6),
    ("consistency", "dinov2"): (17.0, 0.6),
    ("aesthetic", "classic"): (0.02, 0.5),
    ("aesthetic", "siglip-v2.5"): (77.0, 0.6),
    ("aesthetic", "laion"): (43.0, 0.6),
    ("text", "rapidocr"): (0.14, 1.7),
    ("text", "easyocr"): (32.0, 0.6),
    ("thresholds", ""): (0.000001, 0.4),
    ("filter", ""): (0.001, 0.4),
    ("caption", "describe"): (0.3, 0.7),
    ("caption", "openai"): (0.0034, 0.6),
    ("rewrite", "rules"): (0.001, 0.8),
    ("alignment", "none"): (0.0, 0.5),
    ("alignment", "videoclip-xl"): (110.0, 0.6),
    ("cut", ""): (0.49, 0.7),
    ("export", ""): (0.001, 0.4),
    ("report", ""): (0.00002, 1.5),
}
START = 0.6  # seconds of a check without a model
FRAME_BYTES_A_PIXEL = 0.12  # of a kept frame
SIGNAL_BYTES_AN_HOUR = 3_600_000


def find(folder: str, backend: str) -> Rate | None:
    """The documented rate of a step; None where there is none."""
    if (folder, backend) not in DOCUMENTED:
        return None
    seconds, start = DOCUMENTED[folder, backend]
    return Rate(seconds, SOURCE, start)
