"""What Snakemake's own linter says of the workflow. `make lint` checks all else."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_workflow_lint_is_clean(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").write_bytes(b"not looked at")
    snakemake = (sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile")
    done = run(*snakemake, "--lint", "--config", "videos=videos", "outdir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a good condition" in done.stdout + done.stderr
