"""Score how well the texts of a shard fit their clips. With the backend `none` the scores are missing."""

from pathlib import Path

from clipmill.cli import backend_on_device, model_parser, run_step
from clipmill.store import tables


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--texts", type=Path, required=True, help="table of rewrites")
    parser.add_argument("--output", type=Path, required=True, help="table of alignment scores to write")
    args = parser.parse_args()
    rows = [row for row in tables.REWRITES.rows(args.texts) if row["shard"] == args.shard]
    texts = {row["clip_id"]: row["text"] for row in rows if row["text"] is not None}
    with backend_on_device("alignment", args.settings, args.gpu, args.threads, args.batch) as backend:
        if backend is None:
            rows, about = [{"clip_id": clip_id} for clip_id in texts], args.settings
        else:
            from clipmill.alignment.shard import OTHERS, align_shard

            clips = [row for row in tables.CLIPS.rows(args.clips) if row["clip_id"] in texts]
            clips = [{**row, "text": texts[row["clip_id"]]} for row in clips]
            rows = align_shard(backend, clips, args.outdir, args.shard, args.max_error_rate, args.threads)
            about = {**backend.about, "margin_texts": OTHERS}
        tables.ALIGNMENT.write(args.output, rows, about)


if __name__ == "__main__":
    run_step(main)
