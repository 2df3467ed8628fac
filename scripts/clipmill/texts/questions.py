"""Questions about clips that a language model answers by yes, no or unsure: a YAML file of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.texts.prompts import PLACES, fill, places

YES, NO, UNSURE = ANSWERS = ("yes", "no", "unsure")
KEEP, DROP = "keep", "drop"
NAME = re.compile(r"[a-z][a-z0-9_]*")
JUDGE = "judge_"  # begins the column of a question
SUBJECT = "subject"  # the one place that a question may have


@dataclass(frozen=True)
class Question:
    """`drop`: the answer that drops a clip, `yes` or `no`; None for a question that drops none.

    `unsure`: whether a clip about which the model is unsure is kept or dropped.
    """

    text: str
    drop: str | None
    unsure: str


def read_questions(name: str, folder: Path, subject: str | None) -> dict[str, Question]:
    """The questions of the file <name>.yaml in `folder`, or of your own file if `name` is a path, by name.

    A question with {subject} is left out without a `subject`. Raises SetupError, which says where, if there is no such
    file, or if it holds anything else than questions.
    """
    import yaml  # here, since every job imports this module

    own = "/" in name or name.endswith((".yaml", ".yml"))
    path = Path(os.path.expanduser(name)) if own else folder / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}; name a YAML file"
        ) from error
    except yaml.YAMLError as error:
        raise SetupError(f"{path}: not YAML ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(found, dict) or not found:
        raise SetupError(f'{path}: holds no questions; write `name: {{question: "…", drop: yes}}`, one below the other')
    asked = {key: _question(f"{path}: {key}", key, about, subject) for key, about in found.items()}
    questions = {key: question for key, question in asked.items() if question}
    if not questions:
        raise SetupError(f"{path}: all its questions have {{subject}}; set judge.subject")
    return questions


def _question(where: str, key: Any, about: Any, subject: str | None) -> Question | None:
    if not NAME.fullmatch(str(key)):
        raise SetupError(f"{where}: cannot be the name of a column; take small letters, digits and _, a letter first")
    if not isinstance(about, Mapping) or not about.keys() <= {"question", "drop", "unsure"}:
        raise SetupError(f'{where}: write {{question: "…", drop: yes, unsure: keep}}; the last two may be left out')
    text = about.get("question")
    if not isinstance(text, str) or not text.strip():
        raise SetupError(f"{where}: has no `question`; write what the model is asked")
    drop = about.get("drop")
    if isinstance(drop, bool):  # as YAML reads yes and no
        drop = YES if drop else NO
    if drop not in (YES, NO, None):
        raise SetupError(f"{where}: drop: {drop!r} is none of: yes, no, null")
    unsure = about.get("unsure", KEEP)
    if unsure not in (KEEP, DROP):
        raise SetupError(f"{where}: unsure: {unsure!r} is none of: keep, drop")
    has = places(text, (SUBJECT,), where)
    if has and subject is None:
        return None
    return Question(" ".join(fill(text, has, {SUBJECT: lambda: subject or ""}).split()), drop, unsure)


def asking(prompt: str, questions: Sequence[Sequence[str]]) -> str:
    """The `prompt` of the judge with its questions in place, as a prompt without places: braces are doubled.

    `questions`: the key of the answer and the text of each.
    """
    lines = "\n".join(f"{key}: {text}" for key, text in questions)
    text = fill(prompt, places(prompt, PLACES["judge"], "judge.prompt"), {"questions": lambda: lines})
    return text.replace("{", "{{").replace("}", "}}")


def columns_and_texts(questions: Mapping[str, Question]) -> list[list[str]]:
    """The column and the text of each question, in their order: all that an answer depends on."""
    return [[f"{JUDGE}{name}", question.text] for name, question in questions.items()]


def policy_of(questions: Mapping[str, Question]) -> list[dict[str, str | None]]:
    """What the answers do, question by question: its `column`, its text, and `drop` and `unsure` of `Question`."""
    return [
        {"column": f"{JUDGE}{name}", "question": one.text, "drop": one.drop, "unsure": one.unsure}
        for name, one in questions.items()
    ]
