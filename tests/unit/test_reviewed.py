"""A person's decisions in the dataset: what they drop, whose text stands, and which of them cannot be followed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from made_exports import NO_CHECKS, Clip, Export

from clipmill.base.errors import SetupError
from clipmill.dataset.reviewed import source_of_text
from clipmill.dataset.summary import as_text
from clipmill.filters import reasons
from clipmill.filters.shard import with_good_text
from clipmill.filters.verdict import Late
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.review import Decision, clip_key, read_review, state_of, write_review

SEEN = clip_key({"source_key": None, "start_frame": None, "end_frame": None})  # made clips have none of these
FORMATS = ("jsonl", "hf-videofolder", "diffusion-pipe", "webdataset")


def decided(clip: Clip | str, decision=None, star=False, text=None, key=SEEN) -> Decision:
    clip_id = clip if isinstance(clip, str) else clip.id
    return Decision(clip_id, decision, star, text, key, "2026-11-30T22:30:00Z")


CLIPS = [Clip(video, at) for video in ("a", "b") for at in (0, 4000)]
FIRST, SECOND, THIRD, FOURTH = CLIPS


def reviewed(tmp_path, *decisions: Decision, require=None, clips=CLIPS, **settings) -> Export:
    review = {"decisions": {one.clip_id: one for one in decisions}, "require": require}
    return Export(tmp_path, clips, {"review": review, **settings})


def summary(export: Export) -> dict:
    return json.loads(Paths(export.outdir).summary.read_text(encoding="utf-8"))


def errors(export: Export) -> list[dict]:
    with open(Paths(export.outdir).errors, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdicts(export: Export) -> dict[str, dict]:
    return {row["clip_id"]: row for row in tables.FINAL_VERDICTS.rows(Paths(export.outdir).final_verdicts)}


def test_what_a_person_drops_leaves_and_all_else_stays(tmp_path):
    export = Export(tmp_path, CLIPS)
    export.run("jsonl", validation_share=0.5)
    before = export.rows()
    review = [decided(FIRST, "drop"), decided(THIRD, "keep"), decided(FOURTH, star=True)]
    export = reviewed(tmp_path, *review)
    export.run("jsonl", validation_share=0.5)
    assert export.rows() == {clip_id: row for clip_id, row in before.items() if clip_id != FIRST.id}
    assert verdicts(export)[FIRST.id]["reason"] == "reviewed out" == str(reasons.from_words("reviewed out"))
    assert summary(export)["dropped"] == {"reviewed out": 1}
    said = as_text(summary(export), tmp_path)
    assert "review   3 clips looked at: 2 kept, 1 reviewed out, 1 with a star, 0 texts edited\n" in said
    card = (export.dataset / "README.md").read_text()
    assert "A person looked at 2 of these 3 clips, and threw out 1 others." in card
    assert errors(export) == []


def test_a_star_may_be_required(tmp_path):
    export = reviewed(
        tmp_path, decided(FIRST, star=True), decided(SECOND, "drop", star=True), decided(THIRD, "keep"), require="star"
    )
    export.run("jsonl")
    assert {clip_id: row["reason"] for clip_id, row in verdicts(export).items()} == {
        FIRST.id: None,
        SECOND.id: "reviewed out",
        THIRD.id: "not starred",
        FOURTH.id: "not starred",
    }
    assert "| a person's star | must have one | |" in (export.dataset / "README.md").read_text()


def test_a_person_s_text_wins_in_every_format_over_all_captions_of_models(tmp_path):
    clips = [replace(FIRST, short="A dog."), SECOND]
    export = reviewed(tmp_path, decided(FIRST, text="A cat yawns."), clips=clips)
    dataset = export.run(*FORMATS, captions=["short", "caption", "text"], text_prefix="sks, ")
    row, other = export.rows()[FIRST.id], export.rows()[SECOND.id]
    assert (row["text"], row["text_source"], other["text_source"]) == ("sks, A cat yawns.", "reviewed", "model")
    assert row["caption"] == FIRST.caption  # of the model, and still there
    assert not [name for name in ("rewrite_model", "rewritten", "refused_since", "alignment") if row[name] is not None]
    lines = [json.loads(line) for line in (dataset / "hf-videofolder/train/metadata.jsonl").read_text().splitlines()]
    assert sum((line["text"], line["captions"]) == (row["text"], [row["text"]]) for line in lines) == 1
    for path in dataset.rglob("*"):
        if path.suffix in (".jsonl", ".json", ".txt") and path.name != "metadata.jsonl":
            assert "A dog." not in path.read_text()
    assert summary(export)["review"]["texts"] == 1
    card = (dataset / "README.md").read_text()
    assert "The person wrote the texts of 1\nclips" in card
    assert 'Each text has "sks," before it, once.' in card


def test_a_person_s_text_is_not_judged_and_a_dropped_clip_is_dropped_whatever_its_text(tmp_path):
    checks = {**NO_CHECKS, "min_words": 5, "same_text": 1}
    late = {"checks": checks, "filters": {"alignment": {"min": 0.5, "max": None}}, "order": ["alignment"]}
    clips = [
        replace(clip, text=text)
        for clip, text in zip(CLIPS, ("Cat.", "Cat.", "Cat.", "A cat looks out of the window."), strict=True)
    ]
    texts = [decided(FIRST, text="Two."), decided(SECOND, text="Two."), decided(THIRD, "drop", text="Two.")]
    export = reviewed(tmp_path, *texts, clips=clips, late=late)
    export.run("jsonl")
    assert {clip_id: row["reason"] for clip_id, row in verdicts(export).items()} == {
        FIRST.id: None,
        SECOND.id: None,
        THIRD.id: "reviewed out",
        FOURTH.id: "alignment missing",
    }


def test_decisions_about_other_pictures_or_no_clip_are_reported_and_do_nothing(tmp_path, caplog):
    old = [
        decided(FIRST, "drop", key="of other pictures"),
        decided("a_99999999-99999999", "drop"),
        decided("gone_1-2", text="T"),
    ]
    export = reviewed(tmp_path, *old, decided(THIRD, "drop"))
    export.run("jsonl")
    assert export.rows().keys() == {FIRST.id, SECOND.id, FOURTH.id}
    found = [(row["video"], row["clip_id"], row["step"], row["kind"]) for row in errors(export)]
    assert found == [
        ("a.mp4", FIRST.id, "review", "clip_changed"),
        ("a", "a_99999999-99999999", "review", "unknown_clip"),
        ("gone", "gone_1-2", "review", "unknown_clip"),
    ]
    assert all("look at" in row["message"] for row in errors(export))
    section = summary(export)["review"]
    assert section == {
        "looked_at": 1,
        "kept": 0,
        "reviewed_out": 1,
        "starred": 0,
        "texts": 0,
        "changed": 1,
        "unknown": 2,
    }
    said = as_text(summary(export), tmp_path)
    assert "     1 decision of a clip that has changed since: see errors.csv\n" in said
    assert "     2 decisions of clips that are not there: see errors.csv\n" in said
    assert [record.getMessage() for record in caplog.records if "decision" in record.getMessage()] == [
        "1 decision of a clip that has changed since: see errors.csv",
        "2 decisions of clips that are not there: see errors.csv",
    ]


def test_without_a_file_of_decisions_nothing_is_said_of_a_review(tmp_path):
    export = Export(tmp_path, CLIPS)
    export.run("jsonl")
    assert "review" not in summary(export) and "person" not in (export.dataset / "README.md").read_text()
    empty = reviewed(tmp_path)
    empty.run("jsonl")
    assert "A person looked at 0 of these 4 clips" in (empty.dataset / "README.md").read_text()


@pytest.mark.parametrize(
    ("caption", "rewrite", "rewritten", "source"),
    [
        ("describe", "rules", True, "template"),
        ("given", "rules", True, "given"),
        ("vllm", "rules", True, "model"),
        ("vllm", "openai", True, "rewritten"),
        ("given", "vllm", True, "rewritten"),
        ("given", "vllm", False, "given"),
        ("openai", "vllm", False, "model"),
    ],
)
def test_who_wrote_a_text(caption, rewrite, rewritten, source):
    backends = {"caption": caption, "rewrite": rewrite}
    assert source_of_text({"text": "A cat.", "rewritten": rewritten}, backends) == source
    assert source_of_text({"text": None, "rewritten": None}, backends) is None


def test_a_clip_with_a_person_s_text_is_cut_whatever_the_model_wrote():
    clips = [{"clip_id": name, "source_key": "s", "start_frame": 0, "end_frame": 9} for name in "abcde"]
    key = clip_key(clips[0])
    rewrites = [{"clip_id": name, "text": None if name == "b" else "Cat."} for name in "abcd"]
    alignment = [{"clip_id": name, "alignment": 0.9 if name == "a" else 0.1} for name in "acd"]
    late = Late(NO_CHECKS, {"alignment": {"min": 0.5, "max": None}}, ["alignment"])
    decisions = {name: decided(name, text="A cat.", key=key) for name in "bce"} | {"a": decided("a", "drop", key=key)}
    decisions["d"] = decided("d", text="A cat.", key="another")
    # a: dropped by a person, which costs nothing to take back; d changed; e never came to be captioned
    assert [clip["clip_id"] for clip in with_good_text(clips, rewrites, alignment, late, decisions)] == ["a", "b", "c"]
    assert [clip["clip_id"] for clip in with_good_text(clips, rewrites, alignment, late, {})] == ["a"]


def test_the_state_of_decisions_follows_what_they_say_and_not_when(tmp_path):
    one, two = decided("a", "drop"), decided("b", star=True)
    state = state_of({"a": one, "b": two})
    assert state == state_of({"b": replace(two, at="2027-01-01T00:00:00Z"), "a": one})
    assert len({state, state_of({"a": one}), state_of({"a": one, "b": replace(two, star=False, decision="keep")})}) == 3
    path = tmp_path / "work" / "decisions.jsonl"
    write_review(path, {"b": two, "a": one})
    assert read_review(path) == {"a": one, "b": two}
    before = path.stat().st_mtime_ns
    write_review(path, {"a": one, "b": two})
    assert path.stat().st_mtime_ns == before
    with pytest.raises(SetupError):
        read_review(tmp_path / "none")
