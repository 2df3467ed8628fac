"""The config: config.yaml and the documentation are made from the schema; all problems are reported at once."""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import describe
from clipmill.base.errors import SetupError
from clipmill.config import check_config, check_set, defaults, load_schema, resolved
from clipmill.config_files import check_files
from clipmill.cut.clip import CutSettings
from clipmill.dataset import formats
from clipmill.decode.video import DecodeSettings
from clipmill.extras.quantize import BACKENDS, QuantizeSettings
from clipmill.filters import columns
from clipmill.models import backends
from clipmill.split.settings import SplitSettings
from clipmill.steps import MEASURED, METRICS
from default_config import CONFIG, SCHEMA, SCHEMA_PATH, problems_of

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
FILTERS = list(columns.FILTERS)


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


# Rules beside the run that use a GPU.
COMMANDS = {"quantize"}
BY_NAME = {"classifiers"}  # steps that the config names; they share their resources
SERVED = {"caption.backend": "openai", "caption.openai.model": "m"}


def problems(changes: dict[str, Any]) -> list[str]:
    return problems_of(changed(changes))


# --- one list of keys -------------------------------------------------------------------------------------------------

MADE_ANEW = "run `python scripts/describe.py`"


def test_config_yaml_is_made_from_the_schema():
    assert describe.config_yaml(SCHEMA) == TEXT, MADE_ANEW
    assert yaml.safe_load(TEXT) == CONFIG
    assert max(map(len, TEXT.splitlines())) <= 120


def test_the_reference_is_made_from_the_definitions():
    assert describe.DOCS.read_text(encoding="utf-8") == describe.reference(SCHEMA), MADE_ANEW
    page = describe.THRESHOLDS.read_text(encoding="utf-8")
    assert page == describe.with_published(page), MADE_ANEW


def sections(part: dict[str, Any] = SCHEMA) -> Iterator[dict[str, Any]]:
    """The schema of the config and of its sections, to the bottom."""
    yield part
    for key in part["properties"].values():
        if "properties" in resolved(key, SCHEMA):
            yield from sections(resolved(key, SCHEMA))


def leaves(part: dict[str, Any] = SCHEMA, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys that are no sections."""
    for name, key in part["properties"].items():
        key = resolved(key, SCHEMA)
        if "properties" in key:
            yield from leaves(key, f"{path}{name}.")
        else:
            yield path + name, key


def test_the_readme_of_the_config_names_what_is_there():
    """The catalog of Snakemake workflows shows it, and snakedeploy copies it with the rest of the folder."""
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    names = [name for cell in first_cells for name in re.findall(r"`(.*?)`", cell)]
    files = {name for name in names if (ROOT / "config" / name).exists()}
    assert files == {"presets/", "prompts/", "config.schema.yaml"}
    assert {"videos", "outdir", "filters"} <= set(names) - files <= CONFIG.keys()
    assert all((ROOT / path).exists() for path in re.findall(r"`((?:docs|envs)/.*?)`", text))


def test_the_catalog_of_workflows_finds_what_it_looks_for():
    """Standardized usage: snakemake/snakemake-workflow-catalog, source/docs/about/adding_workflows.md."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["software-stack-deployment"].keys() == {"conda", "apptainer", "apptainer+conda"}
    option, profile = usage["mandatory-flags"]["flags"].split()
    assert option == "--profile" and (ROOT / profile / "config.yaml").exists()
    assert (ROOT / "workflow" / "Snakefile").exists()
    words = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in words and "workflow" in words


def test_every_section_refuses_unknown_keys():
    assert all(section["additionalProperties"] is False for section in sections())


def test_every_key_is_described_in_one_paragraph():
    assert all(key["description"] and "\n" not in key["description"] for _, key in leaves())


KEYWORDS = {"type", "enum", "const", "anyOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
KEYWORDS |= {"minLength", "pattern", "items", "minItems", "maxItems", "uniqueItems", "properties", "required"}
KEYWORDS |= {"additionalProperties", "$ref", "default", "description", "writeOnly", "x-section", "x-one-line"}


def test_the_schema_has_no_misspelled_keywords():
    """As a comma in a description without quotation marks makes them."""

    def check(part: dict[str, Any]) -> None:
        assert part.keys() <= KEYWORDS
        inner = [*part.get("properties", {}).values(), *part.get("anyOf", []), part.get("items")]
        for other in (*inner, part.get("additionalProperties")):
            if isinstance(other, dict):
                check(other)

    written = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))
    for part in (*written["$defs"].values(), *written["properties"].values()):
        check(part)


