"""Score the clips of a shard by a backend that looks at frames: text, aesthetic or consistency."""

from pathlib import Path

import cv2

from clipmill import tables, verdict
from clipmill.cli import add_thresholds, loaded, model_parser, read_scores, run_step, settled
from clipmill.scores.kept import write_embeddings
from clipmill.scores.shard import score_shard

TABLES = {"text": tables.TEXT_SCORES, "aesthetic": tables.AESTHETIC, "consistency": tables.CONSISTENCY}


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--metric", choices=TABLES, required=True, help="which score")
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="cheaper scores, <metric>/<shard>.parquet")
    parser.add_argument("--output", type=Path, required=True, help="table of scores to write")
    add_thresholds(parser)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    clips = tables.CLIPS.rows(args.clips)
    known = verdict.gather(tables.VIDEOS.rows(args.videos), clips, read_scores(args.scores))
    bounds = verdict.active(settled(args.settings, args)["filters"], args.settings["order"])
    wanted = {row["clip_id"] for row in known if verdict.reason(row, bounds) is None}
    with loaded(args.metric, args.settings["backend"], args) as backend:
        rows = score_shard(
            args.metric, backend, clips, wanted, args.outdir, args.shard, args.max_error_rate, args.threads
        )
        write_embeddings(args.outdir, args.shard, args.settings["backend"]["backend"], rows, backend.about)
        TABLES[args.metric].write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
