"""Check that the backends of some steps can run: packages, model files, device. Write which models they use."""

import argparse
import json
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.files import write_json
from clipmill.checks import check_backend
from clipmill.cli import backend_on_device, naming, run_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--settings", type=json.loads, required=True, help="as JSON: step -> backend and its settings")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs that the jobs of each step run on")
    parser.add_argument(
        "--outputs", type=Path, nargs="+", required=True, help="lists of the models to write, <step>.json, in any order"
    )
    args = parser.parse_args()
    outputs = {path.stem: path for path in args.outputs}
    faults = []
    for step, settings in args.settings.items():
        try:
            with naming(step, settings), backend_on_device(step, settings, args.gpu, 1, compiled=False) as backend:
                write_json(outputs[step], check_backend(step, settings["backend"], backend))
        except SetupError as error:
            faults.append(str(error))
    if faults:
        raise SetupError("\n".join(faults))


if __name__ == "__main__":
    run_step(main)