def test_every_key_stands_in_config_yaml_with_a_comment():
    """Beside it or above it; the keys of a section that says `keys as in` have theirs there."""
    lines = TEXT.splitlines()
    bare, shared = [], -1
    for number, line in enumerate(lines):
        if not (match := re.match(r"( *)([\w.-]+):", line)):
            continue
        depth = len(match[1])
        if depth <= shared:
            shared = -1
        if "# keys as in " in line:
            shared = depth
        above = next((other for other in reversed(lines[:number]) if other.strip()), "")
        section, in_table = line.rstrip().endswith(":"), re.match(r"  [a-z_]+: +\{threads", line)
        if "  # " not in line and not section and not in_table and not above.lstrip().startswith("#") and shared < 0:
            bare.append(match[2])
    assert bare == []


def test_all_choices_stand_in_config_yaml():
    names = [name for known in backends.AVAILABLE.values() for name in known] + list(formats.FORMATS)
    names += [str(name) for _, key in leaves() for name in key.get("enum", []) if name is not None]
    comments = " ".join(line.partition("# ")[2] for line in TEXT.splitlines())
    assert set(names) <= set(re.findall(r"[\w.-]*\w", comments))


# --- the filters come from the columns --------------------------------------------------------------------------------


def test_the_filters_are_the_columns():
    assert [*columns.FILTERS, *columns.LATE_FILTERS] == list(CONFIG["filters"]) == list(columns.COLUMNS)
    assert set(columns.FILTERS.values()) == {"facts", *MEASURED, *METRICS}
    written = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))["properties"]["filters"]
    assert "properties" not in written
    bounds = [value for bound in written["default"].values() for value in bound.values()]
    assert None not in bounds


def test_a_new_filter_needs_its_column_alone(monkeypatch):
    column = columns.COLUMNS["sharpness"]
    monkeypatch.setitem(columns.COLUMNS, "glow", column)
    schema = load_schema(SCHEMA_PATH)
    assert defaults(schema)["filters"]["glow"] == {"min": None, "max": None}
    lines = describe.config_yaml(schema).splitlines()
    bound, comment = next(line for line in lines if line.startswith("  glow:")).split("# ")
    assert bound.split() == ["glow:", "{min:", "null,", "max:", "null}"]
    assert f"{column.meaning} ({column.unit})".startswith(comment)  # the rest is on the next line
    check_config({**changed({}), "filters": {**CONFIG["filters"], "glow": {"min": 3}}}, SCHEMA_PATH)


def test_filters_that_are_named_come_first():
    assert CONFIG["filter_order"] == [] and columns.in_order([]) == FILTERS
    assert columns.in_order(["motion", "fps"])[:3] == ["motion", "fps", "area"]
    assert sorted(columns.in_order(["motion"])) == sorted(FILTERS)
    assert columns.in_order(FILTERS[::-1]) == FILTERS[::-1]


# --- what the code knows of the config --------------------------------------------------------------------------------


def test_steps_with_backends_are_the_same_everywhere():
    with_backends = {name for name, part in CONFIG.items() if isinstance(part, dict) and "backend" in part}
    steps = with_backends - {"duplicates", "audio"} - COMMANDS
    assert steps == set(backends.AVAILABLE)
    assert steps < set(CONFIG["resources"])
    for step in steps:
        assert CONFIG[step]["backend"] in backends.AVAILABLE[step]


