"""Look for transitions between shots in the miniatures of a shard's videos, by a network."""

from pathlib import Path

from clipmill.cli import backend_on_device, measured, model_parser, run_step
from clipmill.shots.shard import detect_shots
from clipmill.store import tables


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--output", type=Path, required=True, help="table of shots to write")
    args = parser.parse_args()
    with (
        measured(args.outdir, "shots", args.shard, args.threads),
        backend_on_device("shots", args.settings, args.gpu, args.threads, args.batch) as backend,
    ):
        videos = tables.VIDEOS.rows(args.videos)
        rows = detect_shots(videos, backend, args.outdir, args.shard)
        tables.SHOTS.write_parts(args.output, rows, {**backend.about, "where": backend.where})


if __name__ == "__main__":
    run_step(main)
