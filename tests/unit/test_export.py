"""The dataset of made tables: what filters on alignment drop after all others, and the list of models."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipmill.base.errors import SetupError
from clipmill.dataset import export
from clipmill.dataset.export import export_dataset, list_models
from clipmill.dataset.reviewed import Review
from clipmill.filters.verdict import Judgement, Late
from clipmill.store import tables
from clipmill.store.clip_files import state_of
from clipmill.store.layout import Paths
from default_config import CONFIG

SHARD = "000000"
BACKENDS = {"caption": "describe", "rewrite": "rules", "alignment": "clip"}
ORDER = ["alignment", "alignment_margin"]
FINE = {"alignment": 0.3, "alignment_margin": 0.1}
TEXT_CHECKS = CONFIG["text_checks"]
# Clip by clip: whether the filters kept it, then what the later steps said; cut clips have a file.
CLIPS: dict[str, dict[str, Any]] = {
    "good": {"alignment": 0.3, "alignment_margin": 0.1, "cut": True},
    "exact": {"alignment": 0.2, "alignment_margin": 0.0, "cut": True},
    "low": {"alignment": 0.1999, "alignment_margin": 0.1},
    "lower": {"alignment": 0.1, "alignment_margin": -0.5},
    "alone": {"alignment": 0.3},
    "negative": {"alignment": 0.3, "alignment_margin": -0.01},
    "unscored": {"error_kind": "bad_frames"},
    "uncut": {"alignment": 0.3, "alignment_margin": 0.1, "cut": False},
    "untold": {"caption": None, "text": None},
    "unwritten": {"text": None},
    "cut off": {"caption": "A cat that looks at", "caption_whole": False, "text": None},
    "refused": {"caption": "I'm sorry, but I cannot see the video.", "text": None},
    "short": {"text": "Cat."},
    "common 1": {"text": "A dog  sleeps on a red sofa.", "cut": True, **FINE},
    "common 2": {"text": "A dog sleeps on a red sofa.", "cut": True, **FINE},
    "common 3": {"text": "a dog sleeps on a red SOFA.", "cut": True, **FINE},
    "out": {"kept": False, "reason": "motion low"},
}
LATE = {
    "low": "alignment low",
    "lower": "alignment low",
    "alone": "alignment_margin missing",
    "negative": "alignment_margin low",
    "unscored": "alignment missing",
}
OTHERWISE = {
    "uncut": "cut failed",
    "untold": "caption failed",
    "unwritten": "rewrite failed",
    "cut off": "caption cut off",
    "refused": "caption refusal",
    "short": "text too short",
    "common 1": "text on many clips",
    "common 2": "text on many clips",
    "common 3": "text on many clips",
    "out": "motion low",
}


def bound(low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"min": low, "max": high}


def late(alignment: dict, margin: dict, order: list[str] = ORDER) -> dict[str, Any]:
    filters = {"alignment": alignment, "alignment_margin": margin}
    checks = {**TEXT_CHECKS, "same_text": 2}
    return {
        "backends": BACKENDS,
        "thresholds": {},
        "late": {"checks": checks, "filters": filters, "order": order},
        "filters": filters,
        "export": CONFIG["export"],
        "fps": None,
    }


class Made:
    """An output folder with the tables of one shard, of one video with the clips of `clips`."""

    def __init__(self, outdir: Path, clips: dict[str, dict[str, Any]]):
        self.outdir = outdir
        index = Paths(outdir)
        index.index.mkdir(parents=True)
        index.removed.write_text("")
        index.problems.write_text("")
        video = {"video_id": "v", "name": "v.mp4", "seconds": 60.0, "width": 64, "height": 48, "fps": 10.0}
        rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables.ALL}
        rows["videos"].append(video)
        for number, (clip_id, said) in enumerate(clips.items()):
            clip = {"clip_id": clip_id, "video_id": "v", "scene": number, "piece": 0, "seconds": 4.0}
            kept = said.get("kept", True)
            rows["clips"].append(clip)
            verdict = {**clip, "name": "v.mp4", "fps": 10.0, "kept": kept, "reason": said.get("reason")}
            rows["verdicts"].append(verdict)
            if not kept:
                continue
            text = f"The cat of clip {clip_id} looks out of the window."
            caption = {"caption": said.get("caption", text), "caption_whole": said.get("caption_whole")}
            rows["captions"].append({"clip_id": clip_id, "shard": SHARD, **caption})
            rows["rewrites"].append({"clip_id": clip_id, "shard": SHARD, "text": said.get("text", text)})
            scores = {name: said[name] for name in ("alignment", "alignment_margin", "error_kind") if name in said}
            rows["alignment"].append({"clip_id": clip_id, **scores})
            if said.get("cut"):
                rows["cuts"].append(self._file(clip_id))
        for table in tables.ALL:
            if "shard>" in table.path and "<video>" not in table.path and "<backend>" not in table.path:
                table.write(table.of(outdir, SHARD), rows[table.name])

    def _file(self, clip_id: str) -> dict[str, Any]:
        path = self.outdir / "work" / "clip_files" / SHARD / f"{clip_id}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip_id.encode())
        return {
            "clip_id": clip_id,
            "file": f"{SHARD}/{clip_id}.mp4",
            "cut_method": "copy",
            "cut_seconds": 4.0,
            "cut_frames": 40,
            "cut_width": 64,
            "cut_height": 48,
            "cut_bytes": len(clip_id),
        }

    def export(self, settings: dict[str, Any], *checks: dict[str, Any]) -> dict[str, str | None]:
        """Export, and return the reason against each clip."""
        self.summary = export_dataset(self.outdir, {SHARD: [SHARD]}, settings, list(checks))
        rows = pq.read_table(self.outdir / "verdicts.parquet").to_pylist()
        assert all(row["kept"] == (row["reason"] is None) for row in rows)
        kept = {f"clips/v/{row['clip_id']}.mp4" for row in rows if row["kept"]}
        assert {
            entry["file_path"] for entry in json.loads((self.outdir / "dataset" / "train.json").read_text())
        } == kept
        assert {f"clips/v/{path.name}" for path in (self.outdir / "dataset" / "clips" / "v").iterdir()} == kept
        return {row["clip_id"]: row["reason"] for row in rows}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path, CLIPS)


def test_late_filters_come_after_all_others_and_before_the_cut(made):
    reasons = made.export(late(bound(0.2), bound(0)))
    assert reasons == {"good": None, "exact": None, **LATE, **OTHERWISE}
    assert made.summary["clips"] == {"found": len(CLIPS), "kept": 2}
    assert made.summary["dropped"]["alignment low"] == 2
    assert made.summary["settings"] == BACKENDS
    rows = {row["clip_id"]: row for row in pq.read_table(made.outdir / "dataset" / "metadata.parquet").to_pylist()}
    assert {name: (row["alignment"], row["alignment_margin"]) for name, row in rows.items()} == {
        "good": (0.3, 0.1),
        "exact": (0.2, 0.0),
    }


def test_the_order_of_the_late_filters_decides_the_reason(made):
    reasons = made.export(late(bound(0.2), bound(0), ORDER[::-1]))
    assert reasons["lower"] == "alignment_margin low"
    assert reasons["unscored"] == "alignment_margin missing"
    assert reasons["low"] == "alignment low"


def test_a_greatest_value_is_a_bound_too(made):
    assert made.export(late(bound(None, 0.25), bound()))["good"] == "alignment high"


def test_without_bounds_alignment_drops_nothing(tmp_path):
    """Nor where no score was made."""
    clips = {name: {**said, "cut": True} if name in LATE else said for name, said in CLIPS.items()}
    clips["none"] = {"cut": True}
    reasons = Made(tmp_path, clips).export(late(bound(), bound()))
    assert reasons == {**dict.fromkeys(("good", "exact", "none", *LATE)), **OTHERWISE}


def test_a_clip_that_a_looser_bound_lets_in_must_have_been_cut(made):
    """`cut_clips` has the same bounds, so it has run before."""
    made.export(late(bound(0.2), bound(0)))
    assert made.export(late(bound(0.1), bound(0)))["low"] == "cut failed"


def test_errors_of_alignment_are_listed(made):
    made.export(late(bound(0.2), bound(0)))
    assert made.summary["errors"] == [{"step": "alignment", "kind": "bad_frames", "count": 1}]


@pytest.mark.parametrize("with_caption", [False, True])
def test_a_clip_that_was_not_asked_has_no_answer(tmp_path, with_caption):
    made = Made(tmp_path, {name: CLIPS[name] for name in ("good", "exact", "out")})
    asked = tables.with_answers(tables.CAPTIONS if with_caption else tables.JUDGEMENTS, ["judge_logo"])
    captions = tables.CAPTIONS.rows(tables.CAPTIONS.of(tmp_path, SHARD))
    answers = {"good": "no", "exact": "yes"}
    rows = captions if with_caption else [{"clip_id": row["clip_id"], "shard": SHARD} for row in captions]
    asked.write(asked.of(tmp_path, SHARD), [{**row, "judge_logo": answers[row["clip_id"]]} for row in rows])
    policy = [{"column": "judge_logo", "question": "A logo?", "drop": "yes", "unsure": "keep"}]
    settings = late(bound(), bound()) | {"judgement": {"policy": policy, "with_caption": with_caption}}
    settings["backends"] = BACKENDS | ({} if with_caption else {"judge": "openai"})
    assert made.export(settings) == {"good": None, "exact": "judge_logo yes", "out": "motion low"}
    found = pq.read_table(tmp_path / "verdicts.parquet").to_pylist()
    assert {row["clip_id"]: row["judge_logo"] for row in found} == {**answers, "out": None}
    assert made.summary["answers"]["judge_logo"]["counts"] == {"yes": 1, "no": 1, "unsure": 0}


def test_a_verdict_has_the_columns_of_all_later_steps(tmp_path):
    """Also of a clip that came to none of them: whoever reads a verdict need not know how far its clip came."""
    Made(tmp_path, {"out": CLIPS["out"]})
    judgement = Judgement([{"column": "judge_logo"}], with_caption=False)
    known = export.Tables({**BACKENDS, "judge": "openai"}, judgement)
    texts = {table.name: table.rows(table.of(tmp_path, SHARD)) for table in known.of_groups.values()}
    shard = export.Shard.read(tmp_path, SHARD, texts, set(), known, fingerprints=False)
    (row,) = shard.verdicts(Late(**late(bound(), bound())["late"]), set(), {}, Review(), BACKENDS)
    assert row.keys() >= set(known.final_verdicts.schema.names)


# --- the list of models -----------------------------------------------------------------------------------------------


def model(name: str) -> dict[str, str]:
    return {"model": name, "revision": f"{name} 1", "licence": "MIT"}


CHECKS = [
    {"step": "text", "backend": "rapidocr", "models": [model("detector")]},
    {"step": "aesthetic", "backend": "laion", "models": [model("clip"), model("head")]},
    {"step": "consistency", "backend": "histogram", "models": []},
    {"step": "alignment", "backend": "clip", "models": [model("clip")]},
]


def test_models_are_listed_with_their_columns_in_the_order_of_the_checks():
    assert list_models(CHECKS) == [
        {
            "step": "text",
            "backend": "rapidocr",
            **model("detector"),
            "columns": ["text_area", "text_area_frames", "text_static_area", "text_scene_area"],
        },
        {"step": "aesthetic", "backend": "laion", **model("clip"), "columns": ["aesthetic", "aesthetic_frames"]},
        {"step": "aesthetic", "backend": "laion", **model("head"), "columns": ["aesthetic", "aesthetic_frames"]},
        {"step": "alignment", "backend": "clip", **model("clip"), "columns": ["alignment", "alignment_margin"]},
    ]
    assert list_models([]) == []


@pytest.mark.parametrize("step", ["text", "aesthetic", "consistency", "caption", "rewrite", "alignment"])
def test_the_columns_of_every_step_are_in_the_metadata(step):
    (row,) = list_models([{"step": step, "backend": "x", "models": [model("m")]}])
    assert row["columns"]
    assert set(row["columns"]) <= set(tables.METADATA.schema.names)


def test_the_list_is_written_beside_the_summary(made):
    made.export(late(bound(0.2), bound(0)), *CHECKS)
    assert json.loads((made.outdir / "models.json").read_text(encoding="utf-8")) == list_models(CHECKS)


def test_a_lost_clip_file_leaves_what_was_exported(made):
    made.export(late(bound(0.2), bound(0)))
    before = (made.outdir / "dataset" / "train.json").read_bytes()
    (made.outdir / "work" / "clip_files" / SHARD / "good.mp4").unlink()
    with pytest.raises(SetupError, match=r"good\.mp4: the clip file is missing or has changed; run again with"):
        made.export(late(bound(0.2), bound(0)))
    assert (made.outdir / "dataset" / "train.json").read_bytes() == before


def test_a_lost_clip_file_is_restored_from_the_dataset(made):
    table = tables.CUTS.of(made.outdir, SHARD)
    sources = made.outdir / "work" / "clip_files"
    rows = [{**row, **state_of(sources / row["file"])} for row in tables.CUTS.rows(table)]
    tables.CUTS.write(table, rows)
    made.export(late(bound(0.2), bound(0)))
    before = {path: path.read_bytes() for path in sources.rglob("*.mp4")}
    (sources / SHARD / "good.mp4").unlink()
    made.export(late(bound(0.2), bound(0)))
    assert {path: path.read_bytes() for path in sources.rglob("*.mp4")} == before
    (sources / SHARD / "good.mp4").write_bytes(b"evil")  # with the same number of bytes, and the link of both
    with pytest.raises(SetupError, match="missing or has changed"):
        made.export(late(bound(0.2), bound(0)))


@pytest.mark.parametrize("sizes", [(1,) * 7, (7,), (3, 4), (2, 0, 5), (6, 1)])
def test_row_groups_do_not_tell_how_many_rows_came_at_a_time(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(export, "ROWS_TOGETHER", 3)
    numbers = pa.table({"number": pa.array(range(7), pa.int64())})
    written = {}
    for name, parts in (("these", sizes), ("one", (1,) * 7)):
        with pq.ParquetWriter(tmp_path / name, numbers.schema) as file, closing(export._RowGroups(file)) as groups:
            for first, count in zip(itertools.accumulate((0, *parts)), parts, strict=False):
                groups.write(numbers.slice(first, count))
        written[name] = (tmp_path / name).read_bytes()
    found = pq.ParquetFile(tmp_path / "these")
    assert [found.metadata.row_group(group).num_rows for group in range(found.num_row_groups)] == [3, 3, 1]
    assert found.read().equals(numbers)
    assert written["these"] == written["one"]