def test_every_job_that_the_rules_ask_for_has_resources():
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))

    def asked(helper: str) -> set[str]:
        """The steps for which the rules call a helper; a call for some `metrics` stands for all costly scores."""
        found = set(re.findall(rf'\b{helper}\("(\w+)"', rules))
        for_metrics = (
            rf"map\({helper}, metrics\)" if helper != "resource" else r'resource_together\("mem_mb", metrics\)'
        )
        return found | set(METRICS if re.search(for_metrics, rules) else ())

    assert asked("resource") | asked("threads_of") == set(CONFIG["resources"]) - BY_NAME
    for name, helper in (("gpu", "gpus_of"), ("batch", "batch_of")):
        steps = asked(helper)
        assert steps == {step for step, part in CONFIG["resources"].items() if name in part} - BY_NAME
        assert steps - COMMANDS == {*backends.AVAILABLE, *backends.BY_DETECTOR}
    usual, models = {"threads", "mem_mb", "runtime"}, {"threads", "mem_mb", "runtime", "gpu", "batch"}
    for name, part in CONFIG["resources"].items():
        assert set(part) in ([{*usual, "gpu"}] if name in COMMANDS else [usual, models])


@pytest.mark.parametrize(
    ("section", "settings", "more"),
    [
        ("decode", DecodeSettings, set()),
        ("split", SplitSettings, {"fps", "frames", "crop", "deinterlace", "sound"}),
        ("cut", CutSettings, {"min_seconds", "resolutions", "tone_map", "deinterlace"}),
        ("quantize", QuantizeSettings, set()),
    ],
)
def test_settings_are_the_sections_of_the_config(section, settings, more):
    assert {field.name for field in fields(settings)} == set(SCHEMA["properties"][section]["properties"]) | more
    check_without_defaults(settings)


def test_what_quantizes_is_the_same_everywhere():
    assert SCHEMA["properties"]["quantize"]["properties"]["backend"]["enum"] == list(BACKENDS)


def check_without_defaults(settings: type) -> None:
    for field in fields(settings):
        assert field.default is MISSING and field.default_factory is MISSING, field.name


def test_defaults_of_settings_are_found():
    @dataclass
    class Settings:
        crf: int = 18

    with pytest.raises(AssertionError, match="crf"):
        check_without_defaults(Settings)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_defaults_are_valid():
    check_config(CONFIG, SCHEMA_PATH)
    check_config(changed({}), SCHEMA_PATH)


def test_what_a_command_cannot_do_without_is_named_once_it_is_asked_for():
    check_set(changed({}), ["videos"])
    what_to_do = "name a folder of videos, a sheet or a single video: snakemake "
    with pytest.raises(SetupError, match=rf"^config: `videos` is not set; {what_to_do}"):
        check_set(CONFIG, ["videos"])
    with pytest.raises(SetupError) as caught:
        check_set(changed({}), ["videos", "model", "out"])
    model, out = str(caught.value).split("\n")
    assert model.startswith(
        "config: `model` is not set; name a language model of the hub or a folder: snakemake --profile profiles/local "
    )
    assert out.startswith("config: `out` is not set; name the folder to write: snakemake --profile ")
    assert model.endswith("--config model=NAME out=FOLDER -- quantize") and out.endswith(" -- quantize")
    check_set(changed({"model": "m", "out": "o"}), ["model", "out"])


