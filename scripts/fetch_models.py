"""Fetch the models that the settings need, on a machine with internet, and print where they are."""

import argparse
import json
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.cli import naming, run_step, runtime_settings
from clipmill.models import backends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--settings", type=json.loads, required=True, help="as JSON: step -> backend and its settings")
    parser.add_argument("--output", type=Path, help="list of the models to write, as JSON")
    args = parser.parse_args()
    models = []
    for step, settings in args.settings.items():
        with naming(step, settings):
            backend = backends.load(step, settings, runtime_settings(step))
            found = getattr(getattr(backend, "chat", backend), "checkpoints", list)()
        for checkpoint in found:
            about, path = checkpoint.about(), str(checkpoint.path)
            models.append({"step": step, "backend": settings["backend"], **about, "path": path})
            print(f"{step}: {' | '.join(about.values())}\n    {path}", flush=True)
    if not models:
        print("none of these backends needs a model from elsewhere")
    if args.output:
        write_json(args.output, models)


if __name__ == "__main__":
    run_step(main)
