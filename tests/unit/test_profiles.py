"""The profiles as they are shipped: that they are what their comments say, and fit the rules."""

from __future__ import annotations

from pathlib import Path

import yaml

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
SLURM = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((PROFILES.parent / "config" / "config.yaml").read_text(encoding="utf-8"))
QUESTIONS_APART = 180  # seconds: the most that the plugin waits between two questions
MIN_JOB_AGE = 300  # seconds that squeue knows of a finished job, where a cluster sets nothing else


def test_no_profile_is_used_unasked():
    """Snakemake takes profiles/default without being told to, and would let it win over the one that was named."""
    assert sorted(path.name for path in PROFILES.iterdir() if path.is_dir()) == ["local", "slurm"]


def test_no_file_of_the_slurm_profile_is_taken_for_a_value():
    """Snakemake takes a value that is the name of a file beside the profile for the path of that file."""
    names = {path.name for path in (PROFILES / "slurm").iterdir()}
    assert names & {str(value) for value in SLURM.values()} == {SLURM["slurm-partition-config"]}


def test_first_tries_fit_the_bounds_of_the_slurm_profile():
    for step, wanted in CONFIG["resources"].items():
        assert wanted["runtime"] <= SLURM["resources"]["runtime"], step
        assert wanted["mem_mb"] == "auto" or wanted["mem_mb"] <= SLURM["resources"]["mem_mb"], step
    assert SLURM["set-resource-scopes"]["runtime"] == "local", "or it would bound the sum of all jobs"


def test_finished_jobs_are_seen_before_squeue_forgets_them():
    assert SLURM["slurm-status-command"] == "squeue"
    assert QUESTIONS_APART < MIN_JOB_AGE
    assert 3 * SLURM["slurm-init-seconds-before-status-checks"] <= MIN_JOB_AGE, "or the plugin asks sacct all the same"
