"""Proposed thresholds: the share that they keep, what moves and what stays, how they are written; and the draw."""

from __future__ import annotations

import copy
import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from clipmill.base.errors import SetupError
from clipmill.config import check_config
from clipmill.filters import calibrate
from clipmill.filters.calibrate import CalibrationSample, Proposal, as_yaml
from clipmill.filters.calibration_sample import sample_config, write_sheet
from clipmill.filters.quantiles import with_resolved_quantiles
from clipmill.store import tables
from default_config import CONFIG

ROOT = Path(__file__).resolve().parents[2]
CLIPS, VIDEOS = 2000, 100
FILTERS = {
    "area": {"min": 1000, "max": None},
    "motion": {"min": 0.8, "max": 150},
    "consistency": {"min": 0.3, "max": None},
    "text_area": {"min": None, "max": 0.05},
    "sharpness": {"min": None, "max": None},
    "transfer": {"allow": None, "deny": ["pq"]},
}
WISHES = {"videos": VIDEOS, "seed": 0, "keep": 0.3, "quantiles": {}, "loosen": True}
FILE = Path("my results/calibrate/calibrated.yaml")


def propose(sample: CalibrationSample, filters, keep, quantiles, loosen: bool = True) -> Proposal:
    return calibrate.propose(sample, filters, keep, quantiles, loosen)


def written(proposal: Proposal, **wishes) -> str:
    return as_yaml(proposal, {**WISHES, **wishes}, FILE)


@pytest.fixture
def sample() -> CalibrationSample:
    """Motions alike within a video; four of five clips without text; every tenth without a consistency."""
    chance = np.random.default_rng(3)
    video = np.repeat(np.arange(VIDEOS), CLIPS // VIDEOS)
    motion = np.exp(chance.normal(2, 0.7, VIDEOS))[video] * np.exp(chance.normal(0, 0.3, CLIPS))
    consistency = chance.beta(8, 2, CLIPS)
    consistency[::10] = np.nan
    text = np.where(chance.random(CLIPS) < 0.8, 0, chance.random(CLIPS))
    values = {"area": np.where(video % 20, 5000.0, 500), "motion": motion, "consistency": consistency}
    values |= {"text_area": text, "sharpness": chance.random(CLIPS)}
    transfer = np.array(["sdr" if number % 50 else "pq" for number in video], object)
    return CalibrationSample({**values, "transfer": transfer}, video.astype(object))


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.3, 0.5, 0.8])
def test_the_share_that_is_kept_is_the_one_asked_for(sample, keep):
    proposal = propose(sample, FILTERS, keep, {})
    reached = proposal.kept.mean()
    assert keep <= reached <= keep + 0.01
    assert 0 < proposal.tail < 0.5
    # Not through CalibrationSample's own eyes.
    bounds = with_resolved_quantiles(FILTERS, proposal.proposed)
    passing = sample.values["transfer"] == "sdr"
    for name in ("area", "motion", "consistency", "text_area"):
        values = sample.values[name]
        passing &= ~np.isnan(values)
        passing &= ~(values < (bounds[name]["min"] or -math.inf))
        passing &= ~(values > (math.inf if bounds[name]["max"] is None else bounds[name]["max"]))
    assert passing.sum() == proposal.kept.sum()


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("sides", ["min", "max", "min min", "min max", "both", "both min", "both both", "fixed min"])
def test_every_share_is_reached_where_all_scores_differ(sides, keep):
    """`fixed`: by a quantile of its own, which drops a tenth."""
    chance = np.random.default_rng(11)
    ends = {"min": (5, None), "max": (None, 5), "both": (1, 9), "fixed": (5, None)}
    names = dict(zip(("motion", "aesthetic"), sides.split(), strict=False))
    sample = CalibrationSample({name: chance.random(1000) for name in names}, np.arange(1000).astype(object))
    filters = {name: dict(zip(("min", "max"), ends[which], strict=True)) for name, which in names.items()}
    given = {name: [0.1, None] for name, which in names.items() if which == "fixed"}
    proposal = propose(sample, filters, keep, given)
    (wanted,) = (line for line in written(proposal, keep=keep).splitlines() if "Wanted" in line)
    if given and keep > 0.9:
        assert proposal.kept.sum() == 900 and "a bound that is not moved for it" in wanted
        return
    bounds = sum(bound is not None for name in filters.keys() - given.keys() for bound in filters[name].values())
    assert 0 <= proposal.kept.sum() - round(1000 * keep) < bounds
    assert wanted == f"# Wanted: {keep:.1%}."


