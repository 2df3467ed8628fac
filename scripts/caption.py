"""Caption the clips of some shards that the filters kept."""

from pathlib import Path

import cv2

from clipmill import tables
from clipmill.captions.shard import caption_shards
from clipmill.cli import group_parser, loaded, run_step


def main() -> None:
    parser = group_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="table of captions to write")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    clips = {}
    for shard in args.shards:
        keys = {clip["clip_id"]: clip["source_key"] for clip in tables.CLIPS.rows(tables.CLIPS.of(args.outdir, shard))}
        verdicts = tables.VERDICTS.rows(tables.VERDICTS.of(args.outdir, shard))
        clips[shard] = [{**row, "source_key": keys[row["clip_id"]]} for row in verdicts if row["kept"]]
    with loaded("caption", args.settings, args) as backend:
        rows = caption_shards(backend, clips, args.outdir, args.max_error_rate)
        tables.CAPTIONS.write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
