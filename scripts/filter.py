"""Give each clip of a shard its verdict: kept, or the first reason why not, with every score beside it."""

from pathlib import Path

from clipmill import tables, verdict
from clipmill.cli import add_thresholds, read_scores, run_step, settled, step_parser


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="scores, <metric>/<shard>.parquet")
    parser.add_argument("--output", type=Path, required=True, help="table of verdicts to write")
    add_thresholds(parser)
    args = parser.parse_args()
    settings = settled(args.settings, args)
    bounds = verdict.active(settings["filters"], settings["order"])
    columns = {column.name for column in tables.VERDICTS.columns}
    rows = []
    videos = tables.VIDEOS.rows(args.videos)
    for known in verdict.gather(videos, tables.CLIPS.rows(args.clips), read_scores(args.scores)):
        reason = verdict.reason(known, bounds)
        row = {name: value for name, value in known.items() if name in columns}
        rows.append({**row, "kept": reason is None, "reason": reason})
    tables.VERDICTS.write(args.output, rows, {"settings": settings})


if __name__ == "__main__":
    run_step(main)
