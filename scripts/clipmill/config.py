"""The config: its schema, its defaults, and its check, which names all problems in one message.

config/config.schema.yaml is the one place that says which settings there are. See `scripts/describe.py`.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, reduce
from itertools import islice
from operator import getitem
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from clipmill.base.errors import SetupError
from clipmill.chat.keys import SECRET
from clipmill.dataset import formats
from clipmill.filters.columns import (
    COLUMNS,
    FILTERS,
    LATE_FILTERS,
    OF_SEVERAL_FRAMES,
    SOURCES,
    WORDS,
    in_order,
    off_scale,
)
from clipmill.filters.quantiles import as_quantile
from clipmill.filters.verdict import active
from clipmill.models import backends
from clipmill.models.labels import label_problem, read_labels
from clipmill.remote.hosts import Hosts
from clipmill.store.layout import CLASSIFIER, is_classifier
from clipmill.store.table import FLAG, Column
from clipmill.texts.prompts import PLACES, places
from clipmill.upload.address import fault_of

# What a command cannot do without, where it has no default: how to set it.
COMMAND = "snakemake --profile profiles/local"
NEEDED = {
    "videos": f"name a folder of videos, a sheet or a single video: {COMMAND} --config videos=/path/to/videos",
    "prompts": f"name a file with a prompt a line: {COMMAND} --config prompts=prompts.jsonl -- beautify",
    "model": f"name a language model of the hub or a folder: {COMMAND} --config model=NAME out=FOLDER -- quantize",
    "run_a": f"name the outdir of a finished run: {COMMAND} --config run_a=FOLDER run_b=FOLDER -- compare",
    "run_b": f"name the outdir of another run: {COMMAND} --config run_a=FOLDER run_b=FOLDER -- compare",
    "out": f"name the folder to write: {COMMAND} --config model=NAME out=FOLDER -- quantize",
    "export.upload": "name a bucket or a dataset of the hub: export: {upload: s3://bucket/folder}",
}


MOST_MEANT = 2  # guesses in one message

# JSON's types in the words of someone who writes YAML.
TYPES = {
    "object": "a section of keys with values",
    "array": "a list, as [a, b]",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


# What a classifier cannot do without, by its backend: how to set it.
NEEDED_TO_CLASSIFY = {
    "onnx": {"file": "name the network's file"},
    "transformers": {"model": "name a classifier of the hub, or a folder", "label": "name one of the model's labels"},
    "zero-shot": {
        "positive": "write a text that fits what is looked for",
        "negative": "write a text that fits all other frames",
    },
}
NAME = re.compile(r"[a-z][a-z0-9_]*(?<!_frames)")  # of a classifier; <name>_frames is the column of its frames


def load_schema(path: Path, classifiers: Iterable[str] = ()) -> dict[str, Any]:
    """The schema of the config, completed by what the code knows: the filters, and the names of backends and formats.

    The names are `examples`, which allow other values too: `check_config` has a better message for those.
    `classifiers`: the names of those in the config, each of which has a filter.
    """
    schema = copy.deepcopy(_written(path))
    sections = schema["properties"]
    bound = sections["filters"]["additionalProperties"]
    sections["filters"]["additionalProperties"] = False
    sections["filters"]["properties"] = {
        name: {**(_words(column, schema) if name in WORDS else bound), "description": _meaning(name)}
        for name, column in COLUMNS.items()
    }
    sections["filters"]["properties"] |= {f"{CLASSIFIER}{name}": bound for name in classifiers}
    schema["$defs"]["classifier"]["properties"]["backend"]["examples"] = list(backends.CLASSIFIERS)
    for step, known in backends.AVAILABLE.items():
        sections[step]["properties"]["backend"]["examples"] = list(known)
    sections["export"]["properties"]["formats"]["items"]["examples"] = list(formats.FORMATS)
    return schema


@cache
def _written(path: Path) -> dict[str, Any]:
    """The schema as its file says it; not to be changed. Reading it takes longer than checking a config by it."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C is faster


