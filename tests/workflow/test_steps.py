"""The rules write what `clipmill.steps` and `clipmill.store.layout` say, where they say it."""

from __future__ import annotations

import re

import pytest
from runs import SETTINGS, Run

from clipmill.steps import STEPS

SHARDS = ("000000", "000001")


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> tuple[Run, dict[str, list[dict[str, list[str]]]]]:
    """A run with two shards, and by rule what its dry run prints of each job: directive -> files."""
    run = Run(tmp_path_factory.mktemp("steps") / "run", {**SETTINGS, "videos_per_shard": 1})
    for number in range(len(SHARDS)):
        (run.folder / f"{number}.mp4").write_bytes(b"a dry run does not look at it")
    jobs: dict[str, list[dict[str, list[str]]]] = {}
    for block in re.split(r"\n\[.*\]\n|\n\n", run.done("-n").output):
        if head := re.match(r"(?:local)?rule (\w+):\n", block):
            lines = re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE)
            jobs.setdefault(head[1], []).append({name: files.split(", ") for name, files in lines})
    return run, jobs


# Rules with a job per shard, and the steps that the job does: embedded metrics share one.
JOBS = {step.rule: [step] for step in STEPS if not step.metric} | {
    "score_clips": [step for step in STEPS if step.metric],
}


@pytest.mark.parametrize("rule", JOBS)
def test_a_step_writes_its_tables_and_log(planned, rule):
    run, jobs = planned
    out, steps = run.workdir / "../out", JOBS[rule]
    folder = steps[0].name if len(steps) == 1 else "scores"
    for shard, job in zip(SHARDS, sorted(jobs[rule], key=lambda job: job["output"]), strict=True):
        wanted = {table.of(out, shard) for step in steps for table in step.tables}
        assert {run.workdir / file for file in job["output"]} == wanted
        assert [run.workdir / file for file in job["log"]] == [out / "logs" / folder / f"{shard}.log"]


def test_every_rule_with_a_job_per_shard_is_a_step(planned):
    _, jobs = planned
    by_shard = {
        rule
        for rule, found in jobs.items()
        if any("shard=" in wildcards for wildcards in found[0].get("wildcards", []))
    }
    assert by_shard == JOBS.keys()


def test_a_step_needs_the_tables_of_earlier_levels_alone(planned):
    """Each table that a job reads was written by a step of a lower level, or is spared by the cascade."""
    run, jobs = planned
    level = {str(table.of(run.workdir / "../out", SHARDS[0])): step.level for step in STEPS for table in step.tables}
    for rule, steps in JOBS.items():
        for file in jobs[rule][0].get("input", []):
            wrote = level.get(str(run.workdir / file))
            assert wrote is None or wrote <= steps[0].level
