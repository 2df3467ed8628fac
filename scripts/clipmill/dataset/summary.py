"""The summary of a run: its numbers, and the lines that the terminal shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from clipmill import __version__
from clipmill.base.human import counted, duration
from clipmill.filters import reasons
from clipmill.filters.quantiles import Resolved
from clipmill.filters.verdict import Judgement
from clipmill.shapes.rates import shows_frames_twice
from clipmill.steps import BY_NAME
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.texts.questions import ANSWERS, DROP

# Steps whose errors may be those of a busy server, and their rules.
ASK_AGAIN = {name: BY_NAME[name].rule for name in ("judge", "caption", "rewrite")}


# Reasons that drop most clips of a first run for a trainer.
OF_THE_TARGET = (tables.TOO_FEW_FRAMES, str(reasons.TOO_SMALL))

# What videos may be beyond the ordinary: what the summary calls it, and how it is seen in a row of VIDEOS.
KINDS: dict[str, Callable[[Row], bool]] = {
    "HDR": lambda video: video["transfer"] in ("hlg", "pq"),
    "interlaced": lambda video: video["field_order"] in ("tff", "bff"),
    "telecined": lambda video: video["field_order"] == "telecined",
    "of a variable rate": lambda video: bool(video["variable_rate"]),
    "changing midway": lambda video: video["changes"] is not None,
}

# What is done about borders and overlays: what the summary calls it, and the column of a clip that says so.
CROPS = {"cropped": "crop_width", "with a mask": "masked"}

# What files may have stayed, and the promise that then does not hold: the config can ask for it.
STAYS = {"HDR": "sdr", "interlaced": "progressive"}


class Summary:
    """Counts over shards. `settings`: the backends of the steps. `thresholds`: the values of quantiles.

    `judgement`: what the answers to the run's questions do, if it has any.
    """

    def __init__(self, settings: dict[str, Any], thresholds: Resolved, judgement: Judgement | None = None):
        self.settings = settings
        self.thresholds = thresholds
        self.videos: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.crops: Counter[str] = Counter()
        self.stays: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.clips: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.policy = {str(one["column"]): one for one in judgement.policy} if judgement else {}
        self.answers: dict[str, Counter[str]] = {column: Counter() for column in self.policy}
        self.scenes = 0
        self.splits: dict[str, int] = {}
        self.review: dict[str, int] = {}  # as `reviewed.Review` counts; empty in a run without decisions

    def shard(self, videos: Iterable[Row], verdicts: Iterable[Row]) -> None:
        """Count one shard."""
        for video in videos:
            self.videos["failed" if video["error_kind"] else "decoded"] += 1
            self.seconds["videos"] += video["seconds"] or 0
            if not video["error_kind"]:
                self.kinds.update(name for name, is_kind in KINDS.items() if is_kind(video))
        self.scenes += len({(row["video_id"], row["scene"]) for row in verdicts})
        for row in verdicts:
            self.clips["found"] += 1
            self.seconds["clips"] += row["seconds"]
            self.crops.update(name for name, column in CROPS.items() if row[column] is not None)
            for column, counts in self.answers.items():
                counts.update([row[column]] if row[column] is not None else [])
            if row["kept"]:
                self.clips["kept"] += 1
                self.seconds["dataset"] += row["cut_seconds"]
                self.cuts[row["cut_method"]] += 1
                self.cuts["frames_twice"] += shows_frames_twice(row)
                self.cuts["copy_failed"] += row["copy_failed"] is not None
                self.texts["not_rewritten"] += row["rewritten"] is False  # missing for a person's text
                self.stays.update(name for name, promise in STAYS.items() if row[promise] is False)
            else:
                self.reasons[row["reason"]] += 1

    def _answers(self) -> dict[str, dict[str, Any]]:
        """By question: the numbers of its answers, and what they do."""
        return {
            column: {
                **{name: self.policy[column][name] for name in ("question", "drop", "unsure")},
                "counts": {answer: counts[answer] for answer in ANSWERS},
            }
            for column, counts in self.answers.items()
        }

    def error(self, step: str, kind: str) -> None:
        """Count one row of the errors table."""
        self.errors[step, kind] += 1

    def removed(self, count: int) -> None:
        """Note how many videos have gone since they were first seen."""
        self.videos["removed"] = count

    def divide(self, clips: Mapping[str, int]) -> None:
        """Note how many clips each split of the dataset has."""
        self.splits = dict(clips)

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json; hours are rounded to a hundredth of a second."""
        return {
            "clipmill": __version__,
            "videos": {name: self.videos[name] for name in ("decoded", "failed", "removed")},
            "kinds": {name: self.kinds[name] for name in KINDS if self.kinds[name]},
            "scenes": self.scenes,
            "clips": {"found": self.clips["found"], "kept": self.clips["kept"]},
            "crops": {name: self.crops[name] for name in CROPS if self.crops[name]},
            "dropped": dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))),
            **({"answers": self._answers()} if self.policy else {}),
            **({"review": self.review} if self.review else {}),
            "splits": self.splits,
            "hours": {name: round(self.seconds[name] / 3600, 6) for name in ("videos", "clips", "dataset")},
            "cuts": {name: self.cuts[name] for name in ("copy", "reencode", "copy_failed", "frames_twice")},
            "stays": {name: self.stays[name] for name in STAYS if self.stays[name]},
            "texts": {"not_rewritten": self.texts["not_rewritten"]},
            "errors": [
                {"step": step, "kind": kind, "count": count} for (step, kind), count in sorted(self.errors.items())
            ],
            "thresholds": self.thresholds,
            "settings": self.settings,
        }


