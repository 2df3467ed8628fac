"""Quantiles among the thresholds: which clips count, which value it is, and what becomes of it."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clipmill.filters import columns, verdict
from clipmill.filters.quantiles import as_quantile, quantiles, read_resolved, with_resolved_quantiles
from clipmill.filters.reasons import Reason
from clipmill.filters.thresholds import at_quantile, counted_clips, read_scores, resolve
from clipmill.steps import SCORE_TABLES
from clipmill.store import tables

ROOT = Path(__file__).resolve().parents[2]


def made(outdir: Path, shard: str, clips: list[dict], **tables_of: list[dict]) -> None:
    """Tables of a shard: `clips` are of the videos v0, v1, …, of as many pixels as their number times 100."""
    videos = sorted({clip["video_id"] for clip in clips})
    facts = {"seconds": 60.0, "bits_per_pixel": 0.1}
    tables.VIDEOS.write(
        tables.VIDEOS.of(outdir, shard), [{"video_id": video, "name": video, **facts} for video in videos]
    )
    shape = {"unfit": None, "width": 10, "fps": 10.0}
    rows = [{**shape, "height": 10 * int(clip["video_id"][1:]), **clip} for clip in clips]
    tables.CLIPS.write(tables.CLIPS.of(outdir, shard), rows)
    for name, rows in tables_of.items():
        table = {"motion": tables.MOTION, "aesthetic": tables.AESTHETIC, "alignment": tables.ALIGNMENT}[name]
        table.write(table.of(outdir, shard), rows)


@pytest.fixture
def outdir(tmp_path: Path) -> Path:
    """Two shards of ten clips, with motions 0 to 19; one clip is too short, one has no score."""
    for shard in (0, 1):
        numbers = range(10 * shard, 10 * shard + 10)
        clips = [{"clip_id": f"v{shard + 1}_{n:02d}", "video_id": f"v{shard + 1}"} for n in numbers]
        motion = [{"clip_id": clip["clip_id"], "motion": float(n)} for clip, n in zip(clips, numbers, strict=True)]
        clips[3]["unfit"] = "too_short" if shard == 0 else None
        motion[5]["motion"] = None if shard == 1 else motion[5]["motion"]
        late = [{"clip_id": clip["clip_id"], "alignment": n / 10} for n, clip in enumerate(reversed(clips[4:]))]
        made(tmp_path, f"{shard:06d}", clips, motion=motion, alignment=late)
    return tmp_path


SHARDS = ["000000", "000001"]


def test_clips_that_count_have_the_score_and_are_long_enough(outdir):
    found = resolve(outdir, SHARDS, {"motion": {"min": "q0.3", "max": "q0.9"}}, set())
    values = sorted(set(range(20)) - {3, 15})
    assert found == {
        "motion": {
            "min": {"quantile": 0.3, "clips": 18, "value": values[6]},
            "max": {"quantile": 0.9, "clips": 18, "value": values[15]},
        }
    }


def test_clips_of_removed_videos_do_not_count(outdir):
    found = resolve(outdir, SHARDS, {"motion": {"min": "q0.5"}}, {"v1", "v7"})
    assert found["motion"]["min"] == {"quantile": 0.5, "clips": 9, "value": 14}
    assert counted_clips(outdir, "000000", {"v1"}).num_rows == 0


def test_facts_of_videos_count_for_each_of_their_clips(outdir):
    found = resolve(outdir, SHARDS, {"area": {"max": "q0.4"}, "fps": {"min": "q0.5"}}, set())
    assert found["area"]["max"] == {"quantile": 0.4, "clips": 19, "value": 100}  # 9 of 100 pixels, 10 of 200
    assert found["fps"]["min"]["value"] == 10


def test_late_scores_are_those_of_clips_with_a_text_whatever_their_order(outdir):
    clips = counted_clips(outdir, "000000", set())
    values = read_scores(outdir, "000000", "alignment", clips)
    known = dict(zip(clips["clip_id"].to_pylist(), values, strict=True))
    assert known["v1_09"] == 0 and known["v1_04"] == 0.5 and math.isnan(known["v1_00"])
    assert resolve(outdir, SHARDS, {"alignment": {"min": "q0.5"}}, set())["alignment"]["min"]["clips"] == 12


@pytest.mark.parametrize("count", [1, 2, 7, 10, 11, 100, 1001])
@pytest.mark.parametrize("quantile", [0.01, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_the_value_is_a_score_and_keeps_the_share_that_it_should(count, quantile):
    values = np.random.default_rng(count).permutation(count).astype(float)
    low = at_quantile(values, quantile, "min")["value"]
    high = at_quantile(values, round(1 - quantile, 6), "max")["value"]
    assert low in values and high in values
    assert abs((values >= low).sum() - (1 - quantile) * count) <= 1
    assert (values <= high).sum() == (values >= low).sum()


def test_ten_clips_keep_seven():
    values = np.arange(10.0)
    assert at_quantile(values, 0.3, "min")["value"] == 3
    assert at_quantile(values, 0.7, "max")["value"] == 6


@pytest.mark.parametrize(("side", "within"), [("min", math.ceil), ("max", math.floor)])
def test_a_quantile_at_a_score_is_that_score(side, within):
    """Where q·(n-1) is whole, as 0.7·90, which binary numbers may miss."""
    assert at_quantile(np.arange(91.0), 0.7, "max")["value"] == 63
    assert at_quantile(np.arange(101.0), 0.07, "min")["value"] == 7
    assert at_quantile(np.arange(921.0), 0.55, "min")["value"] == 506
    for hundredths in range(1, 100):
        text = f"q0.{hundredths:02d}"
        for count in (91, 101, 201, 365, 921, 1001):
            values, place = np.arange(float(count)), within(Fraction(hundredths, 100) * (count - 1))
            for quantile in (as_quantile(text), hundredths / 100):  # of the config's filters, and of calibrate
                found = at_quantile(values, quantile, side)
                assert found == {"quantile": hundredths / 100, "clips": count, "value": place}


def test_without_clips_there_is_no_value_and_only_clips_with_a_score_pass(outdir):
    found = resolve(outdir, SHARDS, {"motion": {"min": "q0.3", "max": "q0.9"}}, {"v1", "v2"})
    nothing = {"clips": 0, "value": None}
    assert found["motion"] == {"min": {"quantile": 0.3, **nothing}, "max": {"quantile": 0.9, **nothing}}
    filters = with_resolved_quantiles({"motion": {"min": "q0.3", "max": "q0.9"}}, found)
    assert verdict.out_of(verdict.active(filters, ["motion"]), {"motion": -1e300}) is None
    assert verdict.out_of(verdict.active(filters, ["motion"]), {"motion": None}) == Reason("motion", "missing")


def test_values_take_the_place_of_quantiles_alone(tmp_path):
    filters = {"motion": {"min": "q0.3", "max": 9}, "area": {"min": 5, "max": None}}
    assert quantiles(filters) == {"motion": {"min": "q0.3"}}
    for name, value in (("early", {"motion": {"min": {"value": 2.5}}}), ("late", {"alignment": {"min": {"value": 1}}})):
        (tmp_path / name).write_text(json.dumps(value))
    found = read_resolved([tmp_path / "early", tmp_path / "late"])
    assert with_resolved_quantiles(filters, found) == {
        "motion": {"min": 2.5, "max": 9},
        "area": {"min": 5, "max": None},
    }
    assert read_resolved([]) == {} and with_resolved_quantiles(filters, {}) == filters


def test_every_filter_has_a_source():
    """Each table of scores, and the video."""
    assert set(columns.SOURCES.values()) == {columns.FACTS, *SCORE_TABLES}


def test_the_documentation_has_a_section_for_every_filter_and_its_pictures():
    text = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert sorted(name for heading in headings for name in heading.split(", ")) == sorted(
        (*columns.FILTERS, *columns.LATE_FILTERS)
    )
    linked = {name for name in re.findall(r"\]\((?!http)([^)#]+)\)", text)}
    assert all((ROOT / "docs" / name).is_file() for name in linked)
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"\((?:docs/)?pictures/([^)]+)\)", page.read_text("utf-8"))}
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert shown == pictures.keys()
    assert max(pictures.values()) < 100_000
