"""The dataset card: `README.md` of the dataset folder, with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from clipmill import __version__
from clipmill.base.human import counted, duration
from clipmill.dataset.formats.assign import SPLITS, frames_at
from clipmill.dataset.formats.layout import Format, bucket_of
from clipmill.filters import verdict
from clipmill.filters.columns import WORDS
from clipmill.shapes.rates import shows_frames_twice
from clipmill.store import tables

MOST_ROWS = 10
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
WORDS_PER_ROW = 25
# The files of a split that the hub and `datasets` load, by format. They take one kind of file per dataset, so the card
# names the first of these formats that is written; without any it names the table, and the clips, which the table names
# in its column `file_name`. Of two such tables they would refuse both: metadata.jsonl is not named. The table has the
# clips of all splits. If some may be for validation, it must not be taken for the training set, so it is a split of
# another name.
ON_THE_HUB = {"hf-videofolder": "hf-videofolder/{split}/**", "webdataset": "webdataset/{split}-*.tar"}
TABLE_ON_THE_HUB = ("metadata.parquet", "clips/**/*.mp4")
ALL_SPLITS = "clips"
SPEECH = "speech_share"  # the column that says in which share of a clip somebody speaks, if the run measures it


class Numbers:
    """The numbers of the card, counted shard by shard. Memory is bounded: a distribution has one count per value.

    `clips` and `seconds`: by split, with all of the `splits`, empty ones too. `short_at`: by each of the `rates`, clips
    that have fewer frames than their bucket when frames are counted at this rate. `sound` and `speech`: seconds of the
    clips with sound, and seconds of these in which somebody speaks; `measured`: seconds of these in which it was
    measured whether somebody does. `broken`: by the column of a promise of docs/promise.md, clips for which it does
    not hold. `frames_twice`: clips in which frames are repeated, because their video has fewer per second.
    """

    def __init__(self, splits: Sequence[str], rates: Sequence[int] = ()) -> None:
        self.videos = 0
        self.clips: Counter[str] = Counter(dict.fromkeys(splits, 0))
        self.seconds: Counter[str] = Counter(dict.fromkeys(splits, 0.0))
        self.without_bucket = self.frames_twice = 0
        self.short_at: Counter[int] = Counter(dict.fromkeys(rates, 0))
        self.sound = self.speech = self.measured = 0.0
        self.broken: Counter[str] = Counter()
        self._spread: dict[str, Counter[Any]] = {
            name: Counter()
            for name in ("Duration", "Resolution", "Frames a second", "Words of the text", "Camera", "Bucket")
        }

    def shard(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count rows of METADATA: all of one shard's videos."""
        self.videos += len({row["video_id"] for row in rows})
        for row in rows:
            self.clips[row["split"]] += 1
            self.seconds[row["split"]] += row["cut_seconds"]
            if row["cut_sound"] and row.get("has_sound") is not False:  # not of the tracks that cut.audio_silence adds
                self.sound += row["cut_seconds"]
                if (share := row.get(SPEECH)) is not None:
                    self.speech += share * row["cut_seconds"]
                    self.measured += row["cut_seconds"]
            self.broken.update(one.name for one in tables.PROMISES if row.get(one.name) is False)
            self.frames_twice += shows_frames_twice(row)
            bucket = bucket_of(row).name
            self.without_bucket += bucket == "all"
            if wanted := row["bucket_frames"]:
                for rate in self.short_at:
                    self.short_at[rate] += frames_at(rate, row["cut_frames"], row["cut_fps"]) < wanted
            words = len(row["text"].split()) // WORDS_PER_ROW * WORDS_PER_ROW
            for name, value in (
                ("Duration", int(row["cut_seconds"])),
                ("Resolution", (row["cut_width"], row["cut_height"])),
                ("Frames a second", round(row["cut_fps"], 2)),
                ("Words of the text", words),
                ("Camera", row.get("camera") or tables.UNKNOWN),
                ("Bucket", bucket),
            ):
                self._spread[name][value] += 1

    def spreads(self) -> dict[str, list[tuple[str, int]]]:
        """Each distribution as rows of a label and a count, rare values in one row; buckets only if there are any."""
        labels = {
            "Duration": lambda second: f"{second} to {second + 1} s",
            "Resolution": lambda size: f"{size[0]} × {size[1]}",
            "Frames a second": lambda fps: f"{fps:g}",
            "Words of the text": lambda words: f"{words} to {words + WORDS_PER_ROW - 1}",
            "Camera": lambda name: name.replace("_", " "),
            "Bucket": lambda name: "none" if name == "all" else name,
        }
        return {
            name: _rows(counts, labels[name])
            for name, counts in self._spread.items()
            if name != "Bucket" or counts.keys() - {"all"}
        }


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("clipmill.dataset.formats", ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": in_markdown, "lasting": duration}
    return environment.get_template("card.md.j2")


def write_card(
    numbers: Numbers,
    formats: Mapping[str, Format],
    settings: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
    review: Mapping[str, int],
) -> str:
    """The text of the card. `formats`: those written, by name; `settings`, `models`: as in `export.export_dataset`.

    `review`: the section of the summary; empty in a run without decisions.
    """
    about, checks = settings["export"]["card"], settings["late"]["checks"]
    front_matter = _front_matter(numbers, formats, about)
    return _template().render(
        front_matter=yaml.safe_dump(front_matter, sort_keys=False, allow_unicode=True),
        title=about["title"] or "Captioned video clips",
        license=about["license"],
        version=__version__,
        numbers=numbers,
        clips=numbers.clips.total(),
        videos=counted(numbers.videos, "video"),
        length=duration(numbers.seconds.total()),
        spreads=numbers.spreads(),
        broken={one.name: one.meaning for one in tables.PROMISES if numbers.broken[one.name]},
        all_splits=ALL_SPLITS,
        filters=_bounds(settings["filters"], settings["thresholds"]),
        questions=settings.get("judgement", {}).get("policy", ()),
        drops=list(_drops(**settings["drops"])) if "drops" in settings else [],
        checks={name: value for name, value in checks.items() if value is not None and value is not False},
        models=models,
        formats=formats,
        review=review,
        require=settings.get("review", {}).get("require"),
        around=[settings["export"][name] for name in ("text_prefix", "text_suffix")],
    )


def _drops(duplicates: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What was dropped after the filters, as lines of the table of filters: what is counted, and the most that stay."""
    if duplicates["backend"] != "none":
        yield f"clips that are alike by {duplicates['backend']} (best {duplicates['keep']})", limits["per_group"] or 1
    if limits["per_video"] is not None:
        yield "clips of a video", limits["per_video"]


def _bounds(filters: Mapping[str, Mapping[str, Any]], thresholds: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Filters with a bound: score -> min and max as text, "" for none; a quantile as its value and the quantile.

    Words that are allowed or denied stand in the same places.
    """
    found: dict[str, dict[str, str]] = {}
    for name, bound in filters.items():
        if name in WORDS:
            named = {key: ", ".join(map(verdict.word, bound[key] or ())) for key in ("allow", "deny")}
            texts = {
                "min": named["allow"] and f"only {named['allow']}",
                "max": named["deny"] and f"not {named['deny']}",
            }
            found |= {name: texts} if any(texts.values()) else {}
            continue
        texts = {side: "" if bound[side] is None else str(bound[side]) for side in ("min", "max")}
        for side, quantile in thresholds.get(name, {}).items():
            texts[side] = f"{quantile['value']} ({bound[side]})"
        if any(texts.values()):
            found[name] = texts
    return found


def _front_matter(numbers: Numbers, formats: Mapping[str, Format], about: Mapping[str, Any]) -> dict[str, Any]:
    """What the hub reads: see huggingface/hub-docs, datasetcard.md."""
    clips = numbers.clips.total()
    matter: dict[str, Any] = {"license": about["license"]}
    if about["title"]:
        matter["pretty_name"] = about["title"]
    if about["language"]:
        matter["language"] = [about["language"]]
    matter["task_categories"] = ["text-to-video"]
    matter["size_categories"] = [SIZES[min(max(len(str(clips)) - 3, 0), len(SIZES) - 1)]]
    matter["tags"] = ["video", "clipmill"]
    if clips:
        matter["configs"] = [{"config_name": "default", "data_files": _data_files(numbers, formats)}]
    return matter


def _data_files(numbers: Numbers, formats: Mapping[str, Format]) -> list[dict[str, Any]]:
    patterns = [pattern for name, pattern in ON_THE_HUB.items() if name in formats]
    if not patterns:
        return [{"split": ALL_SPLITS if len(numbers.clips) > 1 else SPLITS[0], "path": [*TABLE_ON_THE_HUB]}]
    splits = [split for split, count in numbers.clips.items() if count]
    return [{"split": split, "path": patterns[0].format(split=split)} for split in splits]


def in_markdown(value: Any) -> str:
    """A value as plain text of Markdown, in one line: nothing in it is markup or HTML."""
    text = escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#|~!])", r"\\\1", text)


def _rows(counts: Counter[Any], label: Any) -> list[tuple[str, int]]:
    """The commonest values in their own order, then all others together."""
    common = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_ROWS]
    rows = [(label(value), counts[value]) for value in sorted(common)]
    others = counts.total() - sum(count for _, count in rows)
    return [*rows, ("others", others)] if others else rows
