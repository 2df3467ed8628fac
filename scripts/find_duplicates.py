"""Find the clips of a run that are alike, and choose which of them stay, within the limits."""

from pathlib import Path

from clipmill.cli import measured, run_step, step_parser
from clipmill.duplicates.choosing import find_duplicates
from clipmill.steps import ALL
from clipmill.store import tables
from clipmill.store.index import shard_sizes


def main() -> None:
    parser = step_parser(__doc__, one_shard=False)
    parser.add_argument("--output", type=Path, required=True, help="table of duplicates to write")
    args = parser.parse_args()
    with measured(args.outdir, "duplicates", ALL, args.threads):
        rows = find_duplicates(args.outdir, shard_sizes(args.outdir), args.settings, args.threads)
        tables.DUPLICATES.write(args.output, rows, {"settings": args.settings})


if __name__ == "__main__":
    run_step(main)
