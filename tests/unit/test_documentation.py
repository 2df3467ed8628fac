"""Pages that would go stale: what they say of costs and messages is held against the code."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

import describe
from clipmill.plan import rates
from clipmill.steps import BY_NAME, CLIP, KEPT, of_run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CLIPS, KEPT_CLIPS = 130 / 0.2778, 110 / 0.2778  # per hour of video, in the benchmark of the rates
# What runs by default, in the order of the data.
BASIC = [("decode", ""), ("split", ""), ("consistency", "histogram"), ("aesthetic", "classic"), ("text", "rapidocr")]
BASIC += [("filter", ""), ("caption", "describe"), ("rewrite", "rules"), ("cut", ""), ("export", ""), ("report", "")]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def seconds_an_hour(step: str, backend: str) -> float:
    """Core-seconds that a step takes per hour of video."""
    units = {one.name: one.unit for one in of_run(BY_NAME)} | {"export": KEPT}
    units |= dict.fromkeys(("classifiers", "thresholds", "report"), CLIP)
    number = {CLIP: CLIPS, KEPT: KEPT_CLIPS}.get(units[step], 1)
    return rates.DOCUMENTED[step, backend][0] * number


def cells(seconds: float) -> tuple[str, str]:
    """Core-seconds per hour of video, and hours of video per core-hour, with two figures."""
    return rounded(seconds), rounded(rates.HOUR_SECONDS / seconds)


def rounded(value: float) -> str:
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def test_costs_follow_from_the_rates():
    found = re.findall(r"^\| ([a-z]+) \| ([\w.-]*) ?\| ([\d.,]+) \| ([\d.,]+) \|$", page("costs.md"), re.MULTILINE)
    assert {(step, backend): (seconds, hours) for step, backend, seconds, hours in found} == {
        key: cells(seconds_an_hour(*key)) for key in rates.DOCUMENTED if seconds_an_hour(*key) >= 1
    }


def test_the_cost_of_a_whole_run_follows_from_the_rates():
    basic = sum(seconds_an_hour(*key) for key in BASIC)
    assert f"| all of the basic installation | {' | '.join(cells(basic))} |" in page("costs.md")
    frames = 2 * rates.HOUR_SECONDS * 910 * 512 * rates.FRAME_BYTES_A_PIXEL
    assert f"kept frames of 910 × 512 pixels, 2 per second | {frames / 1e9:.1f} GB |" in page("costs.md")
    large = frames * rates.LARGE_TO_KEPT_BYTES
    assert f"with `crop.overlays`, of videos of 1024 lines and more | {large / 1e9:.1f} GB |" in page("costs.md")
    assert f"signals | {rates.SIGNAL_BYTES_AN_HOUR / 1e6:.1f} MB |" in page("costs.md")
    assert f"signals of sound | {rates.SOUND_BYTES_AN_HOUR / 1e6} MB |" in page("costs.md")
    assert f"miniatures, for `transnetv2` alone | {rates.MINIATURE_BYTES_AN_HOUR / 1e6:.0f} MB |" in page("costs.md")


@pytest.mark.parametrize("name", describe.BADGES)
def test_badges_are_up_to_date(name):
    made = (describe.PICTURES / f"badge-{name}.svg").read_text(encoding="utf-8")
    assert made == describe.badge(name), "run `python scripts/describe.py`"
    assert f"docs/pictures/badge-{name}.svg" in (ROOT / "README.md").read_text(encoding="utf-8")


def messages() -> list[str]:
    """The messages that docs/faq.md explains: the first cells of its tables."""
    return re.findall(r"^\| `(.+?)` \|", page("faq.md"), re.MULTILINE)


def test_messages_are_those_of_the_code():
    """A message may leave out what differs: `…` stands for it. Lines of a text that the code breaks are joined."""
    files = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "rules").glob("*.smk")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    code = re.sub(r"\"\s*\n\s*f?r?\"", "", code)
    missing = [part for message in messages() for part in message.split("…") if part.strip() and part not in code]
    assert len(messages()) > 20 and not missing


def test_the_first_screen_stays_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") < 120
    for picture in re.findall(r"\((docs/pictures/[^)]+)\)", text):
        assert (ROOT / picture).stat().st_size < 200_000


def test_the_index_names_all_pages():
    listed = set(re.findall(r"\]\(([\w./-]+\.md)", page("index.md")))
    assert listed >= {path.name for path in DOCS.glob("*.md")} - {"index.md"}


def test_the_numbers_of_the_first_screen_stand_where_it_says():
    """The three measured claims, with the pages that say how they were measured."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    claims = {
        "benchmarks.md#whole-runs": ("20 minutes of film in 4 files | 283.2 | 122.6 | 2.3", "321.8 | 108.2 | 3.0"),
        "shots.md#what-they-find": ("clips that hold two shots, before any filter", "11 %", "83 %"),
        "benchmarks.md#kills": ("100", "kills", "All five runs", "none had been computed twice"),
    }
    places = [text.index(f"](docs/{place})") for place in claims]
    assert all(one < other for one, other in pairwise(places))
    for place, numbers in claims.items():
        name, _, anchor = place.partition("#")
        section = re.split(r"^## ", page(name), flags=re.MULTILINE)
        (section,) = [part for part in section if part.partition("\n")[0].lower().replace(" ", "-") == anchor]
        assert all(number in " ".join(section.split()) for number in numbers), place
