"""What Snakemake's own linter says of the workflow. `make lint` checks all else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)


# All steps that no run has by default.
FURTHER_STEPS = {
    "split": {"detector": "transnetv2"},
    "filters": {"motion": {"min": "q0.3"}},
    "classifiers": {"nsfw": {"backend": "opennsfw"}},
    "duplicates": {"backend": "pictures"},
    "judge": {"backend": "openai", "openai": {"model": "m"}},
    "caption": {"backend": "given"},
}


@pytest.mark.slow
@pytest.mark.parametrize("config", [{}, FURTHER_STEPS], ids=["by default", "all steps"])
def test_workflow_lint_is_clean(tmp_path, config):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").write_bytes(b"not looked at")
    (tmp_path / "videos" / "one.txt").write_text("A caption.")
    (tmp_path / "my.json").write_text(json.dumps({"videos": "videos", "outdir": "out", **config}))
    snakemake = (sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile")
    done = run(*snakemake, "--lint", "--configfile", "my.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a good condition" in done.stdout + done.stderr
