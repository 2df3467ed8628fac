"""Check that a step's backend can run: packages, model files, device. Write which models it uses."""

import argparse
import json
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.checks import check_backend
from clipmill.cli import backend_on_device, naming, run_step
from clipmill.models import backends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--step", choices=list(backends.AVAILABLE), required=True, help="which step")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="the step's backend and its settings, as JSON"
    )
    parser.add_argument("--gpu", type=int, default=0, help="GPUs that its jobs run on")
    parser.add_argument("--output", type=Path, required=True, help="list of its models to write")
    args = parser.parse_args()
    with (
        naming(args.step, args.settings),
        backend_on_device(args.step, args.settings, args.gpu, threads=1, compiled=False) as backend,
    ):
        checked = check_backend(args.step, args.settings["backend"], backend)
    write_json(args.output, checked)


if __name__ == "__main__":
    run_step(main)
