"""Decode the videos of a shard: facts, signals and kept frames of each."""

from pathlib import Path

from clipmill.cli import local_files, measured, run_step, runtime_settings, step_parser
from clipmill.decode.shard import decode_settings, decode_shard
from clipmill.decode.video import SPEECH
from clipmill.fetch.shard import failed_fetches
from clipmill.models.backends import load
from clipmill.store import tables
from clipmill.store.index import read_videos


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="the shard's list of videos")
    parser.add_argument("--fetched", type=Path, nargs="?", help="table of fetched videos, if the shard has one")
    parser.add_argument("--output", type=Path, required=True, help="table of videos to write")
    parser.add_argument("--parts", type=Path, required=True, help="table of their parts to write")
    args = parser.parse_args()
    with measured(args.outdir, "decode", args.shard, args.threads):
        settings, extras = decode_settings(args.settings)
        videos = read_videos(args.videos)
        speech = load("speech", {"backend": "silero"}, runtime_settings("speech")) if SPEECH in extras else None
        rows, parts = decode_shard(
            videos,
            args.outdir,
            args.shard,
            settings,
            args.threads,
            args.max_error_rate,
            extras,
            speech,
            local_files(args.outdir, args.shard, failed_fetches(args.fetched) if args.fetched else None),
        )
        tables.VIDEOS.write(args.output, rows, {"settings": args.settings})
        tables.PARTS.write(args.parts, parts, {"settings": args.settings})


if __name__ == "__main__":
    run_step(main)
