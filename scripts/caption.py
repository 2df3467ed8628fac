"""Caption the clips of some shards that the filters kept."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from clipmill.captions.hearing import with_sources
from clipmill.captions.shard import caption_shards, kept_clips, with_given_captions
from clipmill.cli import add_duplicates, backend_on_device, group_parser, local_files, measured, run_step
from clipmill.duplicates.dropped import dropped_clips
from clipmill.filters.shard import with_good_answers
from clipmill.filters.verdict import Judgement
from clipmill.store import tables


def main() -> None:
    parser = group_parser(__doc__)
    add_duplicates(parser)
    parser.add_argument("--output", type=Path, required=True, help="table of captions to write")
    args = parser.parse_args()
    with measured(args.outdir, "caption", args.shards[0], args.threads), ExitStack() as stack:
        clips = kept_clips(args.outdir, args.shards, dropped_clips(args.duplicates))
        if args.settings["backend"] == "given":
            clips = with_given_captions(clips, args.outdir)
        if settings := args.settings.pop("judgement", None):
            judgement = Judgement(**settings)
            table = tables.with_answers(tables.JUDGEMENTS, judgement.columns)
            clips = with_good_answers(clips, table.rows(table.of(args.outdir, args.shards[0])), judgement)
        if args.settings.get("audio"):
            clips = stack.enter_context(with_sources(clips, args.outdir, partial(local_files, args.outdir)))
        answers = [column for column, _ in args.settings.get("judge", {}).get("questions", ())]
        with backend_on_device("caption", args.settings, args.gpu, args.threads, args.batch) as backend:
            rows = caption_shards(backend, clips, args.outdir, args.max_error_rate)
            tables.with_answers(tables.CAPTIONS, answers).write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
