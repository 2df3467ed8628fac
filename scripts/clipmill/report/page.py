"""The page: the collected numbers, in the form that the template shows."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup

from clipmill.base.human import counted, duration
from clipmill.filters.columns import COLUMNS, LATE_FILTERS, WORDS
from clipmill.filters.published import of_score
from clipmill.report import whatif
from clipmill.report.collect import Collected
from clipmill.report.costs import Cost
from clipmill.report.judge import ANSWERS, DUPLICATES, FILES, GONE_ON, TEXTS, Looked
from clipmill.report.pictures import Picture
from clipmill.report.scales import Scale, histogram
from clipmill.store.benchmarks import MUCH_START
from clipmill.store.layout import Paths, clip_file
from clipmill.store.table import FLAG

HERE = Path(__file__).parent
MOST_LINES = 12  # of a list of sizes or rates; the rest is one line
MOST_WORDS = 40
MOST_ERRORS = 200  # lines of the list of errors
SHORT_WORD = 3  # letters
HIDDEN = "(not shown)"
STAGES = {DUPLICATES: "duplicates and limits", ANSWERS: "no answer drops it"}
STAGES |= {TEXTS: "texts pass their checks", FILES: "dataset"}
# Shapes by their names; a shape within 3 % has the name too.
SHAPES = {"9:16": 9 / 16, "3:4": 3 / 4, "1:1": 1, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9, "1.85:1": 1.85}
SHAPES |= {"2:1": 2, "2.39:1": 2.39}

Lines = list[dict[str, Any]]


def render(view: Mapping[str, Any], folder: Path = HERE) -> str:
    """The page as HTML. All that comes from outside is escaped by the template.

    `folder`: where the template of the page is, its script if it has one, and the style that it adds to the report's.
    """
    script = _text(folder / "page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = "".join(_text(one / "page.css") for one in dict.fromkeys((HERE, folder)))
    return _template(folder).render(view, script=script, script_hash=digest, style=style)


@cache
def _template(folder: Path) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, HERE]), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"count": count, "hours": hours, "number": number, "share": share, "clock": clock}
    environment.filters |= {"lasting": duration, "plural": plural, "code": code}
    return environment.get_template("page.html.j2")


def _text(path: Path) -> str:
    """What a file says; nothing if the page has no such file."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


# --- numbers as people read them; page.js has the same ----------------------------------------------------------------


def count(value: float) -> str:
    return f"{round(value):,}"


def plural(value: float, word: str, several: str | None = None) -> str:
    return counted(round(value), word, several)


def hours(seconds: float) -> str:
    value = seconds / 3600
    return f"{value:.3f}" if value < 10 else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def number(value: float | None) -> str:
    """A score with four significant digits; a missing one as a dash."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(part: float, whole: float) -> str:
    value = 100 * part / whole if whole else 0.0
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def clock(seconds: float) -> str:
    minutes, tenths = divmod(round(10 * max(0.0, seconds)), 600)
    whole = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else f"{minutes}"
    return f"{whole}:{tenths / 10:04.1f}"


def code(text: str) -> Markup:
    """`text` as HTML with the parts in backticks as code; all of it is escaped."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


# --- parts of the page ------------------------------------------------------------------------------------------------