def as_text(summary: dict[str, Any], outdir: Path, links: bool = False) -> str:
    """The summary for the terminal. With `links` the path of the report can be clicked."""
    paths = Paths(outdir)
    videos, clips, hours, cuts = (summary[name] for name in ("videos", "clips", "hours", "cuts"))
    gone = f", {videos['removed']:,} removed since" if videos["removed"] else ""
    kinds = [f"{count:,} {name}" for name, count in summary.get("kinds", {}).items()]
    crops = [f"{count:,} {name}" for name, count in summary.get("crops", {}).items()]
    lines = [
        "",
        f"  videos   {videos['decoded']:,} decoded, {videos['failed']:,} failed{gone}",
        *([f"           {', '.join(kinds)}: see docs/footage.md"] if kinds else []),
        f"  scenes   {summary['scenes']:,}",
        f"  clips    {clips['found']:,} found, {clips['kept']:,} kept",
        *([f"           {', '.join(crops)}: see docs/footage.md"] if crops else []),
    ]
    lines += [f"           {count:6,d}  {reason}" for reason, count in summary["dropped"].items()]
    if explained := [reason for reason in OF_THE_TARGET if reason in summary["dropped"]]:
        lines += [f"           {', '.join(explained)}: see docs/faq.md"]
    if answers := summary.get("answers"):
        lines += ["  answers"]
        lines += [f"           {line}" for line in map(answer_line, answers, answers.values())]
    if review := summary.get("review"):
        lines += review_lines(review)
    elif paths.review_file.exists():
        lines += [f"  review   the decisions in {paths.review_file} are not followed: name the file as `review`"]
    if clips["found"] and not clips["kept"]:
        lines += ["           the dataset is empty: loosen what drops the most; report.html shows what would be kept"]
    if len(summary["splits"]) > 1:
        lines += ["  splits   " + ", ".join(f"{count:,} {split}" for split, count in summary["splits"].items())]
        lines += [
            f"           no clip is in {split}: videos are drawn whole; try another export.seed or validation_share"
            for split, count in summary["splits"].items()
            if clips["kept"] and not count
        ]
    lines += [
        f"  {name}.{side} is {found['value']}: q{found['quantile']} of {counted(found['clips'], 'clip')}"
        for name, bounds in summary["thresholds"].items()
        for side, found in bounds.items()
    ]
    lines += [
        f"  length   {duration(3600 * hours['videos'])} in, {duration(3600 * hours['dataset'])} out",
        f"  files    {cuts['copy']:,} copied without loss, {cuts['reencode']:,} re-encoded"
        + (f" ({cuts['copy_failed']:,} after a copy that failed its check)" if cuts["copy_failed"] else ""),
    ]
    if count := cuts.get("frames_twice"):  # missing in older summaries
        files = counted(count, "file shows", "files show")
        lines += [f"           {files} some frames twice, because the video is slower: `filters.fps` drops such clips"]
    lines += [
        f"           {counted(count, 'file stays', 'files stay')} {name}, "
        f"as decode.{'tone_map' if name == 'HDR' else 'deinterlace'} says"
        for name, count in summary.get("stays", {}).items()
    ]
    lines += [
        f"  texts    caption by {summary['settings']['caption']}, rewrite by {summary['settings']['rewrite']}, "
        f"alignment {summary['settings']['alignment']}"
        + (" (not checked against the video)" if summary["settings"]["alignment"] == "none" else ""),
    ]
    if count := summary["texts"]["not_rewritten"]:
        texts = counted(count, "text stands as it was captioned", "texts stand as they were captioned")
        lines += [f"           {texts}: no rewriting was good enough"]
    errors = [(error.get("step") or error["rule"], error) for error in summary["errors"]]  # 0.1 said `rule`
    if errors:
        lines += ["  errors"]
        lines += [f"           {error['count']:6,d}  {step}: {error['kind']}" for step, error in errors]
    again = sorted({ASK_AGAIN[step] for step, _ in errors if step in ASK_AGAIN})
    if again:
        lines += [
            f"           the same command with `--forcerun {' '.join(again)}` asks for these again, and no others"
        ]
    lines += [
        "",
        f"  dataset  {paths.dataset}",
        f"  verdicts {paths.final_verdicts}",
        f"  errors   {paths.errors}",
        f"  report   {_link(paths.report) if links else paths.report}",
    ]
    return "\n".join(lines)


def review_lines(review: Mapping[str, int]) -> list[str]:
    """What a person decided, and which decisions could not be followed."""
    lines = [
        f"  review   {counted(review['looked_at'], 'clip')} looked at: {review['kept']:,} kept, "
        f"{review['reviewed_out']:,} reviewed out, {review['starred']:,} with a star, "
        f"{counted(review['texts'], 'text')} edited"
    ]
    return [*lines, *(f"           {decisions}: see errors.csv" for decisions in not_followed(review))]


def not_followed(review: Mapping[str, int]) -> list[str]:
    """How many decisions could not be followed, and why."""
    words = {
        "changed": ("decision of a clip that has changed since", "decisions of clips that have changed since"),
        "unknown": ("decision of a clip that is not there", "decisions of clips that are not there"),
    }
    return [counted(review[name], *nouns) for name, nouns in words.items() if review[name]]


def answer_line(column: str, about: Mapping[str, Any]) -> str:
    """How often a question was answered in which way, and what that does."""
    drop = f"{about['drop']} drops" if about["drop"] else "no answer drops"
    policy = "is dropped" if about["unsure"] == DROP else "is kept"
    counts = ", ".join(f"{count:,} {answer}" for answer, count in about["counts"].items())
    return f"{column}: {counts} ({drop}, unsure {policy})"


def _link(path: Path) -> str:
    """A path that can be clicked in a terminal: a hyperlink by the escape sequence OSC 8."""
    return f"\x1b]8;;{path.resolve().as_uri()}\x1b\\{path}\x1b]8;;\x1b\\"
