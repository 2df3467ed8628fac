"""Collects the wheels that a machine without a package index lacks, so that they can be carried there.

    python tests/gpu/wheels.py INSTALLED FOLDER [--python 3.12]

INSTALLED is what `python -m pip freeze` prints on that machine: a package that is there in any version is not carried.
The others come in the versions of envs/core.txt and envs/models.txt. `tests/gpu/show.py --wheels FOLDER` installs them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parents[2] / "envs"
NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)\s*(?:==|@|$)")
OLDEST_LIBC, NEWEST_LIBC = 17, 39  # glibc 2.N, for which wheels are built; pip takes each N by its name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("installed", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="packages that are not carried")
    parser.add_argument("--python", default="3.12", help="that machine's version")
    args = parser.parse_args()
    lines = [*args.installed.read_text(encoding="utf-8").splitlines(), *args.leave_out]
    there = {name for line in lines if (name := name_of(line))}
    pins: dict[str, str] = {}
    for environment in ("core", "models"):
        for line in (ENVIRONMENTS / f"{environment}.txt").read_text(encoding="utf-8").splitlines():
            name = name_of(line)
            if name and name not in there:
                pins[name] = line.split(";")[0].strip()
    args.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", args.python, "--implementation", "cp", "--dest", str(args.folder)]
    for libc in range(OLDEST_LIBC, NEWEST_LIBC + 1):
        command += ["--platform", f"manylinux_2_{libc}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64"]
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(args.folder)]

    def comes(pin: str) -> bool:
        """Whether the wheel of a pin is there. If only its source is published, it is built, if it is Python alone."""
        if subprocess.run([*command, pin]).returncode == 0:
            return True
        return subprocess.run([*build, pin]).returncode == 0 and any(args.folder.glob(f"{stem_of(pin)}-*-any.whl"))

    lost = [pin for pin in pins.values() if not comes(pin)]
    size = sum(path.stat().st_size for path in args.folder.glob("*.whl"))
    print(f"{len(pins) - len(lost)} wheels, {size / 2**20:.1f} MiB in {args.folder}")
    if lost:
        sys.exit(f"no wheel of {', '.join(lost)}")


def name_of(line: str) -> str | None:
    """The name of the package that a line of pip's names, as pip compares names."""
    found = NAME.match(line.strip())
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else None


def stem_of(pin: str) -> str:
    """How the file of a wheel begins."""
    return (name_of(pin) or "").replace("-", "_")


if __name__ == "__main__":
    main()
