"""Captions in fields: a JSON schema asks a model for all of them in one request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clipmill.base.errors import ItemError
from clipmill.chat import whole
from clipmill.texts.questions import ANSWERS

# Field of the answer -> most characters. The limit also stops a model that would not come to an end.
FIELDS = {
    "short": 150,
    "dense": 1200,
    "subject": 150,
    "action": 150,
    "setting": 150,
    "style": 100,
    "camera": 100,
    "on_screen_text": 300,
}
CAPTION = "dense"  # the field that is rewritten and trained on
# The same of the sound, for a model that hears it.
OF_SOUND = {"speech": 400, "music": 150, "sounds": 200}


def schema(lengths: dict[str, int], answers: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON schema of an object that has exactly these texts. `lengths`: name -> most characters.

    `answers`: names of further fields, each of which is one of ANSWERS.
    """
    texts = {name: {"type": "string", "maxLength": length} for name, length in lengths.items()}
    return {
        "type": "object",
        "properties": texts | {name: {"type": "string", "enum": list(ANSWERS)} for name in answers},
        "required": [*lengths, *answers],
        "additionalProperties": False,
    }


def read_fields(text: str, lengths: dict[str, int], answers: Sequence[str] = ()) -> dict[str, str]:
    """The fields of an answer. Raises ItemError if it is no such object, as a model without a grammar may answer."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1], strict=False)
    except ValueError:
        found = None
    names = [*lengths, *answers]
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
        raise ItemError("not_json", f"the answer has not the fields {', '.join(names)}: {text[:100]!r}", lasting=False)
    fields = {name: " ".join(whole(found[name]).split()) for name in names}
    fields |= {name: fields[name].lower() for name in answers}
    if wrong := [name for name in answers if fields[name] not in ANSWERS]:
        what = f"the answer to {wrong[0]} is none of {', '.join(ANSWERS)}: {fields[wrong[0]][:100]!r}"
        raise ItemError("not_json", what, lasting=False)
    return fields
