"""Score the clips of a shard by a backend that looks at frames."""

from pathlib import Path

from clipmill.cli import add_thresholds, backend_on_device, model_parser, read_scores, run_step, with_numbers
from clipmill.filters.shard import passing
from clipmill.scores.consistency.embedding_store import write_embeddings
from clipmill.scores.shard import score_shard
from clipmill.steps import BY_NAME, METRICS
from clipmill.store import tables


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--metric", choices=METRICS, required=True, help="which score")
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="cheaper scores, <metric>/<shard>.parquet")
    parser.add_argument("--output", type=Path, required=True, help="table of scores to write")
    add_thresholds(parser)
    args = parser.parse_args()
    settings, clips = with_numbers(args.settings, args), tables.CLIPS.rows(args.clips)
    videos, scores = tables.VIDEOS.rows(args.videos), read_scores(args.scores)
    wanted = passing(videos, clips, scores, settings["filters"], settings["order"])
    with backend_on_device(args.metric, settings["backend"], args.gpu, args.threads, args.batch) as backend:
        rows = score_shard(
            args.metric, backend, clips, wanted, args.outdir, args.shard, args.max_error_rate, args.threads
        )
        write_embeddings(args.outdir, args.shard, settings["backend"]["backend"], rows, backend.about)
        (table,) = BY_NAME[args.metric].tables
        table.write(args.output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
