"""Split the videos of a shard into clips, and score their motion and technical quality from the signals."""

from pathlib import Path
from typing import Any

from clipmill import tables
from clipmill.cli import run_step, step_parser
from clipmill.clips import SplitSettings, read_signals, video_clips
from clipmill.scores.measured import motion_score, technical_score


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips to write")
    parser.add_argument("--motion", type=Path, required=True, help="table of motion scores to write")
    parser.add_argument("--technical", type=Path, required=True, help="table of technical scores to write")
    args = parser.parse_args()
    settings = SplitSettings(**args.settings)
    clips, motion, technical = [], [], []
    for video in tables.VIDEOS.rows(args.videos):
        if video["error_kind"]:
            continue
        signals = read_signals(args.outdir, args.shard, video["video_id"])
        for clip in video_clips(video, signals, settings):
            clips.append(clip)
            motion.append(_needed(clip, motion_score(clip, video, signals)))
            technical.append(_needed(clip, technical_score(clip, signals)))
    tables.CLIPS.write(args.clips, clips, {"settings": args.settings})
    tables.MOTION.write(args.motion, motion)
    tables.TECHNICAL.write(args.technical, technical)


def _needed(clip: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """`row` of scores; that one could not be computed is no error of a clip that is too short in any case."""
    if not clip["too_short"]:
        return row
    return {name: value for name, value in row.items() if name not in ("error_kind", "error")}


if __name__ == "__main__":
    run_step(main)
