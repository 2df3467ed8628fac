"""Fetch the videos of a shard that are no files of their own: those in archives, and at addresses if that is wanted."""

from pathlib import Path

from clipmill.cli import local_files, measured, run_step, step_parser
from clipmill.fetch.shard import fetch_shard
from clipmill.store import tables


def main() -> None:
    parser = step_parser(__doc__, settings=False)
    parser.add_argument("--output", type=Path, required=True, help="table of fetched videos to write")
    args = parser.parse_args()
    with measured(args.outdir, "fetch", args.shard, args.threads):
        rows = fetch_shard(local_files(args.outdir, args.shard), args.outdir, args.shard, args.max_error_rate)
        tables.FETCHES.write(args.output, rows)


if __name__ == "__main__":
    run_step(main)