def funnel(collected: Collected, summary: Mapping[str, Any]) -> Lines:
    """One line per stage, in the order of the data: label, number of clips (or videos, scenes) and seconds.

    How long whole scenes are, with the frames at their ends that belong to no clip, is not known.
    """
    videos = summary["videos"]["decoded"] + summary["videos"]["failed"]
    length = 3600 * summary["hours"]["videos"]
    found, short = collected.found, collected.short
    lines = [
        {"label": "videos", "count": videos, "seconds": None, "clips": False},
        {"label": "videos decoded", "count": summary["videos"]["decoded"], "seconds": length, "clips": False},
        {"label": "scenes", "count": summary["scenes"], "seconds": None, "clips": False},
        {"label": "clips", "count": found.clips, "seconds": found.seconds, "clips": True},
        {
            "label": "long enough",
            "count": found.clips - short.clips,
            "seconds": found.seconds - short.seconds,
            "clips": True,
        },
    ]
    count, seconds = found.clips - short.clips, found.seconds - short.seconds
    for label, dropped in (("large enough", collected.small), ("with sound", collected.silent)):
        count, seconds = count - dropped.clips, seconds - dropped.seconds
        if dropped.clips:
            lines.append({"label": label, "count": count, "seconds": seconds, "clips": True})
    lines = [{"stage": None, "filter": False, "active": True, **line} for line in lines]
    for stage, (passed, _) in collected.tally.funnel().items():
        is_filter = stage not in STAGES
        lines.append(
            {
                "stage": stage,
                "label": stage if is_filter else STAGES[stage],
                "filter": is_filter,
                "count": passed.clips,
                "seconds": collected.kept.seconds if stage == FILES else passed.seconds,
                "clips": True,
                "active": not is_filter or stage in collected.judge.active,
            }
        )
    return lines


def filters(
    collected: Collected,
    scales: Mapping[str, Scale],
    quantiles: Mapping[str, Mapping[str, str]],
    backends: Mapping[str, str],
) -> Lines:
    """One card per filter: first those that drop clips, then the others with a bound, then those without.

    `quantiles`: the config's bounds that are quantiles. `backends`: of the run, by step.
    """
    columns = {column.name: column for column in collected.judge.table.columns}
    alone, unknown, overlap = collected.tally.alone(), collected.tally.unknown(), collected.tally.overlap()
    kept = collected.fate == GONE_ON
    cards = []
    for name, own in scales.items():
        values, active, bound = collected.values[name], name in collected.judge.active, collected.judge.bounds[name]
        finite = np.isfinite(values)
        decided_by = collected.judge.decides(name)
        card = {
            "name": name,
            "meaning": columns[name].meaning,
            "unit": columns[name].unit,
            "group": 2 if not active else 0 if overlap[name][name] else 1,
            "active": active,
            "known": int(finite.sum()),
            "scored": bool(finite.any()),
            "late": name in LATE_FILTERS,
            "whole": own.whole,
            "decided_by": decided_by,
            "failing": failing(overlap[name][name], *alone[name]) if active else "",
            "unknown": unknown[name] if active else int(collected.unknown[name].sum()),
        }
        if name in WORDS:
            cards.append(card | _words_card(collected, name, values, kept))
            continue
        counts, (low, high) = histogram(values[finite], own.span), own.span.tolist()
        own_bounds = sorted({value for value in bound.values() if value is not None})
        cards.append(
            card
            | {
                "words": None,
                # The first stop lies below all scores. Where scores are never negative, the shown end is not either.
                "low": low if (values[finite] < 0).any() else max(low, 0.0),
                "high": high,
                "far_low": [value for value in own_bounds if value < low],
                "far_high": [value for value in own_bounds if value > high],
                "left": float(own.places[0]),
                "right": float(own.places[-1]),
                "bounds": {end: bound.get(end) for end in ("min", "max")},
                "places": {end: own.place(value) for end, value in bound.items() if value is not None},
                # Only quantiles that other thresholds change: one over all clips stays as it is.
                "quantiles": quantiles.get(name, {}) if decided_by else {},
                "beyond": float(((values < low) | (values > high)).sum()),
                "published": [
                    {"who": one.who, "says": one.says, "places": _marks(own, (one.low, one.high))}
                    for one in of_score(name, backends)
                ],
                "all": bars(counts, counts.max(initial=0)),
                "kept": bars(histogram(values[finite & kept], own.span), counts.max(initial=0)),
            }
        )
    return sorted(cards, key=lambda card: card["group"])


def _marks(own: Scale, bounds: Iterable[float | None]) -> list[float]:
    """Where bounds stand on a histogram; those beyond its ends are left out."""
    low, high = own.span
    return [own.place(bound) for bound in bounds if bound is not None and low <= bound <= high]


