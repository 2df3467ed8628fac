"""Score how well the texts of a shard fit their clips. With the backend `none` the scores are missing."""

from pathlib import Path

from clipmill.alignment.shard import OTHERS, align_shard, with_text
from clipmill.cli import backend_on_device, measured, model_parser, run_step
from clipmill.store import tables


def main() -> None:
    parser = model_parser(__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--texts", type=Path, required=True, help="table of rewrites")
    parser.add_argument("--output", type=Path, required=True, help="table of alignment scores to write")
    args = parser.parse_args()
    with measured(args.outdir, "alignment", args.shard, args.threads):
        clips = with_text(tables.CLIPS.rows(args.clips), tables.REWRITES.rows(args.texts), args.shard)
        with backend_on_device("alignment", args.settings, args.gpu, args.threads, args.batch) as backend:
            if backend is None:
                rows, about = [{"clip_id": clip["clip_id"]} for clip in clips], args.settings
            else:
                rows = align_shard(backend, clips, args.outdir, args.shard, args.max_error_rate, args.threads)
                about = {**backend.about, "margin_texts": OTHERS}
            tables.ALIGNMENT.write(args.output, rows, about)


if __name__ == "__main__":
    run_step(main)