@pytest.mark.parametrize(
    "changes",
    [
        {"videos_per_shard": 5, "decode.samples_per_second": 0.5, "max_error_rate": 1, "cascade": False},
        {"filters.motion": {"min": "q0.3", "max": "q0.99"}, "filters.aesthetic.min": "q0.05"},
        {"filters.transfer": {"deny": ["hlg", "pq"]}, "filters.variable_rate.allow": [False]},
        {"filters.motion": {"min": "q0.3", "max": 0}, "filters.text_area": {"min": 1, "max": "q0.9"}},
        {"calibrate": {"videos": 1, "seed": 9, "keep": None, "quantiles": {"motion": [0.1, 0.9], "area": [None, 1]}}},
        {"filters.area.min": None, "filters.motion.max": 1e9, "split.pieces": "fixed", "split.min_seconds": 0},
        {"filter_order": FILTERS[::-1], "exclude": ["*.preview.mp4"], "cut.crf": 0},
        {"filter_order": ["motion", "area"]},
        {"split.min_seconds": 5, "split.max_seconds": 5, "filters.fps": {"min": 25, "max": 25}},
        {"filters.alignment.min": 0.2, "filters.alignment_margin.min": 0, "alignment.backend": "clip"},
        {"filters.text_static_area.max": 0, "filters.text_scene_area.max": 0, "text.frames": 2},
        {"resources.text": {"threads": 2, "mem_mb": 100, "runtime": 1, "gpu": 0, "batch": 1}, "compile": True},
        {"text.easyocr.sha256": "0aF" * 21 + "0", "consistency.keep_embeddings": True},
        {"cut.frames": [33, 81], "export.buckets.frames": [33, 49, 81], "split.pieces": "exact", "cut.fps": 23.976},
        {"duplicates.backend": "pictures", "duplicates.keep": "area", "limits.per_group": 2, "limits.per_video": 1},
        {"duplicates.backend": "embeddings", "consistency.backend": "dinov2", "consistency.keep_embeddings": True},
        {"cut.frames": "4n+1", "export.buckets.frames": [81], "cut.size": {"short_side": 480, "fit": "crop"}},
    ],
)
def test_other_values_are_valid(changes):
    check_config(changed(changes), SCHEMA_PATH)