def test_each_moved_bound_cuts_off_the_same_share(sample):
    proposal = propose(sample, FILTERS, 0.3, {})
    bounds = with_resolved_quantiles(FILTERS, proposal.proposed)
    for values, out in (
        (sample.values["motion"], sample.values["motion"] < bounds["motion"]["min"]),
        (sample.values["motion"], sample.values["motion"] > bounds["motion"]["max"]),
        (sample.values["consistency"], sample.values["consistency"] < bounds["consistency"]["min"]),
    ):
        assert out.sum() / np.isfinite(values).sum() == pytest.approx(proposal.tail, abs=0.002)


def test_what_a_video_is_and_what_has_no_bound_stays_as_it_is(sample):
    proposal = propose(sample, FILTERS, 0.3, {})
    assert {name: set(sides) for name, sides in proposal.proposed.items() if sides} == {
        "motion": {"min", "max"},
        "consistency": {"min"},
        "text_area": {"max"},
    }
    assert proposal.resolved_filters["area"] == FILTERS["area"]
    assert proposal.resolved_filters["sharpness"] == FILTERS["sharpness"]


def test_a_bound_that_would_let_the_same_clips_pass_stays_as_it_is():
    """Where the sample has no text or border its scores end at 0, which would drop all traces of them in a full set."""
    few = np.zeros(100)
    few[0] = 0.4
    traces = np.linspace(0, 0.09, 100)
    values = {"text_area": np.zeros(100), "border_area": few, "frozen_share": traces, "motion": np.arange(1.0, 101)}
    sample = CalibrationSample(values, np.arange(100).astype(object))
    filters = {
        "text_area": {"min": None, "max": 0.05},
        "border_area": {"min": None, "max": 0.1},
        "frozen_share": {"min": None, "max": 0.1},
        "motion": {"min": 0.5, "max": 150},
    }
    proposal = propose(sample, filters, 0.5, {})
    assert {name for name, sides in proposal.proposed.items() if sides} == {"frozen_share", "motion"}
    assert proposal.resolved_filters["text_area"] == filters["text_area"]
    assert proposal.resolved_filters["border_area"] == filters["border_area"]  # 0 drops the same one
    assert yaml.safe_load(written(proposal))["filters"].keys() == {"frozen_share", "motion"}
    assert 0.5 <= proposal.kept.mean() <= 0.53
    # The same clips are kept as with the ends of the sample in place of those bounds.
    ends = {"text_area": {"min": None, "max": 0}, "border_area": {"min": None, "max": 0}}
    assert (sample.kept({**proposal.resolved_filters, **ends}) == proposal.kept).all()

    one_side = propose(sample, {"motion": {"min": 30, "max": 150}}, 1, {})
    assert one_side.resolved_filters == {"motion": {"min": 1, "max": 150}}
    assert "motion: {min: 1, max: 150}  # min q0; was min 30; drops 0 by itself" in written(one_side)


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.3, 0.5, 0.8])
def test_bounds_become_stricter_alone_unless_they_may_loosen(sample, keep):
    filters = {**FILTERS, "consistency": {"min": "q0.9", "max": None}, "motion": {"min": 7, "max": 9}}
    strict = propose(sample, filters, keep, {}, loosen=False)
    own = {**filters, "consistency": {"min": sample.at("consistency", 0.9, "min")["value"], "max": None}}
    assert not (strict.kept & ~sample.kept(own)).any()
    bounds = strict.resolved_filters
    for name in ("motion", "consistency", "text_area"):
        for side, stricter in (("min", np.greater_equal), ("max", np.less_equal)):
            assert own[name][side] is None or stricter(bounds[name][side], own[name][side])
    assert bounds["consistency"]["min"] >= own["consistency"]["min"]  # a quantile has become a number all the same
    text = written(strict, keep=keep, loosen=False)
    assert ("calibrate: {loosen: true}" in text) == (sample.kept(own).mean() < keep)
    if keep >= 0.1:
        loose = propose(sample, filters, keep, {}, loosen=True)
        assert (loose.kept & ~sample.kept(own)).any()
        (line,) = (line for line in written(loose, keep=keep).splitlines() if line.startswith("  motion: "))
        assert "was min 7, max 9; drops" in line


