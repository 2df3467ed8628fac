"""A config that cannot be right ends the start with one line for each problem: the key, the value and the choices."""

from __future__ import annotations

import pytest
from runs import REPOSITORY, Run, call, explain, snakemake

EMBEDDED = {
    "text": {"backend": "rapidocr"},
    "aesthetic": {"backend": "classic"},
    "consistency": {"backend": "histogram"},
    "caption": {"backend": "describe"},
    "rewrite": {"backend": "rules"},
    "alignment": {"backend": "none"},
}
PRESET = REPOSITORY / "config" / "presets" / "easyanimate.yaml"


NAMED = {"openai": {"model": "m"}}


@pytest.fixture
def refused(run: Run):
    """Starts a run with a config that is refused before anything is looked for, and returns what it says."""
    run.video("good.mp4", speed=0)

    def start(config: dict):
        outcome = run.run(config=config)
        assert not run.outdir.exists()
        return outcome

    return start


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"filters": {"motoin": {"min": 1}}}, ("filters.motoin", "unknown key", "did you mean `motion`?", "text_area")),
        ({"cut": {"crf": "low"}}, ("cut.crf", "'low'", "a whole number")),
        ({"decode": {"sample_quality": 101}}, ("decode.sample_quality", "101", "at most 100")),
        ({"split": {"detector": "contents"}}, ("split.detector", "'contents'", "combined, content, adaptive")),
        ({"aesthetic": {"backend": "beauty"}}, ("aesthetic.backend", "`beauty`", "not known", "classic, siglip-v2.5")),
        ({"filters": {"alignment": {"min": 0.2}}}, ("filters.alignment", "alignment.backend", "bounds to null")),
        ({"caption": {"backend": "vlm"}}, ("caption.backend", "`vlm`", "not known", "describe, given, vllm, openai")),
        ({"rewrite": {"backend": "openai"}}, ("rewrite.openai.model", "is not set", "as the server calls it")),
        (
            {"rewrite": {"backend": "openai", **NAMED, "prompt": "no"}},
            ("rewrite.prompt", "no.txt", "caption, caption_"),
        ),
        ({"outdir": "out {shard}"}, ("outdir", "'out {shard}'", "brace", "name another folder")),
        ({"videos_per_shard": 0}, ("videos_per_shard", "0", "auto")),
    ],
)
def test_one_problem_is_one_line(refused, config, parts):
    outcome = refused(config)
    assert explain(outcome, "config:", *parts)
    assert outcome.output.count("config:") == 1


def test_all_problems_are_named_at_once(refused):
    outcome = refused({"cascde": True, "split": {"max_seconds": 0}, "cut": {"mode": "fast"}})
    assert explain(outcome, "cascde", "did you mean `cascade`?")
    assert explain(outcome, "split.max_seconds", "0", "more than 0")
    assert explain(outcome, "cut.mode", "'fast'", "auto, copy, reencode")
    assert outcome.output.count("config:") == 3


def test_bounds_and_lengths_that_let_nothing_through_are_named(refused):
    outcome = refused({"filters": {"motion": {"min": 9, "max": 3}}, "split": {"min_seconds": 11}})
    assert explain(outcome, "filters.motion", "9", "3", "no clip could pass")
    assert explain(outcome, "split.min_seconds", "11", "split.max_seconds 10")


def test_without_videos_the_message_says_how_to_name_them(tmp_path):
    outcome = call([*snakemake(), "--config", "outdir=out"], tmp_path)
    assert explain(outcome, "`videos` is not set", "--config videos=")
    assert not (tmp_path / "out").exists()


def test_the_preset_runs_with_embedded_backends_over_it(run: Run):
    """Its own thresholds hold where the file after it says nothing else."""
    run.settings = {**EMBEDDED, "filters": {"area": {"min": None}, "alignment": {"min": None}}}
    run.video("pans.mp4", seconds=4, speed=20)  # 10 pixels in half a second
    run.video("crawls.mp4", seconds=4, speed=2)
    command = run.command()
    command.insert(command.index("--configfile") + 1, str(PRESET))
    outcome = call(command, run.workdir)
    assert outcome.code == 0, outcome.output
    assert {row["name"]: row["reason"] for row in run.verdicts()} == {
        "pans.mp4": None,
        "crawls.mp4": "motion_easyanimate low",
    }


def test_more_gpus_for_a_job_than_the_run_may_use_are_refused(run):
    run.video("good.mp4", speed=0)
    outcome = run.run("--dry-run", "--resources", "gpu=2", config={"resources": {"text": {"gpu": 4}}})
    assert explain(outcome, "resources.text.gpu", "a job wants 4 GPUs", "may use 2", "--resources gpu=4")
    assert run.done("--dry-run", "--resources", "gpu=4", config={"resources": {"text": {"gpu": 4}}}).planned


def test_sections_on_the_command_line(tmp_path):
    """They are YAML or JSON, and their faults are those of a file."""
    given = ['cut={"crf": 99}', 'split={"transnetv2": {"threshold": 2}}', "filters={motion: 2}"]
    outcome = call([*snakemake(), "--config", *given, "aesthetic={frames:3}", "text={frames: 3", "crop_=1"], tmp_path)
    assert explain(outcome, "cut.crf: 99 is out of range, it must be at most 51")
    assert explain(outcome, "split.transnetv2.threshold: 2 is out of range")
    assert explain(outcome, "filters.motion: 2 is not a section", "did you mean `{min: 2}` or")
    assert explain(outcome, "aesthetic.frames:3: unknown key", "did you mean `frames: 3`, with a space?")
    assert explain(outcome, "text: '{frames: 3' is not a section", "it is not YAML: expected ',' or '}'")
    assert explain(outcome, "crop_: unknown key", "did you mean `crop`?")
    assert outcome.output.count("config:") == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "profiles/locl"], "but no profile.yaml (or config.yaml) found"),
        (["--configfile", "my.yaml", "plan"], "No such file or directory: 'plan'"),
        (["--configfile", "bad.yaml"], "Config file is not valid JSON or YAML"),
        (["--configfile", "list.yaml"], "Config file must be given as JSON or YAML with keys at top level"),
        (["--configfile", "latin.yaml"], "'utf-8' codec can't decode"),
        (["--configfile", "."], "Is a directory"),
        (["--config", "videos=v", "plan"], "Config entries have to be defined as name=value pairs"),
        (["--config", "cut.crf=19"], "Config entry must start with a valid identifier"),
        (["videos=v"], "No rule to produce videos="),
    ],
)
def test_the_documentation_explains_what_snakemake_says_before_the_workflow_begins(tmp_path, arguments, message):
    for name, text in {"my": b"cut: {crf: 1}", "bad": b"cut: {crf", "list": b"[a]", "latin": b"# \xe9"}.items():
        (tmp_path / f"{name}.yaml").write_bytes(text)
    outcome = call([*snakemake(), *arguments], tmp_path)
    assert outcome.code != 0
    assert message in outcome.output
    table = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert message in table.partition("## When Snakemake itself fails")[2].partition("## ")[0]
