"""Make a 4-bit AWQ checkpoint of a language model, which vLLM loads."""

import argparse
import json
import os
from pathlib import Path

from clipmill.cli import run_step
from clipmill.extras.quantize import QuantizeSettings, quantize_model
from clipmill.models import leases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="name on the Hugging Face hub, or folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--outdir", type=Path, required=True, help="output folder of the run whose captions are used")
    parser.add_argument("--settings", type=json.loads, required=True, help="the config's section `quantize`, as JSON")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs to use; 0 is the CPU")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read when torch is imported
    os.environ.setdefault("TQDM_MININTERVAL", "10")  # seconds between two updates of a progress bar
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else llm-compressor warns that it sets this
    if not args.gpu:
        os.environ[leases.VISIBLE] = ""  # AutoAWQ and llm-compressor use each GPU that they see
    quantize_model(args.model, args.out, QuantizeSettings(**args.settings), args.outdir, args.gpu)


if __name__ == "__main__":
    run_step(main)
