"""The config: its comments, its schema and the code name the same keys; what is wrong is said in one go."""

from __future__ import annotations

import copy
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from clipmill import backends, verdict
from clipmill.clips import SplitSettings
from clipmill.config import check_config
from clipmill.cut import CutSettings
from clipmill.decode import DecodeSettings
from clipmill.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
SCHEMA_PATH = ROOT / "config" / "config.schema.yaml"
CONFIG = yaml.safe_load(TEXT)
SCHEMA = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))


def keys(config: dict[str, Any], path: str = "") -> set[str]:
    """All keys with their sections, down to the leaves."""
    found = set()
    for name, value in config.items():
        found.add(path + name)
        if isinstance(value, dict):
            found |= keys(value, f"{path}{name}.")
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def schema_keys(schema: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for name, part in schema.get("properties", {}).items():
        found.add(path + name)
        found |= schema_keys(resolved(part), f"{path}{name}.")
    return found


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The defaults with `videos` set and `changes` made, keys given as `section.key`."""
    config = copy.deepcopy({**CONFIG, "videos": "videos"})
    for key, value in changes.items():
        *sections, name = key.split(".")
        part = config
        for section in sections:
            part = part[section]
        part[int(name) if isinstance(part, list) else name] = value
    return config


def problems(changes: dict[str, Any]) -> list[str]:
    with pytest.raises(SetupError) as caught:
        check_config(changed(changes), SCHEMA_PATH)
    lines = str(caught.value).split("\n")
    assert all(line.startswith("config: ") for line in lines)
    return [line.removeprefix("config: ") for line in lines]


# --- the three lists of keys ------------------------------------------------------------------------------------------


def test_config_and_schema_name_the_same_keys():
    assert keys(CONFIG) == schema_keys(SCHEMA)


def test_every_section_refuses_unknown_keys():
    def sections(schema):
        yield schema
        for part in schema.get("properties", {}).values():
            if resolved(part).get("type") == "object":
                yield from sections(resolved(part))

    assert len(list(sections(SCHEMA))) == 1 + sum(isinstance(CONFIG[name], dict) for name in CONFIG) + len(
        [*CONFIG["filters"], *CONFIG["resources"]]
    )
    assert all(section["additionalProperties"] is False for section in sections(SCHEMA))


def test_every_key_of_the_schema_is_described():
    for name in ("videos", "exclude", "outdir", "videos_per_shard", "max_error_rate", "filter_order", "cascade"):
        assert SCHEMA["properties"][name]["description"]
    for section in ("decode", "split", "text", "aesthetic", "consistency", "caption", "rewrite", "alignment", "cut"):
        assert all(part["description"] for part in SCHEMA["properties"][section]["properties"].values())


def test_every_key_has_a_comment():
    """On its own line, or, for a section or a table, on the line above it or on its first line."""
    lines = TEXT.splitlines()
    bare = []
    for number, line in enumerate(lines):
        if not (match := re.match(r" *([a-z_]+):", line)):
            continue
        above = next((other for other in reversed(lines[:number]) if other.strip()), "")
        section = line.rstrip().endswith(":")
        in_table = re.match(r"  [a-z_]+: +\{threads", line)
        if not re.search(r" # \w", line) and not section and not in_table and not above.startswith("#"):
            bare.append(match[1])
    assert bare == ["cascade"]  # the comment above filter_order is on both
    assert "`cascade: true`" in TEXT[TEXT.index("\n# The first of these") : TEXT.index("\nfilter_order:")]


def test_filters_are_the_same_everywhere():
    assert list(verdict.FILTERS) == list(CONFIG["filters"]) == CONFIG["filter_order"]
    assert set(verdict.FILTERS.values()) == {"videos", "technical", "motion", *verdict.COSTLY}


def test_steps_with_backends_are_the_same_everywhere():
    steps = {name for name, part in CONFIG.items() if isinstance(part, dict) and "backend" in part}
    assert steps == set(backends.AVAILABLE) == set(backends.PLANNED)
    assert steps < set(CONFIG["resources"])
    for step in steps:
        assert not set(backends.AVAILABLE[step]) & set(backends.PLANNED[step])
        assert CONFIG[step]["backend"] in backends.AVAILABLE[step]


def test_every_job_that_the_rules_ask_for_has_resources():
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    asked = set(re.findall(r"""\b(?:job|threads_of)\("(\w+)\"""", rules))
    assert asked == set(CONFIG["resources"])
    assert all(set(part) == {"threads", "mem_mb", "runtime"} for part in CONFIG["resources"].values())


@pytest.mark.parametrize(
    ("section", "settings", "more"),
    [("decode", DecodeSettings, set()), ("split", SplitSettings, set()), ("cut", CutSettings, {"min_seconds"})],
)
def test_settings_are_the_sections_of_the_config(section, settings, more):
    assert {field.name for field in fields(settings)} == set(CONFIG[section]) | more


# --- messages ---------------------------------------------------------------------------------------------------------


def test_defaults_are_valid_once_the_videos_are_named():
    check_config(changed({}), SCHEMA_PATH)
    with pytest.raises(SetupError, match=r"`videos` is not set; name a folder of videos or a sheet: snakemake "):
        check_config(CONFIG, SCHEMA_PATH)


