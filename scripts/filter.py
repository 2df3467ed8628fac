"""Give each clip of a shard its verdict: kept, or the first reason why not, with every score beside it."""

from pathlib import Path

from clipmill import tables, verdict
from clipmill.cli import read_scores, run_step, step_parser


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="scores, <metric>/<shard>.parquet")
    parser.add_argument("--output", type=Path, required=True, help="table of verdicts to write")
    args = parser.parse_args()
    bounds = verdict.active(args.settings["filters"], args.settings["order"])
    columns = {column.name for column in tables.VERDICTS.columns}
    rows = []
    videos = tables.VIDEOS.rows(args.videos)
    for known in verdict.gather(videos, tables.CLIPS.rows(args.clips), read_scores(args.scores)):
        reason = verdict.reason(known, bounds)
        row = {name: value for name, value in known.items() if name in columns}
        rows.append({**row, "kept": reason is None, "reason": reason})
    tables.VERDICTS.write(args.output, rows, {"settings": args.settings})


if __name__ == "__main__":
    run_step(main)