def test_a_quantile_that_is_named_is_asked_for_even_if_it_loosens(sample):
    filters = {"motion": {"min": 7, "max": None}}
    proposal = propose(sample, filters, None, {"motion": [0.01, None]}, loosen=False)
    assert proposal.resolved_filters["motion"]["min"] < 7 < np.quantile(sample.values["motion"], 0.5)
    assert "# min q0.01; was min 7; drops" in written(proposal, keep=None)


def test_given_quantiles_are_set_by_themselves_and_the_others_move_around_them(sample):
    given = {"motion": [0.1, None], "sharpness": [0.25, 0.75]}
    alone = propose(sample, FILTERS, None, given)
    assert alone.tail is None
    bounds = alone.resolved_filters
    assert (sample.values["motion"] < bounds["motion"]["min"]).mean() == pytest.approx(0.1, abs=0.001)
    assert bounds["motion"]["max"] == 150 and bounds["consistency"] == FILTERS["consistency"]
    assert alone.sample.passing("sharpness", bounds["sharpness"]).mean() == pytest.approx(0.5, abs=0.002)

    both = propose(sample, FILTERS, 0.3, given)
    assert (
        both.resolved_filters["sharpness"] == bounds["sharpness"]
        and both.resolved_filters["motion"] == bounds["motion"]
    )
    assert 0.3 <= both.kept.mean() <= 0.31


def test_quantiles_of_the_config_become_numbers(sample):
    filters = {**FILTERS, "area": {"min": "q0.5", "max": None}, "motion": {"min": "q0.2", "max": None}}
    proposal = propose(sample, filters, None, {"consistency": [0.1, None]})
    assert proposal.resolved_filters["area"]["min"] == 5000
    assert proposal.resolved_filters["motion"]["min"] == pytest.approx(
        np.quantile(sample.values["motion"], 0.2), rel=0.01
    )
    beside = propose(sample, filters, None, {"motion": [None, 0.9]})
    assert beside.resolved_filters["motion"]["min"] == proposal.resolved_filters["motion"]["min"]


