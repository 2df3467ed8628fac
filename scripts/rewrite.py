"""Rewrite the captions of some shards that pass their checks into the texts to train on."""

from pathlib import Path

from clipmill import tables, text_checks
from clipmill.captions.shard import rewrite_shards
from clipmill.cli import group_parser, loaded, run_step


def main() -> None:
    parser = group_parser(__doc__)
    parser.add_argument("--captions", type=Path, required=True, help="table of captions")
    parser.add_argument("--output", type=Path, required=True, help="table of rewrites to write")
    args = parser.parse_args()
    checks = args.settings["checks"]
    captions = {shard: [] for shard in args.shards}
    for row in tables.CAPTIONS.rows(args.captions):
        if row["caption"] is not None and not text_checks.of_caption(row["caption"], row["caption_whole"], checks):
            captions[row["shard"]].append(row)
    with loaded("rewrite", args.settings["backend"], args) as backend:
        rows = rewrite_shards(backend, captions, args.outdir, args.max_error_rate)
        tables.REWRITES.write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
