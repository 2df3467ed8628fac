"""Caption the clips of a shard that the filters kept."""

from pathlib import Path

import cv2

from clipmill import backends, tables
from clipmill.captions.shard import caption_shard
from clipmill.cli import run_step, step_parser


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--verdicts", type=Path, required=True, help="table of verdicts")
    parser.add_argument("--output", type=Path, required=True, help="table of captions to write")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    backend = backends.load("caption", args.settings)
    source_keys = {clip["clip_id"]: clip["source_key"] for clip in tables.CLIPS.rows(args.clips)}
    verdicts = tables.VERDICTS.rows(args.verdicts)
    clips = [{**row, "source_key": source_keys[row["clip_id"]]} for row in verdicts if row["kept"]]
    rows = caption_shard(backend, clips, args.outdir, args.shard, args.max_error_rate)
    tables.CAPTIONS.write(args.output, rows, {"model": backend.model})


if __name__ == "__main__":
    run_step(main)
