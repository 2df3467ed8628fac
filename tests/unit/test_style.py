"""Formats, lints and pins."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("ruff", "format", "--check", ".")])
def test_python_is_clean(command):
    done = run(BIN / command[0], *command[1:], "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_formatted():
    done = run(BIN / "snakefmt", "--check", "Snakefile", "rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_lint_is_clean(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").write_bytes(b"not looked at")
    snakemake = (sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile")
    done = run(*snakemake, "--lint", "--config", "videos=videos", "outdir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a good condition" in done.stdout + done.stderr


def pins(lines: list[str]) -> dict[str, str]:
    found = (re.match(r"([a-z0-9-]+)==([^\s;\\]+)", line.strip(" -")) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environments_pin_what_the_virtual_environment_has(path):
    packages = next(part["pip"] for part in yaml.safe_load(path.read_text())["dependencies"] if isinstance(part, dict))
    named = pins(packages)
    assert len(named) == len(packages), "every package is pinned"
    locked = pins((REPOSITORY / "envs" / "core.txt").read_text().splitlines())
    assert named == {name: locked[name] for name in named}


def test_locks_hold_what_is_asked_for():
    for name in ("core", "test"):
        asked = pins((REPOSITORY / "envs" / f"{name}.in").read_text().splitlines())
        locked = pins((REPOSITORY / "envs" / f"{name}.txt").read_text().splitlines())
        assert asked, name
        assert asked == {package: locked[package] for package in asked}