def _words(column: Column, schema: dict[str, Any]) -> dict[str, Any]:
    """The part of the schema for a filter on the words of a column."""
    items: dict[str, Any] = {"type": "boolean"} if column.type == FLAG else {"type": "string", "minLength": 1}
    if column.words:
        items = {"enum": list(column.words)}
    return {"$ref": "#/$defs/words", "properties": {key: {"items": items} for key in ("allow", "deny")}}


def _meaning(name: str) -> str:
    column = COLUMNS[name]
    return column.meaning if column.unit in column.meaning else f"{column.meaning} ({column.unit})"


def resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, with the definition that it refers to. What the part says itself comes first."""
    if "$ref" not in part:
        return part
    shared = resolved(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    merged = {**shared, **{keyword: value for keyword, value in part.items() if keyword != "$ref"}}
    if "properties" in shared:
        own = part.get("properties", {})
        merged["properties"] = {name: {**key, **own.get(name, {})} for name, key in shared["properties"].items()}
    return merged


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The config with all its defaults. Those of a section replace those of its keys."""
    return {name: _default(part, schema) for name, part in schema["properties"].items()}


def complete(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Give each classifier of `config` the defaults of the keys that it leaves out, and a filter without bounds."""
    usual = of_each("classifiers", schema)
    config["classifiers"] = {name: _updated(usual, given) for name, given in config["classifiers"].items()}
    for name in config["classifiers"]:
        no_bounds = {"min": None, "max": None}
        config["filters"][CLASSIFIER + name] = no_bounds | config["filters"].get(CLASSIFIER + name, {})


def of_each(section: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The defaults of each entry of a section whose keys are the user's."""
    return _default(schema["properties"][section]["additionalProperties"], schema)


def _updated(usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`usual` with the values of `given`, section by section."""
    sections = {name: _updated(usual[name], part) for name, part in given.items() if isinstance(part, dict)}
    return {**usual, **given, **sections}


def _default(part: dict[str, Any], schema: dict[str, Any]) -> Any:
    part = resolved(part, schema)
    if "properties" not in part:
        return copy.deepcopy(part["default"])
    given = part.get("default", {})
    return {
        name: _default({**key, "default": given[name]} if name in given else key, schema)
        for name, key in part["properties"].items()
        if name not in part.get("required", ())
    }


def check_set(config: dict[str, Any], keys: Sequence[str]) -> None:
    """Raise SetupError with a line for each of `keys` that is not set. Only the target says which of them it needs."""
    if unset := [key for key in keys if _value(config, key) is None]:
        raise SetupError("\n".join(f"config: `{key}` is not set; {NEEDED[key]}" for key in unset))


def _value(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key, which is `section.key` for one inside a section."""
    return reduce(getitem, key.split("."), config)


def check_config(config: dict[str, Any], schema_path: Path) -> None:
    """Raise SetupError with all problems of `config` against the schema and what no schema can say."""
    schema = load_schema(schema_path, config.get("classifiers") or ())
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.absolute_path])
    problems = [*_not_finite("", config), *(line for error in errors for line in _explain(error, config, schema))]
    if not problems:
        config = copy.deepcopy(config)
        complete(config, schema)
        problems = _cross_checks(config) or _language_checks(config, schema_path.parent / "prompts")
    if problems:
        raise SetupError("\n".join(f"config: {problem}" for problem in problems))