KEYS = ", ".join(CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "x"}, f"video: unknown key; did you mean `videos`? known here: {KEYS}"),
        ({"zzz": 1}, f"zzz: unknown key; known here: {KEYS}"),
        ({"split.max_second": 1}, "split.max_second: unknown key; did you mean `max_seconds`? known here: detector, "),
        ({"filters.area.minimum": 1}, "filters.area.minimum: unknown key; did you mean `min`? known here: min, max"),
        ({"resources.decode.gpu": 1}, "resources.decode.gpu: unknown key; known here: threads, mem_mb, runtime"),
        ({"decode.samples_per_second": "2"}, "decode.samples_per_second: '2' is not a number"),
        ({"decode.sample_quality": 9.5}, "decode.sample_quality: 9.5 is not a whole number"),
        ({"decode.sample_quality": True}, "decode.sample_quality: True is not a whole number"),
        ({"filters.motion.min": math.nan}, "filters.motion.min: nan is no number to go by; where there is to be no b"),
        ({"filters.motion.max": math.inf}, "filters.motion.max: inf is no number to go by"),
        ({"export.buckets.aspect_ratios": [1, math.nan]}, "export.buckets.aspect_ratios.1: nan is no number"),
        (
            {"filters.motion": 1.5},
            "filters.motion: 1.5 is not a section of keys with values, of: min, max; did you mean `{min: 1.5}` or ",
        ),
        ({"split": None}, "split: None is not a section of keys with values, of: detector, "),
        (
            {"filters.motion.min": "low"},
            "filters.motion.min: 'low' is none of: a number or null, a quantile between q0 and q1, as q0.3",
        ),
        ({"filters.transfer.deny": ["hdr"]}, "filters.transfer.deny.0: 'hdr' is not one of: sdr, hlg, pq"),
        ({"filters.transfer.allow": []}, "filters.transfer.allow: "),
        ({"filters.transfer.min": 1}, "filters.transfer.min: unknown key; known here: allow, deny"),
        ({"filters.variable_rate.allow": ["no"]}, "filters.variable_rate.allow.0: 'no' is not true or false"),
        (
            {"filters.transfer": {"allow": ["pq"], "deny": ["pq"]}},
            "filters.transfer: denies all words that it allows; ",
        ),
        ({"calibrate.quantiles.transfer": [0.1, None]}, "calibrate.quantiles: 'transfer' is no filter of scores"),
        ({"filters.motion.min": "q1"}, "filters.motion.min: 'q1' is none of: a number or null, a quantile between q0"),
        ({"filters.motion.max": "q0.0"}, "filters.motion.max: 'q0.0' is none of: a number or null, a quantile "),
        ({"filters.motion.max": "q1.5"}, "filters.motion.max: 'q1.5' is none of: a number or null, a quantile "),
        ({"filters.motion": {"min": "q0.8", "max": "q0.30"}}, "filters.motion: min q0.8 is more than max q0.30; no "),
        ({"exclude": "*.mp4"}, "exclude: '*.mp4' is not a list, as [a, b]"),
        ({"exclude": [1]}, "exclude.0: 1 is not text"),
        (
            {"fetch.hosts": ["media.org/films"]},
            "fetch.hosts: name a host alone, without what follows it",
        ),
        (
            {"fetch.hosts": ["https://me:secret@media.org"]},
            "fetch.hosts: a `https://` address holds a user, ",
        ),
        ({"cascade": "yes"}, "cascade: 'yes' is not true or false"),
        ({"videos": ["a"]}, "videos: ['a'] is not text or null"),
        ({"videos": ""}, "videos: must not be empty"),
        ({"max_error_rate": 1.5}, "max_error_rate: 1.5 is out of range, it must be at most 1"),
        ({"decode.samples_per_second": 0}, "decode.samples_per_second: 0 is out of range, it must be more than 0"),
        ({"cut.crf": -1}, "cut.crf: -1 is out of range, it must be at least 0"),
        ({"videos_per_shard": 0}, "videos_per_shard: 0 is none of: auto, a whole number from 1 on"),
        ({"split.detector": "magic"}, "split.detector: 'magic' is not one of: combined, content, adaptive"),
        ({"cut.preset": "slowest"}, "cut.preset: 'slowest' is not one of: ultrafast, superfast, "),
        ({"duplicates.backend": "phash"}, "duplicates.backend: 'phash' is not one of: none, pictures, embeddings"),
        ({"duplicates.keep": "aesthetics"}, "duplicates.keep: 'aesthetics' is no score; did you mean `aesthetic`?"),
        ({"duplicates.backend": "embeddings"}, "duplicates.backend: embeddings needs those of a model, and consis"),
        (
            {"duplicates.backend": "embeddings", "consistency.backend": "clip"},
            "duplicates.backend: embeddings needs consistency.keep_embeddings: true",
        ),
        ({"limits.per_group": 2}, "limits.per_group: there are no groups without duplicates.backend; choose one"),
        ({"limits.per_video": 0}, "limits.per_video: 0 is out of range, it must be at least 1"),
        ({"text.backend": "tesseract"}, "text.backend: `tesseract` is not known; choose from: rapidocr, easyocr"),
        ({"caption.backend": "vlm"}, "caption.backend: `vlm` is not known; choose from: describe, given, vllm, openai"),
        (
            {"caption.openai.base_urls": ["http://me:word@x/v1"]},
            "caption.openai.base_urls.0: must be an address as http://host:8000/v1, without name and password",
        ),
        (
            {"caption.openai.base_urls": ["localhost:8000/v1"]},
            "caption.openai.base_urls.0: must be an address as http:",
        ),
        ({"caption.openai.api_key_env": "sk-a1"}, "caption.openai.api_key_env: must be the name of an environment var"),
        (
            {"caption.openai.api_key_env": "gsk_a1"},
            "caption.openai.api_key_env: must be the name of an environment var",
        ),
        ({"caption.backend": "openai"}, "caption.openai.model: is not set; name the model as the server calls it"),
        (
            {**SERVED, "caption.openai.headers": {"X-Api-Key": "k"}},
            "caption.openai.headers: 'X-Api-Key' looks like a key",
        ),
        (
            {**SERVED, "caption.prompt": "no/such"},
            "caption.prompt: no/such: No such file or directory; name a file, or one",
        ),
        ({**SERVED, "caption.prompt": "rewrite"}, "caption.prompt: {caption} is not known; choose from: {seconds}, "),
        ({"text_checks.script": "runes"}, "text_checks.script: 'runes' is not one of: None, arabic, "),
        ({"text.easyocr.canvas": 640}, "text.easyocr.canvas: unknown key; did you mean `canvas_size`? known here: "),
        ({"aesthetic.laion.model": None}, "aesthetic.laion.model: None is not text"),
        ({"aesthetic.laion.head": ""}, "aesthetic.laion.head: must not be empty"),
        ({"consistency.clip.dtype": "int8"}, "consistency.clip.dtype: 'int8' is not one of: auto, fp32, bf16, fp16"),
        ({"alignment.videoclip-xl.sha256": "4b51"}, "alignment.videoclip-xl.sha256: '4b51' does not match '^[0-9a-f"),
        (
            {"resources.text.mem_mb": "much"},
            "resources.text.mem_mb: 'much' is none of: auto, a whole number from 100 on",
        ),
        ({"resources.text.gpu": -1}, "resources.text.gpu: -1 is none of: auto, a whole number from 0 on"),
        ({"resources.text.batch": 0}, "resources.text.batch: 0 is out of range, it must be at least 1"),
        ({"resources.cut.mem_mb": "auto"}, "resources.cut.mem_mb: 'auto' is not a whole number"),
        ({"compile": 1}, "compile: 1 is not true or false"),
        ({"split.min_seconds": 11}, "split.min_seconds: 11 is more than split.max_seconds 10"),
        ({"filters.motion.min": 200}, "filters.motion: min 200 is more than max 150; no clip could pass"),
        ({"filters.motion.min": -5}, "filters.motion.min: -5, but no score is less than 0. Where there is"),
        ({"filters.frozen_share.max": 50}, "filters.frozen_share.max: 50, but no score is more than 1; 50 % is 0.5."),
        ({"filters.consistency.min": 1.5}, "filters.consistency.min: 1.5, but no score is more than 1; 1.5 % is 0.015"),
        ({"filters.brightness.max": 300}, "filters.brightness.max: 300, but no score is more than 255. Where"),
        ({"calibrate.keep": 0}, "calibrate.keep: 0 is out of range, it must be more than 0"),
        (
            {"calibrate.quantiles": {"motion": [0.1, 2]}},
            "calibrate.quantiles.motion.1: 2 is out of range, it must be at",
        ),
        (
            {"calibrate.quantiles": {"beauty": [0.1, 0.9]}},
            "calibrate.quantiles: 'beauty' is no filter of scores; choose",
        ),
        ({"calibrate.quantiles": {"alignment": [0.1, 0.9]}}, "calibrate.quantiles: 'alignment' is no filter of scores"),
        ({"calibrate.quantiles": {"motion": [0.9, 0.1]}}, "calibrate.quantiles.motion: 0.9 is more than 0.1; no clip "),
        ({"filter_order": ["beauty"]}, "filter_order: 'beauty' is no filter; choose from: area, aspect_ratio, "),
        ({"filter_order": ["alignment"]}, "filter_order: 'alignment' is no filter; choose from: area, aspect_ratio, "),
        ({"filter_order": [*FILTERS, "alignment"]}, "filter_order: 'alignment' is no filter; choose from"),
        ({"filter_order": ["area", "area"]}, "filter_order: "),
        ({"filters.motoin": {"min": 1}}, "filters.motoin: unknown key; did you mean `motion`? known here: area, aspe"),
        (
            {"filters.alignment.min": 0.2},
            "filters.alignment: needs an alignment score; choose an alignment.backend, or ",
        ),
        ({"filters.alignment_margin.max": 0}, "filters.alignment_margin: needs an alignment score; choose an "),
        (
            {"filters.text_static_area.max": 0},
            "filters.text_static_area: needs several frames a clip; set text.frames ",
        ),
        ({"filters.text_scene_area.max": 0}, "filters.text_scene_area: needs several frames a clip; set text.frames "),
        ({"split.pieces": "exact"}, "split.pieces: exact needs a number of frames; set cut.frames, as [81], or "),
        ({"cut.size": "bucket"}, "cut.size: bucket needs sizes to choose from; set export.buckets.resolutions, as "),
        ({"cut.mode": "copy", "cut.fps": 16}, "cut.mode: copy cannot change the frame rate or the size; choose auto"),
        (
            {"cut.frames": [33, 49, 81], "export.buckets.frames": [81]},
            "export.buckets.frames: lacks 33, 49 of cut.frames, so that clips would fit no bucket or a shorter one; ",
        ),
        (
            {"review.require": "star"},
            "review.require: without decisions no clip has a star; name the file in review.file",
        ),
        ({"review": {"file": "a", "require": "stars"}}, "review.require: 'stars' is not one of: star, None"),
        ({"review": {"files": "a"}}, "review.files: unknown key; did you mean `file`? known here: file, require"),
        ({"review": 3}, "review: 3 is not a section of keys with values or text, of: file, require"),
        ({"calibrate.precision": 1.5}, "calibrate.precision: 1.5 is out of range, it must be at most 1"),
        ({"cut.frames": "81"}, "cut.frames: '81' is none of: 4n+1, 8n+1, a list, as [a, b], null"),
    ],
)
def test_messages(changes, message):
    found = problems(changes)
    assert any(line.startswith(message) for line in found)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ({"filters.motion": 2}, "did you mean `{min: 2}` or `{max: 2}`?"),
        ({"filters.motion": "q0.3"}, "did you mean `{min: q0.3}` or `{max: q0.3}`?"),
        ({"filters.motion": "fast"}, "of: min, max"),
        ({"filters.transfer": "sdr"}, "did you mean `{allow: [sdr]}` or `{deny: [sdr]}`?"),
        ({"filters.transfer": "hdr"}, "of: allow, deny"),
        ({"filters.variable_rate": True}, "did you mean `{allow: [true]}` or `{deny: [true]}`?"),
        ({"cut.frames": 81}, "did you mean `[81]`?"),
        ({"cut.size": 480}, "did you mean `{short_side: 480}`?"),
        ({"cut.size": "480"}, "a section of keys with values, null"),
        ({"caption": "vllm"}, "did you mean `{backend: vllm}`?"),
        ({"split": "content"}, "did you mean `{detector: content}`?"),
        ({"classifiers.nsfw": "opennsfw"}, "did you mean `{backend: opennsfw}`?"),
        ({"cut": "copy"}, "did you mean `{mode: copy}` or `{codec: copy}`?"),
        ({"cut": 19}, "size, codec"),
        ({"cut": '{"crf": 19}'}, "did you mean `{crf: 19}`?"),
        ({"cut": "{crf: 19"}, "it is not YAML: expected ',' or '}', but got '<stream end>'"),
        ({"cut": "{crf: \x07}"}, "it is not YAML: a character that YAML does not allow"),
        ({"cut": None}, "size, codec"),
        ({"export.formats": "jsonl"}, "did you mean `[jsonl]`?"),
        ({"exclude": "*.avi"}, "did you mean `['*.avi']`?"),
        ({"judge": False}, "openai, transformers"),
    ],
)
def test_what_may_be_meant_by_a_value_in_place_of_a_section_or_a_list(changes, meant):
    (line,) = problems(changes)
    assert line.endswith(meant)
    if "did you mean" in meant:
        (key,) = changes
        for guess in re.findall("`([^`]+)`", line):
            assert problems_of(changed({key: yaml.safe_load(guess), "zzz": 1})) == [
                f"zzz: unknown key; known here: {KEYS}"
            ]


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ({"crf": 19}, "crf: unknown key; did you mean `cut.crf`? known here: videos, "),
        ({"filters.min_seconds": 1}, "filters.min_seconds: unknown key; did you mean `split.min_seconds`? known"),
        ({"text_area": {"max": 1}}, "text_area: unknown key; did you mean `filters.text_area`? known here: videos, "),
        ({"backend": "vllm"}, "backend: unknown key; known here: videos, "),
    ],
)
def test_a_key_in_the_wrong_section_is_shown_its_place(changes, meant):
    (line,) = problems(changes)
    assert line.startswith(meant)


