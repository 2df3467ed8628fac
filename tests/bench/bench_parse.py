"""How long a job's parse of the rules takes beyond Snakemake itself: importing what the rules import of clipmill.

    python tests/bench/bench_parse.py

A new process imports Snakemake, then what the rules import, and says how long the second part took; the least and the
median of ROUNDS processes are printed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))
from test_parsing import imports_of_rules

ROUNDS = 11
PROGRAM = """
import time
import snakemake.cli, snakemake.utils, snakemake.workflow
begin = time.perf_counter()
{imports}
print(time.perf_counter() - begin)
"""


def main() -> None:
    program = PROGRAM.format(imports=imports_of_rules())
    environment = {"PYTHONPATH": str(REPOSITORY / "scripts")}
    took = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        took.append(float(done.stdout))
    print(f"imports of the rules: {min(took):.3f} s at least, {statistics.median(took):.3f} s in the middle")


if __name__ == "__main__":
    main()
