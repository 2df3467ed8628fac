"""Rewrite the captions of a shard into the texts to train on."""

from pathlib import Path

from clipmill import backends, tables
from clipmill.captions.shard import rewrite_shard
from clipmill.cli import run_step, step_parser


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--captions", type=Path, required=True, help="table of captions")
    parser.add_argument("--output", type=Path, required=True, help="table of rewrites to write")
    args = parser.parse_args()
    backend = backends.load("rewrite", args.settings)
    rows = rewrite_shard(backend, tables.CAPTIONS.rows(args.captions), args.outdir, args.shard)
    tables.REWRITES.write(args.output, rows, {"model": backend.model})


if __name__ == "__main__":
    run_step(main)