def _words_card(collected: Collected, name: str, values: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    """What only the card of a filter on words has. `kept`: which of `values` are of kept clips."""
    judge = collected.judge
    numbers, those_kept = values[np.isfinite(values)].astype(int), values[np.isfinite(values) & kept].astype(int)
    counts = [np.bincount(them, minlength=len(judge.words[name])).tolist() for them in (numbers, those_kept)]
    facts = zip(judge.words[name], judge.lets_in(name), *counts, strict=True)
    return {
        "words": [dict(zip(("word", "passes", "found", "kept"), fact, strict=True)) for fact in facts],
        "most": max(counts[0], default=0),
        "is_flag": COLUMNS[name].type == FLAG,
        "bounds": {key: judge.bounds[name].get(key) for key in ("allow", "deny")},
        "quantiles": {},
        "published": [],
        "beyond": 0,
    }


def failing(fail: int, alone: int, unsure: int) -> str:
    """Says how many clips fail a filter. `alone`: those that fail no other; `unsure`: no other that was computed."""

    def said(number: int, who: str, what: str) -> str:
        return f"{who} {'fails' if number == 1 else 'fail'} {what}."

    if not fail:
        return "No clip fails it."
    sentences = [said(fail, plural(fail, "clip"), "it")]
    if alone:
        sentences.append(said(alone, f"{count(alone)} of them", "nothing else"))
    if unsure:
        sentences.append(said(unsure, f"{count(unsure)} of them", "no other filter whose score was computed"))
    return " ".join(sentences if alone or unsure else [*sentences, "Each of them fails something else too."])


def bars(counts: np.ndarray, most: float) -> str:
    """A histogram as the path of an SVG, BINS wide and 100 high. Heights are square roots, so that few clips show."""
    heights = 100 * np.sqrt(counts / (most or 1))
    steps = [f"V{100 - height:.4g}H{place + 1}" for place, height in enumerate(heights)]
    return f"M0 100{''.join(steps)}V100Z"


def overlap(collected: Collected) -> dict[str, Any]:
    """How many clips fail each pair of filters; only filters that some clip fails."""
    both = collected.tally.overlap()
    names = [name for name in both if both[name][name]]
    return {"names": names, "both": both, "most": max((both[name][name] for name in names), default=0)}


def distribution(found: Iterable[tuple[Any, Sequence[int]]], label: Callable[[Any], str]) -> Lines:
    """The commonest kinds, the rest as one line: label, clips found, clips kept."""
    sums: dict[str, np.ndarray] = {}
    for kind, counts in found:
        name = label(kind)
        sums[name] = sums.get(name, np.zeros(2, np.int64)) + counts
    lines = sorted(sums.items(), key=lambda line: (-line[1][0], line[0]))
    if len(lines) > MOST_LINES:
        rest = lines[MOST_LINES - 1 :]
        others = sum((counts for _, counts in rest), np.zeros(2, np.int64))
        lines = [*lines[: MOST_LINES - 1], (f"{len(rest)} others", others)]
    return [{"label": name, "found": int(counts[0]), "kept": int(counts[1])} for name, counts in lines]


def shape(size: tuple[int, int]) -> str:
    """The name of a picture's shape."""
    ratio = size[0] / (size[1] or 1)
    name, value = min(SHAPES.items(), key=lambda item: abs(item[1] / ratio - 1) if ratio else 1)
    return name if ratio and abs(value / ratio - 1) <= 0.03 else "others"


def plot(values: np.ndarray, kept: np.ndarray | None = None) -> dict[str, Any] | None:
    """A plain histogram; None without values."""
    if not len(values):
        return None
    ends = np.array([float(values.min()), float(values.max())])
    ends[1] = ends[1] if ends[1] > ends[0] else ends[0] + 1
    counts = histogram(values, ends)
    return {
        "low": float(ends[0]),
        "high": float(ends[1]),
        "median": float(np.median(values)),
        "all": bars(counts, counts.max()),
        "kept": None if kept is None else bars(histogram(values[kept], ends), counts.max()),
    }


def errors(outdir: Path, summary: Mapping[str, Any]) -> Lines:
    """How often each kind of error occurred, and its first message."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    with open(Paths(outdir).errors, encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            first.setdefault((row["step"], row["kind"]), (row["video"], row["message"]))
    return [
        {**error, **dict(zip(("video", "message"), first.get((error["step"], error["kind"]), ("", "")), strict=True))}
        for error in summary["errors"][:MOST_ERRORS]
    ]


def words(found: Counter[str], texts: int) -> Lines:
    """The words that occur in most texts; short ones say little and are left out."""
    longer = [(word, number) for word, number in found.items() if len(word) > SHORT_WORD or not word.isascii()]
    longer.sort(key=lambda item: (-item[1], item[0]))
    return [{"word": word, "count": number, "share": number / texts} for word, number in longer[:MOST_WORDS]]


def as_yaml(config: Mapping[str, Any]) -> str:
    """The config as YAML, without the values of headers: they may be secrets of a server."""
    return yaml.safe_dump(_without_headers(config), sort_keys=False, allow_unicode=True, width=100)


def _without_headers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: dict.fromkeys(part, HIDDEN)
            if key == "headers" and isinstance(part, Mapping)
            else _without_headers(part)
            for key, part in value.items()
        }
    return [_without_headers(part) for part in value] if isinstance(value, list) else value


def data(
    collected: Collected, scales: Mapping[str, Scale], table: Mapping[str, Any], cards: Lines, looked: Looked
) -> dict[str, Any]:
    """The data that page.js works with. `looked`: the clips that are shown."""
    return {
        **table,
        "found": collected.found.clips,
        "stages": collected.judge.stages,
        "filters": [
            {
                "name": card["name"],
                "stops": scales[card["name"]].stops.tolist(),
                "edges": whatif.edges(scales[card["name"]]),
                "knots": scales[card["name"]].knots.tolist(),
                "places": scales[card["name"]].places.tolist(),
                "quantiles": card["quantiles"],
                "decidedBy": card["decided_by"],
                "words": card["words"],
                "shown": collected.judge.said(card["name"], looked.values[card["name"]]),
                "isFlag": card.get("is_flag"),
                **card["bounds"],
            }
            for card in cards
        ],
    }


def costs(found: list[Cost]) -> dict[str, Any]:
    return {
        "rules": found,
        "wall": sum(cost.wall for cost in found),
        "processor": sum(cost.processor for cost in found),
        "start": sum(cost.start for cost in found),
        "short": sum(cost.start for cost in found) > MUCH_START * sum(cost.wall for cost in found),
        "unmeasured": sum(cost.jobs - cost.measured for cost in found),
    }


def clips(found: Iterable[Picture]) -> Lines:
    """The clips that are shown. The place of a clip in the list is its row at the end of the table.

    `file`: where the clip of the dataset is, as seen from the page. `source`: the part of its video that the clip is,
    as `snakemake browse` serves it.
    """
    lines = []
    for number, picture in enumerate(found):
        about = picture.about
        below = (Paths(Path()).dataset_clips / clip_file(about["video_id"], about["clip_id"])).as_posix()
        source = f"source/{urllib.parse.quote(about['video_id'])}#t={about['start']},{about['end']}"
        kept = about["reason"] is None
        line = {"file": urllib.parse.quote(below) if kept else None, "source": None if kept else source}
        lines.append({**about, **line, "number": number, "picture": picture})
    return lines


def copies(shown: Lines) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of a clip that stays and one that was dropped as a copy of it."""
    by_id = {clip["clip_id"]: clip for clip in shown}
    return [(by_id[clip["duplicate_of"]], clip) for clip in shown if clip["duplicate_of"] in by_id]
