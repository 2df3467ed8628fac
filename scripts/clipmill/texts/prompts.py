"""Prompts: texts with {places} for values that were measured of a clip."""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from clipmill.base.errors import SetupError

# Step -> the names that its prompt may have in braces. `caption`: values that were measured of a clip, and whether its
# sound is sent. `rewrite`: the
# text itself, which is a user's prompt when prompts are beautified. `judge`: the questions, one per line.
PLACES = {
    "caption": ("seconds", "width", "height", "fps", "camera", "sound"),
    "rewrite": ("caption", "prompt"),
    "judge": ("questions",),
}


def read_prompt(name: str, folder: Path) -> str:
    """The text of the prompt `name`: of the file <name>.txt in `folder`, or of your own file if `name` is a path.

    Lines that begin with # are comments. Raises SetupError if there is no such file.
    """
    path = Path(os.path.expanduser(name)) if "/" in name or name.endswith(".txt") else folder / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.txt")))
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SetupError(f"{path}: {reason}; name a file, or one of {folder}: {known}") from error
    return "\n".join(line for line in lines if not line.startswith("#")).strip()


def places(prompt: str, known: Collection[str], where: str) -> set[str]:
    """The names of the places in a prompt. Raises SetupError if one is not `known`, or a brace stands alone."""
    try:
        parts = list(string.Formatter().parse(prompt))
    except ValueError as error:
        raise SetupError(f"{where}: {error}; write a brace that is meant as {{{{ or }}}}") from error
    names = {name for _, name, _, _ in parts if name is not None}
    if unknown := sorted(names - set(known)):
        choices = ", ".join(f"{{{name}}}" for name in known)
        raise SetupError(f"{where}: {{{unknown[0]}}} is not known; choose from: {choices}, or write {{{{ and }}}}")
    if any(spec or conversion for _, name, spec, conversion in parts if name is not None):
        raise SetupError(f"{where}: a place is a name in braces, without : or !")
    return names


def fill(prompt: str, names: set[str], values: Mapping[str, Callable[[], str]]) -> str:
    """The prompt with its places filled by the functions in `values`; only those that it needs are called."""
    return string.Formatter().vformat(prompt, (), {name: values[name]() for name in names})
