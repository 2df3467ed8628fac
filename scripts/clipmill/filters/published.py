"""Thresholds that other projects publish. The report marks them, and docs/thresholds.md has a table made from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clipmill.filters.columns import source
from clipmill.store.layout import is_classifier


@dataclass(frozen=True)
class Published:
    """A published threshold. `score`: a filter, or in words whatever else it is of. `says`: the value, in words.

    `low`, `high`: the bounds in the unit of the filter, if the number holds for it. It then holds for these `backends`
    of the step that makes the score; without any, for all.
    """

    score: str
    who: str
    says: str
    low: float | None = None
    high: float | None = None
    backends: tuple[str, ...] = ()


CLASSIFIERS = "`classifier_<name>`"

PUBLISHED = (
    Published("length", "EasyAnimate", "3 to 10 s"),
    Published("length", "Open-Sora 1.3; 2.0", "2 to 15 s; below 2 s dropped, cut above 8 s"),
    Published("length", "Panda-70M", "2 to 60 s, a tenth trimmed at either end"),
    Published("area", "EasyAnimate", "at least 512×512", low=512 * 512),
    Published("aspect_ratio", "Open-Sora 2.0", "1/3 to 3", low=1 / 3, high=3),
    Published("fps", "Open-Sora 2.0", "at least 16", low=16),
    Published("bits_per_pixel", "Open-Sora 2.0", "at least 0.02", low=0.02),
    Published("brightness", "Allegro", "20 to 180", low=20, high=180),
    Published(
        "motion_easyanimate",
        "EasyAnimate",
        "2 to 20: Farnebäck's flow of the full frame, 2 frames per second",
        low=2,
        high=20,
    ),
    Published(
        "motion", "Data-Juicer", "at least 0.25: the same flow, in pixels of its own size, with a relative option"
    ),
    Published(
        "motion",
        "NVIDIA cosmos-curate",
        "from motion vectors: a mean below 0.00098, or a quietest patch below 1e-6, of width and height together is "
        "static",
    ),
    Published(
        "consistency",
        "EasyAnimate",
        "at least 0.80: CLIP L/14 at 336 or DINOv2, least of neighbours",
        low=0.8,
        backends=("clip", "dinov2"),
    ),
    Published(
        "aesthetic",
        "EasyAnimate",
        "at least 4.0: SigLIP v2.5, mean of 4 frames",
        low=4,
        backends=("siglip-v2.5",),
    ),
    Published("aesthetic", "Open-Sora", "at least 5: LAION; 5.5 is fair, 6.5 high", low=5, backends=("laion",)),
    Published("aesthetic", "Allegro", "4.8 to 5.3 from tier to tier: LAION", low=4.8, backends=("laion",)),
    Published("aesthetic", "cosmos-curate", "3.5, least of the frames"),
    Published("text_area", "EasyAnimate", "at most 0.02, middle frame, CRAFT", high=0.02, backends=("easyocr",)),
    Published("text_area", "Allegro", "at most 0.0005"),
    Published(
        CLASSIFIERS,
        "Open-NSFW's authors",
        "below 0.2 is likely safe, above 0.8 likely not",
        low=0.2,
        high=0.8,
        backends=("opennsfw",),
    ),
    Published("alignment", "EasyAnimate", "at least 0.20: VideoCLIP-XL-v2", low=0.2, backends=("videoclip-xl",)),
    Published("alignment", "Data-Juicer; Allegro", "at least 0.1: CLIP B/32; 0.17 to 0.20: CLIP"),
    Published("kept in all", "Allegro", "9.6 %, then 3.6 %, then 0.4 % through its tiers"),
    Published("kept in all", "Open-Sora 2.0", "70 million to 10 to 5 million clips"),
)


def of_score(name: str, backends: Mapping[str, str]) -> list[Published]:
    """Those whose numbers hold for the filter `name`. `backends`: of the run, by step."""
    score = CLASSIFIERS if is_classifier(name) else name
    made_by = backends.get(source(name))
    found = [one for one in PUBLISHED if one.score == score and (one.low is not None or one.high is not None)]
    return [one for one in found if not one.backends or made_by in one.backends]


def as_table() -> str:
    """All of them as the rows of a Markdown table; a score is named once."""
    lines, last = ["| score | who | value |", "| --- | --- | --- |"], None
    for one in PUBLISHED:
        lines.append(f"| {one.score if one.score != last else ''} | {one.who} | {one.says} |".replace("|  |", "| |"))
        last = one.score
    return "\n".join(lines)
