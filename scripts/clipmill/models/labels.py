"""The labels of an image classifier of transformers, as its `config.json` names them. Needs no torch."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from clipmill.base.errors import SetupError


def read_labels(folder: Path) -> list[str]:
    """The labels in the order of the model's outputs. Raises SetupError if the folder's config.json has none."""
    path = folder / "config.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["id2label"]
        return [str(names[str(number)]) for number in range(len(names))]
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; the model's folder must hold its published config.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path}: names no labels ({error!r}); take an image classifier, with its config.json"
        ) from error


def label_problem(label: str, labels: Sequence[str], model: str) -> str | None:
    """An error message in one line if a model has no such label; None if it has."""
    if label in labels:
        return None
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"`{label}` is no label of {model}; {hint}its labels: {', '.join(labels)}"