def test_a_share_that_cannot_be_reached_is_told(sample):
    proposal = propose(sample, FILTERS, 0.95, {})
    assert proposal.tail == 0
    assert proposal.kept.mean() == pytest.approx(0.9 * 0.95, abs=0.01)  # those without a score, those too small
    assert "More cannot be kept: the other clips lack a score" in written(proposal, keep=0.95)
    equal = CalibrationSample({"text_area": np.zeros(CLIPS)}, sample.video)
    proposal = propose(equal, {"text_area": FILTERS["text_area"]}, 0.3, {})
    assert proposal.kept.all()
    assert "Wanted: 30.0%. Fewer cannot be kept: the clips left have the same score" in written(proposal)
    steps = CalibrationSample({"text_area": np.arange(CLIPS) // (CLIPS // 5) / 5.0}, sample.video)
    proposal = propose(steps, {"text_area": FILTERS["text_area"]}, 0.3, {})
    assert proposal.kept.mean() == 0.4
    assert f"Wanted: 30.0%. The next step drops several of the {CLIPS} clips at once; a larger sample" in written(
        proposal
    )


def test_a_sample_that_is_too_small_for_the_share_is_told():
    chance = np.random.default_rng(2)
    filters = {name: {"min": 0, "max": 1} for name in ("motion", "brightness", "contrast")}
    sample = CalibrationSample({name: chance.random(5) for name in filters}, np.zeros(5, object))
    proposal = propose(sample, filters, 0.3, {})
    assert proposal.kept.all() and yaml.safe_load(written(proposal)) == {"filters": {}}
    told = "drops several of the 5 clips at once; a larger sample (calibrate.videos) has finer steps"
    assert told in written(proposal)


def test_a_share_that_nothing_can_be_moved_for_is_told(sample):
    told = "Wanted: 30.0%. Nothing to move for it: set a bound of a score under filters"
    given = {"motion": [0.1, None]}
    for filters, quantiles in (({}, {}), ({"area": FILTERS["area"]}, {}), ({"motion": FILTERS["motion"]}, given)):
        assert told in written(propose(sample, filters, 0.3, quantiles))
    assert "Wanted" not in written(propose(sample, FILTERS, None, given), keep=None)


def test_numbers_have_as_few_digits_as_keep_the_same_clips(sample):
    proposal = propose(sample, FILTERS, 0.3, {})
    motion = sample.values["motion"]
    at = proposal.proposed["motion"]["min"]["value"]
    exact = motion[motion >= at].min()
    assert at <= exact and len(repr(at)) < len(repr(float(exact)))
    few = CalibrationSample({"motion": np.array([0.000012, 1234.5678, 99999.0])}, np.arange(3).astype(object))
    bounds = propose(few, {"motion": {"min": 1, "max": 2}}, 1, {}).resolved_filters["motion"]
    assert bounds == {"min": 0.00001, "max": 100000}


def test_the_standard_error_takes_videos_for_what_was_drawn():
    """Against the spread of the share in samples drawn again and again from one set."""
    chance = np.random.default_rng(5)
    level = chance.normal(0, 1, 5000)
    shares, errors = [], []
    for _ in range(300):
        video = np.repeat(chance.choice(5000, 50, replace=False), 20)
        values = level[video] + chance.normal(0, 0.3, 1000)
        proposal = propose(
            CalibrationSample({"motion": values}, video.astype(object)), {"motion": {"min": 0, "max": None}}, None, {}
        )
        shares.append(proposal.kept.mean())
        errors.append(proposal.error)
    assert np.mean(errors) == pytest.approx(np.std(shares), rel=0.1)
    assert np.mean(errors) > 3 * math.sqrt(0.25 / 1000)  # what clips drawn each by itself would have


def test_one_video_has_no_standard_error():
    sample = CalibrationSample({"motion": np.arange(10.0)}, np.zeros(10, object))
    proposal = propose(sample, {"motion": FILTERS["motion"]}, 0.5, {})
    assert proposal.error is None and "give or take" not in written(proposal)


def test_the_file_is_a_config_that_says_what_it_keeps(sample):
    proposal = propose(sample, FILTERS, 0.3, {"motion": [0.00001, 0.99]})
    text = written(proposal)
    values = yaml.safe_load(text)
    assert values == {
        "filters": {name: proposal.resolved_filters[name] for name in ("motion", "consistency", "text_area")}
    }
    config = copy.deepcopy({**CONFIG, "videos": "videos"})
    config["filters"] |= values["filters"]
    check_config(config, ROOT / "config" / "config.schema.yaml")
    kept = int(proposal.kept.sum())
    assert f"from {CLIPS:,} clips of {VIDEOS} videos, drawn with seed 0" in text
    assert f"keep {kept} of them: {kept / CLIPS:.1%}, give or take {proposal.error:.1%}" in text
    (line,) = (line for line in text.splitlines() if line.startswith("  consistency: "))
    out = int((sample.values["consistency"] < values["filters"]["consistency"]["min"]).sum())
    assert line.endswith(f"min q{proposal.tail:.4g}; was min 0.3; drops {out} by itself, {CLIPS // 10} have no score")


def test_the_file_says_how_to_give_it(sample):
    (line,) = (line for line in written(propose(sample, FILTERS, 0.3, {})).splitlines() if "--configfile" in line)
    command = shlex.split(line.removeprefix("#"))
    assert command == ["snakemake", "--profile", "profiles/local", "--configfile", "my.yaml", str(FILE)]


def test_nothing_to_propose_is_an_empty_config(sample):
    assert yaml.safe_load(written(propose(sample, {}, 0.3, {}))) == {"filters": {}}


def test_a_sample_without_clips_or_without_a_score_is_told(tmp_path):
    tables.CLIPS.write(tables.CLIPS.of(tmp_path, "000000"), [])
    with pytest.raises(SetupError, match="no clip of the sample is long enough; raise calibrate.videos"):
        CalibrationSample.read(tmp_path, ["000000"], ["motion"], set())
    clip = {"clip_id": "v_1", "video_id": "v", "unfit": None, "width": 64, "height": 48, "fps": 24.0}
    tables.CLIPS.write(tables.CLIPS.of(tmp_path, "000000"), [clip])
    for value, fine in ((None, False), (2.5, True)):
        tables.MOTION.write(tables.MOTION.of(tmp_path, "000000"), [{"clip_id": "v_1", "motion": value}])
        if fine:
            assert CalibrationSample.read(tmp_path, ["000000"], ["motion"], set()).values["motion"].tolist() == [2.5]
        else:
            with pytest.raises(SetupError, match="no clip of the sample has the score motion; repair what the logs"):
                CalibrationSample.read(tmp_path, ["000000"], ["motion"], set())


# --- the draw ---------------------------------------------------------------------------------------------------------


def drawn(tmp_path: Path, count: int, seed: int = 0) -> list[dict[str, str]]:
    config = {**CONFIG, "videos": str(tmp_path / "videos"), "outdir": str(tmp_path / "out")}
    config["calibrate"] = {**WISHES, "videos": count, "seed": seed}
    write_sheet(config)
    text = (tmp_path / "out" / "calibrate" / "videos.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(200):
        file = tmp_path / "videos" / f"{number % 7}" / f"ü {number}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_the_draw_depends_on_the_seed_and_a_larger_one_holds_the_smaller(folder):
    small, large, other = (drawn(folder, *draw) for draw in ((20,), (50,), (20, 1)))
    assert len(small) == len({video["id"] for video in small}) == 20 and len(large) == 50
    assert {video["id"] for video in small} < {video["id"] for video in large}
    assert small != other and small == drawn(folder, 20)
    assert len({Path(video["path"]).parent for video in large}) == 7
    assert all(Path(video["path"]).is_file() for video in large)
    assert len(drawn(folder, 1000)) == 200


def test_a_new_video_takes_the_place_of_at_most_one(folder):
    before = {video["id"] for video in drawn(folder, 50)}
    (folder / "videos" / "new.mp4").touch()
    assert len(before - {video["id"] for video in drawn(folder, 50)}) <= 1


def test_without_videos_or_a_wish_there_is_one_clear_line(tmp_path, folder):
    with pytest.raises(SetupError, match="^videos: .*none does not exist; name a folder"):
        write_sheet({**CONFIG, "videos": str(tmp_path / "none")})
    with pytest.raises(SetupError, match=r"^calibrate: nothing is asked for; set calibrate\.keep"):
        write_sheet({**CONFIG, "videos": str(folder), "calibrate": {**WISHES, "keep": None}})


def test_a_sample_s_run_is_a_valid_config_without_models_of_language(tmp_path):
    config = {
        **CONFIG,
        "videos": "videos",
        "outdir": str(tmp_path),
        "alignment": {**CONFIG["alignment"], "backend": "clip"},
    }
    config["filters"] = {**CONFIG["filters"], "alignment": {"min": 0.2, "max": None}}
    config["caption"] = {**CONFIG["caption"], "backend": "vllm"}
    config["resources"] = {**CONFIG["resources"], "caption": {**CONFIG["resources"]["caption"], "gpu": 4}}
    made = sample_config(config)
    check_config(made, ROOT / "config" / "config.schema.yaml")
    assert (made["caption"]["backend"], made["rewrite"]["backend"], made["cascade"]) == ("describe", "rules", False)
    assert (
        made["resources"]["caption"]["gpu"] == "auto" and made["resources"]["decode"] == CONFIG["resources"]["decode"]
    )
    assert Path(made["outdir"]) == tmp_path / "calibrate" and made["videos_per_shard"] == 5
    assert sample_config({**config, "videos": None})["videos"] is None
