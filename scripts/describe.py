"""Write what follows from definitions: config/config.yaml, docs/tables.md, a table of docs/thresholds.md, and badges.

The keys are defined in config/config.schema.yaml, tables and filters in scripts/clipmill/store/tables.py. A badge shows
what a file of the repository says: the licence, the oldest Python and Snakemake, and what continuous integration runs.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from clipmill.config import defaults, load_schema, of_each, resolved
from clipmill.filters.published import as_table
from clipmill.store import tables

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "config" / "config.schema.yaml"
CONFIG = ROOT / "config" / "config.yaml"
DOCS = ROOT / "docs" / "tables.md"
THRESHOLDS = ROOT / "docs" / "thresholds.md"
PICTURES = ROOT / "docs" / "pictures"

HEAD = """\
# All settings with their defaults. Made from config.schema.yaml by `python scripts/describe.py`: do not edit.
# Put only the keys that you change into a file of your own, and run
#   snakemake --profile profiles/local --configfile my.yaml
# Unknown keys, wrong types and values out of range are refused before anything runs.
"""

DOCS_HEAD = """\
# Reference: tables and keys

This page lists every table with its columns, and every key of the config. `python scripts/describe.py` makes it from
`scripts/clipmill/store/tables.py` and `config/config.schema.yaml`; a test keeps them equal.

All tables are Parquet, except `errors.csv`, the benchmarks and the `.jsonl` twin of the metadata. Paths are below
`outdir`. Times of videos are presentation times in seconds on a clock that starts with the video's first frame. A value
that was not computed is missing, never 0. The Parquet metadata say which table it is (`clipmill_table`), which version
wrote it (`clipmill_version`), and how it was made (`clipmill`: settings, model).
"""

REQUIRED = object()  # stands for the default of a key that has none
WIDTH = 120
COLUMN = 28  # where comments beside values start
MOST_NAMES = 12  # entries of a section that a cell of the reference names

# JSON's types in the words of the documentation.
TYPES = {
    "object": "keys with values",
    "array": "list",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "`null`",
}

# By badge: what it is about, the file that says so, and how it says it.
BADGES = {
    "licence": ("licence", "LICENSE", r"(Apache) License\s+Version (2\.0)"),
    "python": ("python", "Makefile", r"needs Python (3\.\d+) (or newer)"),
    "snakemake": ("snakemake", "Snakefile", r'min_version\("([\d.]+)"\)'),
    "ci": ("CI", ".github/workflows/ci.yml", r"bash (\.ci/run)"),
}
LETTER, PADDING = 6.6, 10  # pixels: about the width of a letter of the badges, and the room at its sides
BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {words}">
<title>{label}: {words}</title>
<rect width="{width}" height="20" rx="3" fill="#1d6f78"/>
<path d="M3 0h{left}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="5" y="14" textLength="{label_length}">{label}</text>
<text x="{words_x}" y="14" textLength="{words_length}">{words}</text>
</g>
</svg>
"""

Part = dict[str, Any]  # of the schema


def in_flow_style(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {in_flow_style(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_flow_style, value)) + "]"
    if isinstance(value, str) and yaml.safe_load(f"[{value}]") == [value]:
        return value
    return json.dumps(value)


def sub_keys(part: Part, schema: Part) -> dict[str, dict[str, Part]]:
    """Of a section whose entries are one line each: the keys of the entries, each with the entries that have it."""
    found: dict[str, dict[str, Part]] = {}
    for entry, inner in part["properties"].items():
        for name, key in resolved(inner, schema)["properties"].items():
            found.setdefault(name, {})[entry] = resolved(key, schema)
    return found


def shared_description(entries: dict[str, Part]) -> str:
    """The description of a key that several entries have."""
    (description,) = {key["description"] for key in entries.values()}
    return description


# --- config.yaml ------------------------------------------------------------------------------------------------------


def with_choices(part: Part) -> str | None:
    """The description of a key, with the values that it may have, if these are few and the description lacks some."""
    choice = part.get("items", part)
    about = part.get("description")
    names = [in_flow_style(name) for name in choice.get("enum", choice.get("examples", []))]
    named = set(re.findall(r"[\w.-]*\w", about or ""))
    if names and not named.issuperset(names):
        return f"{about} ({', '.join(names)})"
    if "minimum" in part and "maximum" in part:
        return f"{about} ({part['minimum']} to {part['maximum']})"
    return about


def comment(text: str, indent: str = "", further: str = "") -> list[str]:
    """A comment, on as many lines as it needs. Further lines are indented by `further`."""
    start = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start + further, break_on_hyphens=False)