def _not_finite(key: str, value: Any) -> list[str]:
    """Numbers that compare with nothing or bound nothing: YAML's `.nan` and `.inf`."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [line for name, part in items for line in _not_finite(f"{key}.{name}" if key else str(name), part)]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key}: {value} is no number to go by; where there is to be no bound, write null"]
    return []


def _explain(error: jsonschema.ValidationError, config: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """What is wrong, by a key and its part of the schema; `root` is the whole schema."""
    key = ".".join(str(part) for part in error.absolute_path)
    value: Any = error.instance
    schema: Any = error.schema
    wanted: Any = error.validator_value
    if error.validator == "additionalProperties":
        unknown = sorted(set(value) - set(schema["properties"]), key=str)  # YAML reads `on:` as a truth value
        return [
            _unknown_key(f"{key}.{name}" if key else str(name), str(name), list(schema["properties"]), root)
            for name in unknown
        ]
    if error.validator == "required":
        return [f"{key}: needs the key {' and '.join(name for name in wanted if name not in value)}"]
    if schema.get("writeOnly"):  # its value may hold a secret
        return [f"{key}: must be {schema['description']}"]
    if error.validator == "enum":
        return [f"{key}: {value!r} is not one of: {', '.join(map(str, wanted))}"]
    if error.validator == "type":
        shown = "this value" if schema.get("items", {}).get("writeOnly") else repr(value)
        keys = ", ".join(schema.get("properties", ()))
        meant = _meant(error, config, root)
        return [f"{key}: {shown} is not {_type_name(wanted)}{keys and f', of: {keys}'}{meant}"]
    if error.validator == "anyOf":
        return [f"{key}: {value!r} is none of: {', '.join(map(_choice, wanted))}{_meant(error, config, root)}"]
    if error.validator == "minLength":
        return [f"{key}: must not be empty"]
    limits = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "more than",
        "exclusiveMaximum": "less than",
    }
    if error.validator in limits:
        return [f"{key}: {value!r} is out of range, it must be {limits[error.validator]} {wanted}"]
    return [f"{key}: {error.message}"]


def _unknown_key(path: str, name: str, known: list[str], schema: dict[str, Any]) -> str:
    if path == f"filters.{name}" and is_classifier(name):
        there = ", ".join(one.removeprefix(CLASSIFIER) for one in known if is_classifier(one)) or "none is named there"
        return f"{path}: `classifiers` has no `{name.removeprefix(CLASSIFIER)}`; it has: {there}"
    elsewhere = list(islice(_places(name, schema, schema), MOST_MEANT + 1))
    hint = _hint(name, known)
    if ":" in name:  # {crf:19} is one key to YAML
        hint = f"did you mean `{name.replace(':', ': ', 1)}`, with a space? "
    elif 0 < len(elsewhere) <= MOST_MEANT:
        hint = f"did you mean {_one_of(elsewhere)}? "
    return f"{path}: unknown key; {hint}known here: {', '.join(known)}"


def _places(name: str, part: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where in a part of the schema keys of this name are."""
    for key, about in part.get("properties", {}).items():
        if key == name:
            yield path + key
        yield from _places(name, resolved(about, schema), schema, f"{path}{key}.")


def _meant(error: jsonschema.ValidationError, config: dict[str, Any], root: dict[str, Any]) -> str:
    """What a value in place of a list or a section may mean, as 2 may mean {min: 2}; empty if nothing fits, or much."""
    value: Any = error.instance
    part: Any = error.schema
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            guesses = [yaml.safe_load(value)]
        except yaml.YAMLError as fault:
            return f"; it is not YAML: {getattr(fault, 'problem', 'a character that YAML does not allow')}"
    elif value is None or isinstance(value, list | dict):
        return ""
    else:
        guesses = [[value], *_sections_with(value, part, root)]
    fitting = [guess for guess in guesses if _fits(guess, list(error.absolute_path), config, root)]
    if not fitting or len(fitting) > MOST_MEANT:
        return ""
    return f"; did you mean {_one_of(_as_yaml(guess) for guess in fitting)}?"


def _sections_with(value: Any, part: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Sections with one key that has the value: a key that names it among its choices, or any of a few keys."""
    keys = {name: resolved(about, root) for name, about in _keys_to_be_set(part).items()}
    naming = [key for key, about in keys.items() if value in (*about.get("enum", ()), *about.get("examples", ()))]
    for key in naming or (keys if len(keys) <= MOST_MEANT else ()):
        yield {key: value}
        yield {key: [value]}


def _fits(guess: Any, path: list[Any], config: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value in this place of the config is valid."""
    changed = copy.deepcopy({path[0]: config[path[0]]})
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = guess
    errors = jsonschema.Draft202012Validator(root).iter_errors(changed)
    return not any(list(error.absolute_path)[: len(path)] == path for error in errors)


def _keys_to_be_set(part: dict[str, Any]) -> dict[str, Any]:
    """The keys of a section, or of the section among several choices; those that it must have, if there are such."""
    keys: dict[str, Any] = {}
    for option in (part, *part.get("anyOf", ())):
        own = option.get("properties", {})
        keys |= {name: own[name] for name in option.get("required", own)}
    return keys


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf).strip()


