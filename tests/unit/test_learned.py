"""From the tables of a run and a file of decisions to a config file and a page."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from clipmill.base.errors import SetupError
from clipmill.config import check_config
from clipmill.filters import learned as texts
from clipmill.filters.learn import MAX, MIN, Decided
from clipmill.filters.learned import as_yaml, learn, read_decided, scores_of
from clipmill.report.learned import write_page
from clipmill.store import tables
from clipmill.store.review import Decision, clip_key
from default_config import CONFIG

SHARDS = ("000000", "000001")
FILE = Path("my results/calibrate/learned.yaml")
AT = "2026-11-30T22:30:00Z"


def decided(seed: int = 1) -> Decided:
    """A person keeps clips of motion from 2 to 8 of 10 that are aesthetic from 4 on, but for one slip in twenty."""
    chance = np.random.default_rng(seed)
    values = {name: np.round(10 * chance.random(600), 4) for name in ("motion", "aesthetic", "brightness", "text_area")}
    values["text_area"] = np.full(600, np.nan)
    kept = (values["motion"] >= 2) & (values["motion"] <= 8) & (values["aesthetic"] >= 4)
    return Decided(values, kept ^ (chance.random(600) < 0.05), np.repeat(np.arange(60), 10).astype(object))


def test_bounds_become_stricter_and_what_they_were_is_said():
    filters = {"motion": {MIN: 1, MAX: None}, "aesthetic": {MIN: 5.5, MAX: None}, "brightness": {MIN: 0.5, MAX: 9}}
    found = learn(decided(), filters, 0.9, False, 0)
    assert found.informing == ["motion", "aesthetic"]
    motion = found.proposed["motion"]
    assert motion[MIN] == pytest.approx(2, abs=0.5) and motion[MAX] == pytest.approx(8, abs=0.5)
    assert found.kept_back["aesthetic"][MIN] == pytest.approx(4, abs=0.5)  # looser than the config: not taken
    assert found.proposed.get("aesthetic", filters["aesthetic"])[MIN] >= 5.5
    assert found.scores["motion"].bounds.keys() == {MIN, MAX} and found.scores["aesthetic"].bounds.keys() == {MIN}
    text = as_yaml(found, FILE)
    values = yaml.safe_load(text)["filters"]
    assert values["motion"] == motion and "brightness" not in values
    assert "was min 1, max null; drops" in text
    assert "These scores say nothing about your decisions: brightness.\n" in text
    assert "No clip has the score: text_area.\n" in text
    assert "would be looser than your bound, which stays (calibrate.loosen)." in text
    assert "'my results/calibrate/learned.yaml'" in text
    config = copy.deepcopy({**CONFIG, "videos": "videos"})
    config["filters"] |= values
    check_config(config, Path(__file__).resolve().parents[2] / "config" / "config.schema.yaml")


def test_bounds_loosen_only_if_they_are_asked_to_and_only_as_far_as_clips_were_kept():
    filters = {"motion": {MIN: 3, MAX: 6}, "aesthetic": {MIN: None, MAX: None}}
    made = decided()
    strict, loose = (learn(made, filters, 0.85, loosen, 0) for loosen in (False, True))
    assert strict.proposed.get("motion", filters["motion"])[MIN] >= 3
    assert loose.proposed["motion"][MIN] == pytest.approx(2, abs=0.6)
    assert loose.proposed["motion"][MAX] == pytest.approx(8, abs=0.6)
    assert loose.together.kept > 1.3 * strict.together.kept
    assert loose.kept_back == {}
    # Every dropped clip of motion below 3 is unknown here, so nothing looser than the clips that there are is proposed.
    few = made.values["motion"] >= 2.5
    part = Decided({name: values[few] for name, values in made.values.items()}, made.kept[few], made.video[few])
    low = learn(part, {"motion": {MIN: 3, MAX: None}}, 0.5, True, 0).proposed["motion"][MIN]
    assert 2.4 <= low <= 3


def test_a_share_that_cannot_be_reached_is_said():
    made = decided()
    nothing = Decided({"brightness": made.values["brightness"]}, made.kept, made.video)
    found = learn(nothing, {"brightness": {MIN: None, MAX: None}}, 0.99, False, 0)
    text = as_yaml(found, FILE)
    assert "less than was wanted" in text and yaml.safe_load(text) == {"filters": {}}


def test_the_page_shows_each_score_and_old_and_new_bounds(tmp_path):
    found = learn(decided(), {"motion": {MIN: 1, MAX: None}}, 0.9, False, 0)
    write_page(found, tmp_path / "learned.html")
    page = (tmp_path / "learned.html").read_text(encoding="utf-8")
    assert "2 scores of 4 say what you keep" in page
    assert "<td>min 1</td>" in page
    assert page.count("says nothing</span>") == 2 and page.count("<svg") == 3
    assert "<script" not in page and "default-src 'none'" in page
    for sentence in texts.what_is_learned(found):
        assert sentence in page.replace("<code>", "`").replace("</code>", "`")


def clips_of(shard: str) -> list[dict]:
    videos = [f"v{shard[-1]}{number}" for number in range(4)]
    return [
        {"clip_id": f"{video}_{n}", "video_id": video, "source_key": video, "start_frame": n, "end_frame": n + 9}
        for video in videos
        for n in range(5)
    ]


def make_tables(outdir: Path) -> list[dict]:
    clips = []
    for shard in SHARDS:
        own = clips_of(shard)
        tables.CLIPS.write(tables.CLIPS.of(outdir, shard), own)
        scores = [
            {"clip_id": one["clip_id"], "video_id": one["video_id"], "motion": float(n), "kept": True}
            for n, one in enumerate(own)
        ]
        tables.VERDICTS.write(tables.VERDICTS.of(outdir, shard), scores)
        clips += own
    tables.ALIGNMENT.write(tables.ALIGNMENT.of(outdir, "000000"), [{"clip_id": "v00_1", "alignment": 0.25}])
    return clips


def decisions(clips: list[dict], **what) -> dict[str, Decision]:
    usual = {"decision": None, "star": False, "text": None, "at": AT}
    return {
        one["clip_id"]: Decision(**{"clip_id": one["clip_id"], "clip": clip_key(one), **usual, **what}) for one in clips
    }


def test_a_star_and_an_edited_text_keep_a_clip_and_old_decisions_do_not_count(tmp_path):
    clips = make_tables(tmp_path)
    made = (
        decisions(clips[:6], star=True)
        | decisions(clips[6:12], text="A cat.")
        | decisions(clips[12:15], decision="keep")
    )
    made |= decisions(clips[15:35], decision="drop", star=True)
    made |= decisions(clips[35:], decision="keep", clip="of other pictures")
    found = read_decided(tmp_path, SHARDS, ["motion", "alignment"], made, {"v03"})
    assert (found.kept.sum(), (~found.kept).sum()) == (15, 15)  # those of v03 were dropped, and have gone
    assert found.values["motion"][:3].tolist() == [0.0, 1.0, 2.0]
    assert np.isfinite(found.values["alignment"]).sum() == 1 and found.values["alignment"][1] == 0.25
    assert "v03" not in found.video


def test_too_few_decisions_are_refused_with_what_to_do(tmp_path):
    clips = make_tables(tmp_path)
    made = decisions(clips[:12], decision="drop") | decisions(clips[12:15], decision="keep")
    with pytest.raises(
        SetupError, match=r"3 clips of this run kept .* and 12 dropped, of 3 videos; it needs 10 of each"
    ):
        read_decided(tmp_path, SHARDS, ["motion"], made, set())


def test_only_scores_are_learned_from():
    names = scores_of(["area", "fps", "transfer", "motion", "bits_per_pixel", "classifier_nsfw"])
    assert names == ["motion", "classifier_nsfw", "alignment", "alignment_margin"]
