"""Rewrite users' short prompts in the style of the training captions, with the backend of the step rewrite."""

from pathlib import Path

from clipmill.captions.beautify import beautify, read_prompts, write_beautified
from clipmill.cli import backend_on_device, model_parser, run_step


def main() -> None:
    parser = model_parser(__doc__, one_shard=False)
    parser.add_argument(
        "--prompts", type=Path, required=True, help="one prompt per line: JSON with `prompt`, or plain text"
    )
    args = parser.parse_args()
    prompts = read_prompts(args.prompts)
    with backend_on_device("rewrite", args.settings, args.gpu, args.threads, args.batch) as backend:
        rows = beautify(backend, prompts, args.outdir, args.max_error_rate)
    print(write_beautified(args.prompts, prompts, rows))


if __name__ == "__main__":
    run_step(main)
