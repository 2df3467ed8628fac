"""Every job parses the rules, on SLURM twice: what they import is light."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Functions import these where the main process alone calls them, or a target that few ask for.
HEAVY = ("numpy", "pyarrow", "pandas", "cv2", "jsonschema", "torch", "av", "scenedetect")


def imports_of_rules() -> str:
    """All lines by which the Snakefile and the rules import something of clipmill while they are parsed."""
    files = [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk"))]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return "\n".join(line for line in lines if re.match(r"(?:from|import) clipmill\b", line))


def test_no_heavy_package_is_imported_while_rules_are_parsed():
    program = f"{imports_of_rules()}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    assert program.count("from clipmill") > 5
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(REPOSITORY / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
