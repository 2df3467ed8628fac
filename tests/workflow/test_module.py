"""clipmill as a module of another workflow, as snakedeploy declares it: from a folder, or from a git repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from runs import REPOSITORY, SNAKEMAKE, Outcome, Run, call, explain, whole_plan

PROFILE = REPOSITORY / "profiles" / "local"
# As snakedeploy 0.17 writes it, but for comments.
DEPLOYED = """
configfile: "config/config.yaml"


module clipmill:
    snakefile:
        {snakefile}
    config:
        config


use rule * from clipmill{name}
"""


class Deployment:
    """A workflow of its own beside a run, with the run's videos and settings, that uses clipmill."""

    def __init__(self, run: Run, snakefile: str, name: str = "", more: str = "") -> None:
        self.run, self.folder = run, run.place / "deployed"
        (self.folder / "workflow").mkdir(parents=True)
        (self.folder / "config").mkdir()
        (self.folder / "workflow" / "Snakefile").write_text(DEPLOYED.format(snakefile=snakefile, name=name) + more)
        self.configure({})

    def configure(self, more: Mapping[str, Any]) -> None:
        settings = {"videos": str(self.run.folder), **self.run.settings, **more}
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(settings))

    def call(self, *arguments: str, **options: Any) -> Outcome:
        command = [*SNAKEMAKE, "--profile", str(PROFILE), "--cores", "2", *arguments]
        return call(command, self.folder, **options)


def local(path: Path) -> str:
    return json.dumps(str(path))


def test_a_module_makes_the_same_dataset(run):
    run.video("a.mp4")
    run.video("b.mp4", speed=0)
    run.done()
    deployed = Deployment(run, local(REPOSITORY / "workflow" / "Snakefile"))
    outcome = deployed.call()
    assert outcome.code == 0 and outcome.jobs == whole_plan(1), outcome.output
    train = deployed.folder / "results" / "dataset" / "train.json"
    assert json.loads(train.read_text()) == run.train() and len(run.train()) == 1
    assert "1 kept" in outcome.output.partition("dataset  results/dataset")[0], "the summary is printed at the end"
    assert "process " in (deployed.folder / "results" / "work" / "run.lock").read_text(), "the run had taken its lock"
    assert deployed.call().nothing_done

    # The command line counts as without a module, and sections of it are read as YAML.
    looser = ("--config", "filters={motion: {min: null}}", "-n")
    assert "filter_clips" in deployed.call(*looser).planned
    file = deployed.folder / "config" / "config.yaml"
    file.write_text(file.read_text() + "split: {min_seconds: 1}\n")
    explain(deployed.call("-n"), "config.yaml", "`split` stands twice")
    deployed.configure({"cutt": {}})
    explain(deployed.call("-n"), "config: cutt: unknown key; did you mean `cut`?")


OWN_RULES = """
use rule decode_videos from clipmill as clipmill_decode_videos with:
    threads: 2


rule all:
    default_target: True
    input:
        "results/size.txt",


rule measure:
    input:
        "results/work/videos/000000.parquet",
    output:
        "results/size.txt",
    shell:
        "wc -c <{input} >{output}"
"""


def test_a_module_of_a_git_repository_with_a_prefix_before_its_rules(run, tmp_path):
    run.video("a.mp4")
    hosts = tmp_path / "hosts"
    repository = hosts / "lab" / "clipmill"
    repository.mkdir(parents=True)
    shutil.copy(REPOSITORY / "Snakefile", repository)
    for name in ("config", "envs", "rules", "scripts", "workflow"):
        shutil.copytree(REPOSITORY / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    commit = ("-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "--message", "all")
    for command in (("init", "--quiet"), ("add", "."), commit, ("tag", "v9.9.9")):
        subprocess.run(["git", *command], cwd=repository, check=True)
    environment = {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{hosts}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }

    source = 'github("lab/clipmill", path="workflow/Snakefile", tag="v9.9.9")'
    deployed = Deployment(run, source, name=" as clipmill_*", more=OWN_RULES)
    outcome = deployed.call(env=environment)
    assert outcome.code == 0 and outcome.jobs == {"clipmill_decode_videos": 1, "measure": 1}, outcome.output
    assert int((deployed.folder / "results" / "size.txt").read_text())
    sample = deployed.call("clipmill_calibrate", "-n", env=environment)
    assert "clipmill_propose_thresholds" in sample.planned, sample.output


TWO_CONFIGS = """

module other:
    snakefile:
        {snakefile}
    config:
        {{**config, "outdir": "other"}}


use rule * from other as other_*
"""


def test_what_tools_would_not_know_of_is_refused(run):
    run.folder.joinpath("a.mp4").write_bytes(b"not looked at")
    source = local(REPOSITORY / "Snakefile")
    deployed = Deployment(run, source, more=TWO_CONFIGS.format(snakefile=source))
    explain(deployed.call("-n"), "clipmill is used twice in this workflow, with different configs")
    snakefile = deployed.folder / "workflow" / "Snakefile"
    snakefile.write_text(DEPLOYED.format(snakefile=f'{source}\n    prefix: "below"', name=""))
    explain(deployed.call("-n"), "clipmill takes no `prefix`")


def test_the_snakefile_in_the_place_where_others_look_for_it(run):
    run.video("a.mp4")
    outcome = run.done("--snakefile", str(REPOSITORY / "workflow" / "Snakefile"), "-n")
    assert outcome.planned == whole_plan(1)