@pytest.mark.parametrize(
    "changes",
    [
        {"videos_per_shard": 5, "decode.samples_per_second": 0.5, "max_error_rate": 1, "cascade": False},
        {"filters.area.min": None, "filters.motion.max": 1e9, "split.pieces": "fixed", "split.min_seconds": 0},
        {"filter_order": CONFIG["filter_order"][::-1], "exclude": ["*.preview.mp4"], "cut.crf": 0},
        {"split.min_seconds": 5, "split.max_seconds": 5, "filters.fps": {"min": 25, "max": 25}},
    ],
)
def test_other_values_are_valid(changes):
    check_config(changed(changes), SCHEMA_PATH)


KEYS = ", ".join(SCHEMA["properties"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "x"}, f"video: unknown key; did you mean `videos`? known here: {KEYS}"),
        ({"zzz": 1}, f"zzz: unknown key; known here: {KEYS}"),
        ({"split.max_second": 1}, "split.max_second: unknown key; did you mean `max_seconds`? known here: detector, "),
        ({"filters.area.minimum": 1}, "filters.area.minimum: unknown key; did you mean `min`? known here: min, max"),
        ({"resources.decode.gpu": 1}, "resources.decode.gpu: unknown key; known here: threads, mem_mb, runtime"),
        ({"decode.samples_per_second": "2"}, "decode.samples_per_second: '2' is not of type number"),
        ({"decode.sample_quality": 9.5}, "decode.sample_quality: 9.5 is not of type integer"),
        ({"decode.sample_quality": True}, "decode.sample_quality: True is not of type integer"),
        ({"split": None}, "split: None is not of type object"),
        ({"filters.motion.min": "low"}, "filters.motion.min: 'low' is not of type number or null"),
        ({"exclude": "*.mp4"}, "exclude: '*.mp4' is not of type array"),
        ({"exclude": [1]}, "exclude.0: 1 is not of type string"),
        ({"cascade": "yes"}, "cascade: 'yes' is not of type boolean"),
        ({"videos": ["a"]}, "videos: ['a'] is not of type string"),
        ({"videos": ""}, "videos: must not be empty"),
        ({"max_error_rate": 1.5}, "max_error_rate: 1.5 is out of range, it must be at most 1"),
        ({"decode.samples_per_second": 0}, "decode.samples_per_second: 0 is out of range, it must be more than 0"),
        ({"cut.crf": -1}, "cut.crf: -1 is out of range, it must be at least 0"),
        ({"videos_per_shard": 0}, "videos_per_shard: 0 is none of: auto, integer from 1 on"),
        ({"split.detector": "magic"}, "split.detector: 'magic' is not one of: content, adaptive"),
        ({"cut.preset": "slowest"}, "cut.preset: 'slowest' is not one of: ultrafast, superfast, "),
        ({"text.backend": "tesseract"}, "text.backend: `tesseract` is not known; choose from: rapidocr"),
        ({"text.backend": "easyocr"}, "text.backend: `easyocr` is planned and not built yet; choose from: rapidocr"),
        ({"split.min_seconds": 11}, "split.min_seconds: 11 is more than split.max_seconds 10"),
        ({"filters.motion.min": 200}, "filters.motion: min 200 is more than max 150; no clip could pass"),
        ({"filter_order.0": "beauty"}, "filter_order: 'beauty' is no filter; choose from: area, aspect_ratio, "),
        ({"filter_order": CONFIG["filter_order"][1:]}, "filter_order: 'area' is missing; it must name every filter"),
        ({"filter_order.1": "area"}, "filter_order: "),
    ],
)
def test_messages(changes, message):
    found = problems(changes)
    assert any(line.startswith(message) for line in found)
    assert len(found) == (2 if "filter_order.0" in changes else 1)


def test_repeated_filters_are_refused():
    assert "non-unique" in problems({"filter_order.1": "area"})[0]


@pytest.mark.parametrize("unknown", [{True: 1}, {1: 2, "extra": 3, None: 4}])
def test_keys_that_yaml_reads_as_something_else(unknown):
    """`on:` is a truth value to YAML."""
    with pytest.raises(SetupError) as caught:
        check_config({**changed({}), **unknown}, SCHEMA_PATH)
    assert str(caught.value).count("unknown key") == len(unknown)
    assert f"config: {next(iter(unknown))}: unknown key" in str(caught.value)


def test_several_problems_are_told_at_once():
    found = problems({"split.zzz": 1, "decode.sample_quality": 101, "cascade": 1, "yyy": 2})
    assert [line.split(":")[0] for line in found] == ["yyy", "cascade", "decode.sample_quality", "split.zzz"]
    found = problems({"text.backend": "x", "caption.backend": "vllm", "split.min_seconds": 99, "filters.fps.max": 1})
    assert [line.split(":")[0] for line in found] == [
        "text.backend", "caption.backend", "split.min_seconds", "filters.fps",
    ]  # fmt: skip


def test_backends_are_loaded_with_their_settings():
    assert backends.load("aesthetic", {"backend": "classic", "frames": 3}).frames == 3
    assert backends.load("alignment", {"backend": "none"}) is None
    with pytest.raises(SetupError, match=r"consistency.backend: `dinov2` is planned"):
        backends.load("consistency", {"backend": "dinov2"})


@pytest.mark.parametrize("preset", sorted((ROOT / "config" / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_ask_for_nothing_unknown(preset):
    """They may ask for backends that are planned; then the message says so."""
    config = changed({})
    for section, values in yaml.safe_load(preset.read_text(encoding="utf-8")).items():
        if not isinstance(values, dict):
            config[section] = values
            continue
        for name, value in values.items():
            config[section][name] = {**config[section][name], **value} if isinstance(value, dict) else value
    try:
        check_config(config, SCHEMA_PATH)
    except SetupError as error:
        assert all("is planned and not built yet" in line for line in str(error).split("\n"))
