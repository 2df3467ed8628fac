"""Rewrite the captions of some shards that pass their checks into the texts to train on."""

from pathlib import Path

from clipmill.captions.shard import rewrite_shards
from clipmill.cli import backend_on_device, group_parser, measured, run_step
from clipmill.filters.shard import with_good_caption
from clipmill.filters.verdict import Judgement
from clipmill.store import tables


def main() -> None:
    parser = group_parser(__doc__)
    parser.add_argument("--captions", type=Path, required=True, help="table of captions")
    parser.add_argument("--output", type=Path, required=True, help="table of rewrites to write")
    args = parser.parse_args()
    with measured(args.outdir, "rewrite", args.shards[0], args.threads):
        judgement = Judgement(**settings) if (settings := args.settings.get("judgement")) else None
        table = tables.with_answers(tables.CAPTIONS, judgement.columns if judgement else ())
        captions = with_good_caption(table.rows(args.captions), args.settings["checks"], judgement)
        captions = {shard: captions.get(shard, []) for shard in args.shards}
        with backend_on_device("rewrite", args.settings["backend"], args.gpu, args.threads, args.batch) as backend:
            rows = rewrite_shards(backend, captions, args.outdir, args.max_error_rate)
            tables.REWRITES.write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
