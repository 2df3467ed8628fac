"""Give each clip of a shard its verdict: kept, or the first reason why not, with every score beside it."""

from pathlib import Path

from clipmill.cli import add_thresholds, measured, read_scores, run_step, step_parser, with_numbers
from clipmill.filters.shard import judge_shard
from clipmill.filters.verdict import WantedSize
from clipmill.store import tables


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="scores, <metric>/<shard>.parquet")
    parser.add_argument("--output", type=Path, required=True, help="table of verdicts to write")
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "filter", args.shard, args.threads):
        settings = with_numbers(args.settings, args)
        videos, clips, scores = tables.VIDEOS.rows(args.videos), tables.CLIPS.rows(args.clips), read_scores(args.scores)
        wanted = WantedSize(**settings["size"]) if "size" in settings else None
        needs_sound = settings.get("needs_sound", False)
        rows = judge_shard(videos, clips, scores, settings["filters"], settings["order"], wanted, needs_sound)
        tables.with_classifiers(tables.VERDICTS, scores).write(args.output, rows, {"settings": settings})


if __name__ == "__main__":
    run_step(main)
