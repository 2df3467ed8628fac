"""Make the fingerprints of the clips of a shard, by which duplicates are found."""

from pathlib import Path

from clipmill.cli import measured, run_step, step_parser
from clipmill.duplicates.shard import fingerprint_shard
from clipmill.store import tables


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--output", type=Path, required=True, help="table of fingerprints to write")
    args = parser.parse_args()
    with measured(args.outdir, "fingerprints", args.shard, args.threads):
        clips = tables.CLIPS.rows(args.clips)
        rows = fingerprint_shard(clips, args.outdir, args.shard, args.settings, args.max_error_rate)
        tables.FINGERPRINTS.write(args.output, rows, {"settings": args.settings})


if __name__ == "__main__":
    run_step(main)
