"""Ask a language model the questions of the config about the clips of some shards that the filters kept."""

from pathlib import Path

from clipmill.captions.shard import caption_shards, kept_clips
from clipmill.cli import add_duplicates, backend_on_device, group_parser, measured, run_step
from clipmill.duplicates.dropped import dropped_clips
from clipmill.store import tables


def main() -> None:
    parser = group_parser(__doc__)
    add_duplicates(parser)
    parser.add_argument("--output", type=Path, required=True, help="table of answers to write")
    args = parser.parse_args()
    with measured(args.outdir, "judge", args.shards[0], args.threads):
        clips = kept_clips(args.outdir, args.shards, dropped_clips(args.duplicates))
        with backend_on_device("judge", args.settings, args.gpu, args.threads, args.batch) as backend:
            rows = caption_shards(backend, clips, args.outdir, args.max_error_rate, "judge")
            columns = [column for column, _ in args.settings["questions"]]
            tables.with_answers(tables.JUDGEMENTS, columns).write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