def with_comment(line: str, text: str | None, indent: str) -> list[str]:
    """A line with its comment: beside it if there is room, else above it."""
    if not text:
        return [line]
    beside = f"{line:<{COLUMN - 2}}  # {text}"
    return [beside] if len(beside) <= WIDTH else [*comment(text, indent), line]


def one_line_entries(part: Part, values: dict[str, Any], schema: Part, indent: str) -> Iterator[str]:
    """The entries of a section, one line each, in columns. Comments go on below themselves."""
    for name, entries in sub_keys(part, schema).items():
        yield from comment(f"{name}: {shared_description(entries)}", indent, "  ")
    names = max(len(name) for name in values) + 2
    lines = {name: f"{indent}{name + ':':<{names}}{in_flow_style(value)}" for name, value in values.items()}
    commented = [name for name, inner in part["properties"].items() if "description" in resolved(inner, schema)]
    column = max(COLUMN, *(len(lines[name]) + 2 for name in commented))
    for name, line in lines.items():
        if name not in commented:
            yield line
            continue
        text = resolved(part["properties"][name], schema)["description"]
        first, *more = textwrap.wrap(text, WIDTH - column - 2, break_on_hyphens=False)
        yield f"{line:<{column}}# {first}"
        yield from (f"{'':<{column}}# {rest}" for rest in more)


def key_lines(path: list[str], part: Part, value: Any, schema: Part, seen: dict[str, list[str]]) -> Iterator[str]:
    """A key with its comment and all that is below it.

    `seen`: definitions that several sections share, and the section where each was written first. The comments of a
    definition are written there alone.
    """
    indent, name = "  " * (len(path) - 1), path[-1]
    whole = resolved(part, schema)
    about = with_choices(whole)
    if "properties" not in whole:
        yield from with_comment(f"{indent}{name}: {in_flow_style(value)}", about, indent)
        return
    known: Part = {}
    if "$ref" in part:
        first = seen.setdefault(part["$ref"], path)
        if first is not path:
            known = resolved({"$ref": part["$ref"]}, schema)["properties"]
            about = f"keys as in {'.'.join(first)}"
    yield from with_comment(f"{indent}{name}:", about, indent)
    if whole.get("x-one-line"):
        yield from one_line_entries(whole, value, schema, indent + "  ")
        return
    for key, inner in whole["properties"].items():
        described = resolved(known.get(key, {}), schema).get("description")
        if described and described == resolved(inner, schema)["description"]:
            yield f"{indent}  {key}: {in_flow_style(value[key])}"
        else:
            yield from key_lines([*path, key], inner, value[key], schema, seen)


def config_yaml(schema: Part) -> str:
    """The text of config.yaml."""
    lines = HEAD.splitlines()
    seen: dict[str, list[str]] = {}
    for name, value in defaults(schema).items():
        part = schema["properties"][name]
        if section := part.get("x-section"):
            lines += ["", f"# --- {section['title']} ".ljust(WIDTH, "-"), *comment(section.get("text", ""))]
        lines += key_lines([name], part, value, schema, seen)
    return "\n".join(lines) + "\n"


# --- the tables of the documentation ----------------------------------------------------------------------------------


def type_and_range(part: Part) -> str:
    """What a key may be, in words."""
    if "const" in part:
        return f"`{part['const']}`"
    if names := part.get("enum", part.get("examples")):
        return "one of " + ", ".join(f"`{in_flow_style(name)}`" for name in names)
    if "anyOf" in part:
        return " or ".join(map(type_and_range, part["anyOf"]))
    if part["type"] == "string" and "pattern" in part:
        return str(part["description"])
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    kind, *others = [TYPES[kind] for kind in kinds]
    if part.get("minItems", 0) > 1:
        kind += f" of {part['minItems']}"
    if "items" in part:
        kind += f" (each item: {type_and_range(part['items'])})"
    if "type" in (part.get("additionalProperties") or {}):
        kind += f" (each value: {type_and_range(part['additionalProperties'])})"
    return " or ".join([kind + limits(part), *others])


def limits(part: Part) -> str:
    """The range of a number, in words that go on after its type."""
    low, high = part.get("minimum"), part.get("maximum")
    above, below = part.get("exclusiveMinimum"), part.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    starts = [f" from {low} on"] if low is not None else [f" above {above}"] if above is not None else []
    ends = [f" up to {high}"] if high is not None else [f" below {below}"] if below is not None else []
    return ",".join(starts + ends)


