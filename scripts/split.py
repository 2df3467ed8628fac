"""Split the videos of a shard into clips, and score their motion, camera, technical quality and sound."""

from pathlib import Path

from clipmill.cli import measured, run_step, step_parser
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store import tables


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--parts", type=Path, required=True, help="table of their parts")
    parser.add_argument("--shots", type=Path, nargs="?", help="table of shots, if a network wrote one")
    parser.add_argument("--transitions", type=Path, required=True, help="table of transitions to write")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips to write")
    parser.add_argument("--motion", type=Path, required=True, help="table of motion scores to write")
    parser.add_argument("--camera", type=Path, required=True, help="table of what cameras do, to write")
    parser.add_argument("--technical", type=Path, required=True, help="table of technical scores to write")
    parser.add_argument("--sound", type=Path, required=True, help="table of scores of sound to write")
    args = parser.parse_args()
    with measured(args.outdir, "split", args.shard, args.threads):
        videos = tables.VIDEOS.rows(args.videos)
        parts = tables.PARTS.rows(args.parts)
        split = split_shard(videos, parts, args.outdir, args.shard, SplitSettings(**args.settings), args.shots)
        tables.TRANSITIONS.write(args.transitions, split.transitions, {"settings": args.settings})
        tables.CLIPS.write(args.clips, split.clips, {"settings": args.settings})
        tables.MOTION.write(args.motion, split.motion)
        tables.CAMERA.write(args.camera, split.camera)
        tables.TECHNICAL.write(args.technical, split.technical)
        tables.SOUND.write(args.sound, split.sound)


if __name__ == "__main__":
    run_step(main)
