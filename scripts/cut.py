"""Cut the clips of a shard that every filter kept, and check each file against its source."""

import json
from pathlib import Path

from clipmill.cli import add_thresholds, local_files, measured, run_step, step_parser, with_numbers
from clipmill.cut.shard import cut_shard
from clipmill.filters.shard import with_good_text
from clipmill.filters.verdict import Late
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.review import read_review


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="table of videos")
    parser.add_argument("--parts", type=Path, required=True, help="table of their parts")
    parser.add_argument("--clips", type=Path, required=True, help="table of clips")
    parser.add_argument("--texts", type=Path, required=True, help="table of rewrites: clips without a text are not cut")
    parser.add_argument("--alignment", type=Path, required=True, help="table of alignment scores")
    parser.add_argument("--late", type=json.loads, required=True, help="checks of texts and late filters, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="table of cuts to write")
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "cut", args.shard, args.threads):
        settings = with_numbers(args.late, args)
        has_texts_of_person = settings.pop("texts_of_person", None) is not None
        decisions = read_review(Paths(args.outdir).decisions) if has_texts_of_person else {}
        late = Late(**settings)
        rewrites, alignment = tables.REWRITES.rows(args.texts), tables.ALIGNMENT.rows(args.alignment)
        clips = with_good_text(tables.CLIPS.rows(args.clips), rewrites, alignment, late, decisions)
        videos = {video["video_id"]: video for video in tables.VIDEOS.rows(args.videos)}
        parts = tables.by_video(tables.PARTS.rows(args.parts))
        rows = cut_shard(
            clips,
            videos,
            parts,
            args.outdir,
            args.shard,
            args.settings,
            args.threads,
            args.max_error_rate,
            local_files(args.outdir, args.shard),
        )
        tables.CUTS.write(args.output, rows, {"settings": args.settings})


if __name__ == "__main__":
    run_step(main)