def test_a_key_without_a_space_after_its_colon():
    config = changed({})
    config["cut"]["crf:19"] = None  # what YAML reads in {crf:19}
    (line,) = problems_of(config)
    assert line.startswith("cut.crf:19: unknown key; did you mean `crf: 19`, with a space? known here: mode, ")


def test_addresses_that_may_hold_a_password_are_not_shown():
    (line,) = problems({"caption.openai.base_urls": "http://me:word@x/v1"})
    assert line == "caption.openai.base_urls: this value is not a list, as [a, b]"


def test_prompts_that_ask_nothing(tmp_path, monkeypatch):
    (tmp_path / "empty.txt").write_text("# all of it is a comment\n")
    (tmp_path / "blind.txt").write_text("Write something.\n")
    served = {"rewrite.backend": "openai", "rewrite.openai.model": "m"}
    (line,) = problems({**SERVED, "caption.prompt": str(tmp_path / "empty.txt")})
    assert line.startswith("caption.prompt: the file holds no text")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert problems({**SERVED, "caption.prompt": "~/empty.txt"}) == [line]
    (tmp_path / "none.yaml").write_text("")
    (nothing,) = problems({**SERVED, "judge.with_caption": True, "judge.questions": "~/none.yaml"})
    assert nothing.startswith(f"judge.questions: {tmp_path}/none.yaml: holds no questions")
    (line,) = problems({**served, "rewrite.prompt": str(tmp_path / "blind.txt")})
    assert line.startswith("rewrite.prompt: has no {caption}")
    check_config(changed({**SERVED, "caption.prompt": str(tmp_path / "blind.txt")}), SCHEMA_PATH)


