"""Score how well the texts of a shard fit their clips. With the backend `none` the scores are missing, and say so."""

from pathlib import Path

from clipmill import backends, tables
from clipmill.cli import run_step, step_parser


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="table of rewrites")
    parser.add_argument("--output", type=Path, required=True, help="table of alignment scores to write")
    args = parser.parse_args()
    backends.load("alignment", args.settings)
    rows = [{"clip_id": row["clip_id"]} for row in tables.REWRITES.rows(args.texts)]
    tables.ALIGNMENT.write(args.output, rows, args.settings)


if __name__ == "__main__":
    run_step(main)
