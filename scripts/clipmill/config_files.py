"""What is wrong with a config file that cannot be read: the file, the line and what to do.

Snakemake reads the files before the workflow begins, and names neither. So `scripts/check_config.py` asks the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from clipmill.base.errors import SetupError

AS = "as `videos: /path/to/videos`"


class _KeyTwice(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, where others silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise _KeyTwice(problem=f"the key `{name}` stands twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def check_files(paths: Iterable[Path]) -> None:
    """Raise SetupError with a line for each config file that cannot be read, or has a key twice in one section."""
    if problems := [f"config: {problem}" for path in paths if (problem := _problem(path))]:
        raise SetupError("\n".join(problems))


def _problem(path: Path) -> str | None:
    if path.is_fifo():  # it could be read once
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        return (
            f"{path}: {error.strerror}; name a YAML file. All names after --configfile are config files; write targets "
            "before it, or after --"
        )
    try:
        text = content.decode()
        found = _read(text)
    except UnicodeDecodeError as error:
        return f"{_line(path, content[: error.start].decode())}: a character is not UTF-8; save the file as UTF-8"
    except yaml.reader.ReaderError as error:
        return f"{_line(path, text[: error.position])}: a character that YAML does not allow; remove it"
    except yaml.MarkedYAMLError as error:
        return _in_yaml(path, error)
    if found is None:
        return f"{path}: the file has no keys; write one, {AS}"
    return None if isinstance(found, dict) else f"{path}, line 1: must be keys with values, {AS}, and no list or text"


def _read(text: str) -> Any:
    """The content, as JSON if it is that, and else as YAML, which is how Snakemake reads it."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, _Loader)


def _line(path: Path, before: str) -> str:
    return f"{path}, line {before.count(chr(10)) + 1}"


def _in_yaml(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark, begin = error.problem_mark, error.context_mark
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    if isinstance(error, _KeyTwice):
        return f"{where}: {error.problem}; keep one, with all that is to be below it"
    if "'\\t'" in str(error.problem):
        return f"{where}: a tab, which YAML does not allow there; indent by spaces"
    context = f"{error.context}{f' (from line {begin.line + 1})' if begin else ''}, " if error.context else ""
    return f"{where}: not YAML ({context}{error.problem}); correct it"