def test_a_key_by_the_environment_is_no_problem():
    headers = {"X-Api-Key": "Bearer ${GATEWAY_KEY}", "X-Title": "clipmill"}
    check_config(changed({**SERVED, "caption.openai.headers": headers}), SCHEMA_PATH)


def test_repeated_filters_are_refused():
    assert "non-unique" in problems({"filter_order": ["area", "area"]})[0]


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
    found = problems({"text.backend": "x", "caption.backend": "vlm", "split.min_seconds": 99, "filters.fps.max": 1})
    assert [line.split(":")[0] for line in found] == [
        "text.backend", "caption.backend", "split.min_seconds", "filters.fps",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"videos: v\nfilters:\n  motion: {min: 2\ncut:\n  crf: 1\n",
            ", line 4: not YAML (while parsing a flow mapping (f",
        ),
        (b"videos: v\nfilters:\n\tmotion: 2\n", ", line 3: a tab, which YAML does not allow there; indent by spaces"),
        (b"videos: v\n# caf\xe9\n", ", line 2: a character is not UTF-8; save the file as UTF-8"),
        (b"videos: v\n\noutdir: \x07\n", ", line 3: a character that YAML does not allow; remove it"),
        (b"- videos: v\n", ", line 1: must be keys with values, as `videos: /path/to/videos`, and no list or text"),
        (b"# all of it is a comment\n", ": the file has no keys; write one, as `videos: /path/to/videos`"),
        (b'{"videos": "v",\n "outdir" "out"}\n', ", line 2: not YAML (while parsing a flow mapping (from line 1), "),
        (b"videos: v\nx: !!python/name:os.system\n", ", line 2: not YAML (could not determine a constructor for the"),
        (
            None,
            ": No such file or directory; name a YAML file. All names after --configfile are config files; write ta",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(tmp_path, content, message):
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        check_files([path, SCHEMA_PATH])
    assert str(caught.value).startswith(f"config: {path}{message}")
    assert "\n" not in str(caught.value)


def test_files_that_can_be_read(tmp_path):
    (tmp_path / "my.json").write_text('{\n\t"videos": "v"\n}')
    (tmp_path / "from an editor.yaml").write_bytes(b"\xef\xbb\xbfvideos: v\r\n")
    os.mkfifo(tmp_path / "pipe")
    check_files(sorted(tmp_path.iterdir()))
    with pytest.raises(SetupError, match=rf"{tmp_path}: Is a directory; name a YAML file"):
        check_files([tmp_path])


def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path):
    """Others take the last and lose the first, as where a block was pasted below one of the same name."""
    path = tmp_path / "my.yaml"
    path.write_text("filters:\n  motion: {min: q0.3}\nsplit: {min_seconds: 2}\n")
    check_files([path])
    path.write_text(path.read_text() + "filters:\n  motion: {max: 4}\n")
    with pytest.raises(SetupError, match=rf"config: {path}, line 4: the key `filters` stands twice; keep one"):
        check_files([path])
    path.write_text("filters:\n  motion: {min: 1, min: 2}\n")
    with pytest.raises(SetupError, match="line 2: the key `min` stands twice"):
        check_files([path])