def _one_of(texts: Iterable[str]) -> str:
    return " or ".join(f"`{text}`" for text in texts)


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`? " if near else ""


def _type_name(kind: str | list[str]) -> str:
    return " or ".join(TYPES[name] for name in ([kind] if isinstance(kind, str) else kind))


def _choice(option: dict[str, Any]) -> str:
    if "const" in option:
        return str(option["const"])
    if "pattern" in option:
        return option["description"]
    least = f" from {option['minimum']} on" if "minimum" in option else ""
    return f"{_type_name(option['type'])}{least}"


def _cross_checks(config: dict[str, Any]) -> list[str]:
    steps = [step for step in backends.AVAILABLE if step in config]
    problems = [backends.problem(step, config[step]["backend"]) for step in steps]
    if set("{}") & set(config["outdir"]):
        problems.append(
            f"outdir: {config['outdir']!r} has a brace, in which Snakemake sees a wildcard; name another folder"
        )
    try:
        Hosts(config["fetch"]["hosts"])
    except SetupError as error:
        problems.append(str(error))
    split = config["split"]
    if split["min_seconds"] > split["max_seconds"]:
        problems.append(
            f"split.min_seconds: {split['min_seconds']} is more than split.max_seconds {split['max_seconds']}"
        )
    for name, bound in config["filters"].items():
        low, high = bound.get("min"), bound.get("max")
        if _more(low, high):
            problems.append(f"filters.{name}: min {low} is more than max {high}; no clip could pass")
        problems += [
            f"filters.{name}.{end}: {fault}"
            for end, value in (("min", low), ("max", high))
            if isinstance(value, int | float) and (fault := off_scale(name, value))
        ]
        if bound.get("allow") and set(bound["allow"]) <= set(bound.get("deny") or ()):
            problems.append(f"filters.{name}: denies all words that it allows; no clip could pass")
    filters = in_order([], config["filters"])
    problems += [
        f"filter_order: {name!r} is no filter; choose from: {', '.join(filters)}"
        for name in config["filter_order"]
        if name not in filters
    ]
    problems += _duplicate_problems(config)
    problems += _classifier_problems(config["classifiers"])
    problems += _export_problems(config["export"])
    problems += _target_problems(config)
    if config["review"]["require"] and config["review"]["file"] is None:
        problems.append("review.require: without decisions no clip has a star; name the file in review.file")
    numbers = [name for name in filters if name not in WORDS]
    for name, (low, high) in config["calibrate"]["quantiles"].items():
        if name not in numbers:
            problems.append(f"calibrate.quantiles: {name!r} is no filter of scores; choose from: {', '.join(numbers)}")
        elif _more(low, high):
            problems.append(f"calibrate.quantiles.{name}: {low} is more than {high}; no clip could pass")
    problems += _sound_problems(config)
    problems += [_without_score(name, config) for name in active(config["filters"], list(config["filters"]))]
    return [problem for problem in problems if problem]


def _classifier_problems(classifiers: Mapping[str, Mapping[str, Any]]) -> Iterator[str | None]:
    """What is wrong with the names of classifiers, and with files and labels as far as this machine has them."""
    for name, section in classifiers.items():
        step, backend = f"{CLASSIFIER}{name}", section["backend"]
        where, own = f"{backends.key_of(step)}.{backend}", section.get(backend, {})
        if not NAME.fullmatch(str(name)):
            yield (
                f"classifiers: {name!r} cannot be the name of a column; take small letters, digits and _, begin with a "
                "letter, and do not end with _frames"
            )
        yield backends.problem(step, backend)
        unset = {key: how for key, how in NEEDED_TO_CLASSIFY.get(backend, {}).items() if own[key] is None}
        yield from (f"{where}.{key}: is not set; {how}" for key, how in unset.items())
        if unset:
            continue
        if backend == "onnx" and "://" not in own["file"] and not Path(own["file"]).expanduser().is_file():
            yield f"{where}.file: {own['file']}: there is no such file; correct the path, or name an https address"
        if backend == "transformers" and (folder := Path(own["model"]).expanduser()).is_dir():
            problem = label_problem(own["label"], read_labels(folder), own["model"])
            yield problem and f"{where}.label: {problem}"


def _duplicate_problems(config: dict[str, Any]) -> list[str]:
    wanted, consistency = config["duplicates"], config["consistency"]
    problems = []
    scores = [name for name in FILTERS if name not in WORDS]
    if wanted["keep"] not in scores:
        hint = _hint(wanted["keep"], scores)
        problems.append(f"duplicates.keep: {wanted['keep']!r} is no score; {hint}choose from: {', '.join(scores)}")
    if config["limits"]["per_group"] is not None and wanted["backend"] == "none":
        problems.append(
            "limits.per_group: there are no groups without duplicates.backend; choose one, or set it to null"
        )
    if wanted["backend"] == "embeddings":
        if consistency["backend"] not in ("clip", "dinov2"):
            problems.append(
                f"duplicates.backend: embeddings needs those of a model, and consistency.backend "
                f"`{consistency['backend']}` makes none; choose clip or dinov2 there"
            )
        elif not consistency["keep_embeddings"]:
            problems.append("duplicates.backend: embeddings needs consistency.keep_embeddings: true")
    return problems


def _export_problems(export: dict[str, Any]) -> list[str]:
    known = list(formats.FORMATS)
    problems = [
        f"export.formats: {name!r} is no format; {_hint(name, known)}choose from: {', '.join(known)}"
        for name in export["formats"]
        if name not in known
    ]
    buckets = export["buckets"]
    if buckets["resolutions"] and buckets["aspect_ratios"]:
        problems.append(
            "export.buckets: resolutions have aspect ratios of their own; set `resolutions` or `aspect_ratios` to null"
        )
    if export["upload"] and (fault := fault_of(export["upload"])):
        problems.append(f"export.upload: {fault}")
    return problems


def _target_problems(config: dict[str, Any]) -> list[str]:
    """What is wrong with the keys that make clips for a trainer."""
    cut, split = config["cut"], config["split"]
    problems = []
    if split["pieces"] == "exact" and cut["frames"] is None:
        problems.append("split.pieces: exact needs a number of frames; set cut.frames, as [81], or choose other pieces")
    if split["pieces"] == "exact" and split["keep_speech"]:
        problems.append("split.keep_speech: pieces of exact numbers of frames do not move; choose other pieces")
    if cut["size"] == "bucket" and not config["export"]["buckets"]["resolutions"]:
        problems.append("cut.size: bucket needs sizes to choose from; set export.buckets.resolutions, as [[832, 480]]")
    buckets = config["export"]["buckets"]["frames"]
    if isinstance(cut["frames"], list) and isinstance(buckets, list) and (lacking := set(cut["frames"]) - set(buckets)):
        problems.append(
            f"export.buckets.frames: lacks {', '.join(map(str, sorted(lacking)))} of cut.frames, so that clips would "
            "fit no bucket or a shorter one; write the same list there"
        )
    if cut["audio_silence"] and cut["audio"] is not True:
        problems.append("cut.audio_silence: gives silence to clips without sound only with cut.audio: true; set it so")
    if cut["mode"] == "copy" and any(cut[key] is not None for key in ("fps", "size")):
        problems.append("cut.mode: copy cannot change the frame rate or the size; choose auto, or leave these out")
    return problems


def _sound_problems(config: dict[str, Any]) -> list[str]:
    """What is wrong with keys that need sound to be measured."""
    asking = {"audio.speech": config["audio"]["speech"], "split.keep_speech": config["split"]["keep_speech"]}
    if config["audio"]["backend"] != "none":
        return []
    return [f"{key}: needs sound to be measured; set audio.backend to auto" for key, asks in asking.items() if asks]


def _language_checks(config: dict[str, Any], prompts: Path) -> list[str]:
    """What is wrong with the sections of language models; their backends are known."""
    problems = _judge_problems(config, prompts)
    captioner = config["caption"]["backend"]
    if config["caption"]["audio"] and backends.entry("caption", captioner).chat is None:
        problems.append(f"caption.audio: `{captioner}` hears nothing; choose a language model as caption.backend")
    for step, known in PLACES.items():
        section, where = config[step], f"{step}.{config[step]['backend']}"
        try:
            prompt = backends.settings(step, section, prompts).get("prompt")
            if prompt == "":
                problems.append(f"{step}.prompt: the file holds no text; write what the model is asked")
            elif prompt:
                problems += _place_problems(step, section, places(prompt, known, f"{step}.prompt"))
        except SetupError as error:
            problems.append(str(error) if str(error).startswith(step) else f"{step}.prompt: {error}")
        if section["backend"] != "openai":
            continue
        if section["openai"]["model"] is None:
            problems.append(f"{where}.model: is not set; name the model as the server calls it (see <base_url>/models)")
        problems += [
            f"{where}.headers: {name!r} looks like a key, which would stand in logs; put it into the environment, and "
            "${ITS_NAME} here"
            for name, value in section["openai"]["headers"].items()
            if SECRET.search(name) and "${" not in value
        ]
    return problems


def _place_problems(step: str, section: dict[str, Any], found: Collection[str]) -> Iterator[str]:
    """What is wrong with the places that are in the prompt of a step."""
    if step != "caption":
        if not found:
            yield f"{step}.prompt: has no {{{PLACES[step][0]}}}, so that the model would not see it; put it in"
    elif section["audio"] and "sound" not in found:
        yield (
            "caption.prompt: has no {sound}, so that the model would not know which clips have sound; put it in, as "
            "config/prompts/caption_sound.txt does, and ask for the fields speech, music and sounds"
        )
    elif "sound" in found and not section["audio"]:
        yield "caption.prompt: speaks of {sound}, which is not sent; set caption.audio: true, or take it out"


def _judge_problems(config: dict[str, Any], prompts: Path) -> list[str]:
    """What is wrong with questions that the request for the caption asks."""
    judge, captioner = config["judge"], config["caption"]["backend"]
    if not judge["with_caption"]:
        return []
    if judge["backend"] != "none":
        return [f"judge.with_caption: the captioner answers, and not {judge['backend']}; set judge.backend to none"]
    if backends.entry("caption", captioner).chat is None:
        return [f"judge.with_caption: `{captioner}` answers no questions; choose a language model as caption.backend"]
    try:
        backends.settings("caption", {**config["caption"], "judge": judge}, prompts)
    except SetupError as error:
        return [str(error)]
    return []


def _more(low: float | str | None, high: float | str | None) -> bool:
    """Whether one bound is above the other, as far as can be known: a number and a quantile cannot be compared."""
    if isinstance(low, str) and isinstance(high, str):
        return as_quantile(low) > as_quantile(high)
    return not isinstance(low, str | None) and not isinstance(high, str | None) and low > high


def _without_score(name: str, config: dict[str, Any]) -> str | None:
    """What is wrong with a filter whose score the config does not make: it would drop every clip."""
    if name in LATE_FILTERS and config["alignment"]["backend"] == "none":
        return f"filters.{name}: needs an alignment score; choose an alignment.backend, or set its bounds to null"
    if SOURCES.get(name) == "sound" and config["audio"]["backend"] == "none":
        return f"filters.{name}: needs sound to be measured; set audio.backend to auto, or its bounds to null"
    if name in OF_SEVERAL_FRAMES and config["text"]["frames"] < 2:
        return f"filters.{name}: needs several frames a clip; set text.frames to 2 or more, or its bounds to null"
    return None
