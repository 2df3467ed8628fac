"""Score the clips of a shard by one or more backends that look at frames."""

import argparse
from pathlib import Path
from typing import Any

from clipmill.cli import add_thresholds, backend_on_device, measured, model_parser, read_scores, run_step, with_numbers
from clipmill.filters.shard import passing
from clipmill.scores.consistency.embedding_store import write_embeddings
from clipmill.scores.shard import score_shard
from clipmill.steps import by_name
from clipmill.store import tables


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--metrics", nargs="+", required=True, help="which scores, cheaper ones first")
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="cheaper scores, <metric>/<shard>.parquet")
    parser.add_argument("--outputs", type=Path, nargs="+", required=True, help="tables of scores to write")
    add_thresholds(parser)
    args = parser.parse_args()
    settings = args.settings if isinstance(args.settings, list) else [args.settings]
    for number, (metric, output) in enumerate(zip(args.metrics, args.outputs, strict=True)):
        with measured(args.outdir, metric, args.shard, args.threads):
            score(args, metric, settings[number], [*args.scores, *args.outputs[:number]], output)


def score(args: argparse.Namespace, metric: str, settings: dict[str, Any], cheaper: list[Path], output: Path) -> None:
    """Write the table of one metric. Clips that fail a filter on a cheaper score have none."""
    settings = with_numbers(settings, args)
    videos, clips, scores = tables.VIDEOS.rows(args.videos), tables.CLIPS.rows(args.clips), read_scores(cheaper)
    wanted = passing(videos, clips, scores, settings["filters"], settings["order"])
    with backend_on_device(metric, settings["backend"], args.gpu, args.threads, args.batch) as backend:
        rows = score_shard(metric, backend, clips, wanted, args.outdir, args.shard, args.max_error_rate, args.threads)
        write_embeddings(args.outdir, args.shard, settings["backend"]["backend"], rows, backend.about)
        (table,) = by_name(metric).tables
        table.write(output, rows, backend.about)


if __name__ == "__main__":
    run_step(main)