def with_links(text: str) -> str:
    """A text in which the names of documents are links."""
    return re.sub(r"\bdocs/(\w+\.md)", r"[\1](\1)", text)


def row(key: str, kind: str, default: str, about: str | None) -> str:
    """A row of a table."""
    cells = [f"`{key}`", kind, default and f"`{default}`", with_links(about or "")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rows(path: str, part: Part, value: Any, schema: Part) -> Iterator[str]:
    """The rows of a key and of all that is below it."""
    whole = resolved(part, schema)
    about = whole.get("description")
    if "properties" not in whole:
        yield row(path, type_and_range(whole), "" if value is REQUIRED else in_flow_style(value), about)
        if "$ref" in (each := whole.get("additionalProperties") or {}):
            yield from rows(f"{path}.<name>", resolved(each, schema), of_each(path, schema), schema)
        return
    if about:
        yield row(path, "section", "", about)
    if not whole.get("x-one-line"):
        for name, inner in whole["properties"].items():
            yield from rows(f"{path}.{name}", inner, value.get(name, REQUIRED), schema)
        return
    for name, inner in whole["properties"].items():
        keys = resolved(inner, schema)
        names = ", ".join(f"`{key}`" for key in keys["properties"])
        yield row(f"{path}.{name}", f"section: {names}", in_flow_style(value[name]), keys.get("description"))
    for name, entries in sub_keys(whole, schema).items():
        kinds: dict[str, list[str]] = {}
        for entry, key in entries.items():
            kinds.setdefault(type_and_range(key), []).append(entry)
        if len(entries) == len(whole["properties"]) and len(kinds) == 1:
            kind = next(iter(kinds))
        else:
            many = len(entries) > MOST_NAMES and max(kinds, key=lambda kind: len(kinds[kind]))
            kind = "; ".join(
                f"{kind} ({'most of them' if kind == many else ', '.join(of)})" for kind, of in kinds.items()
            )
        yield row(f"{path}.<name>.{name}", kind, "", shared_description(entries))


def of_tables() -> Iterator[str]:
    """Every table with its columns."""
    yield from ("## Tables", "")
    for table in tables.ALL:
        yield from (f"### {table.name}", "", f"`{table.path}`: one row per {table.row}.", "")
        yield from ("| column | type | unit | meaning |", "| --- | --- | --- | --- |")
        yield from (f"| `{one.name}` | {one.type} | {one.unit} | {one.meaning} |" for one in table.columns)
        yield ""


def of_keys(schema: Part) -> Iterator[str]:
    """All keys of the config, one table per section."""
    yield "## Keys of the config"
    for name, value in defaults(schema).items():
        part = schema["properties"][name]
        if section := part.get("x-section"):
            title = section["title"]
            yield from ("", f"### {title[0].upper()}{title[1:]}", "")
            if "text" in section:
                yield from (with_links(section["text"]), "")
            yield from ("| key | type and range | default | description |", "| --- | --- | --- | --- |")
        yield from rows(name, part, value, schema)


def reference(schema: Part) -> str:
    """The text of docs/tables.md."""
    return "\n".join([DOCS_HEAD, *of_tables(), *of_keys(schema)]) + "\n"


# --- badges -----------------------------------------------------------------------------------------------------------


def badge(name: str) -> str:
    """The text of docs/pictures/badge-<name>.svg."""
    label, file, pattern = BADGES[name]
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{file} does not say what the badge `{name}` shows ({pattern})")
    words = {"licence": "-", "python": " "}.get(name, "").join(found.groups())
    label_length, words_length = (round(len(text) * LETTER) for text in (label, words))
    return BADGE.format(
        label=label,
        words=words,
        label_length=label_length,
        words_length=words_length,
        left=label_length + PADDING - 3,
        words_x=label_length + PADDING + 5,
        width=label_length + words_length + 2 * PADDING,
    )


def with_published(page: str) -> str:
    """The page on thresholds with the table of those that others publish between its two marks."""
    start, end = "<!-- published: made by scripts/describe.py -->\n", "<!-- end of published -->"
    before, rest = page.split(start)
    return f"{before}{start}\n{as_table()}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    schema = load_schema(SCHEMA)
    CONFIG.write_text(config_yaml(schema), encoding="utf-8")
    DOCS.write_text(reference(schema), encoding="utf-8")
    THRESHOLDS.write_text(with_published(THRESHOLDS.read_text(encoding="utf-8")), encoding="utf-8")
    for name in BADGES:
        (PICTURES / f"badge-{name}.svg").write_text(badge(name), encoding="utf-8")


if __name__ == "__main__":
    main()
