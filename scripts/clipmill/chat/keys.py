"""Keys from the environment: they are used, and never told.

Named after the variables that hold them, in the config; whatever text might repeat one is passed through `hide`.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote

from clipmill.base.errors import SetupError

PLACE = re.compile(r"\$\{(\w+)\}")
SECRET = re.compile("auth|key|token|secret|cookie|passw", re.IGNORECASE)  # in names of headers and variables
SHORTEST = 8  # what is shorter is no secret, as `none` or `EMPTY`, and would be found in captions
HIDDEN = "***"


class Secrets:
    """The values of environment variables that were asked for, and their removal from texts."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def get(self, name: str, secret: bool = True) -> str:
        """The value of a variable. Raises SetupError where it is not set, or nothing that a header can hold."""
        value = os.environ.get(name, "").strip()
        if not value:
            raise SetupError(f"the environment variable {name} is not set; export it before you start snakemake")
        if not (value.isascii() and value.isprintable()):
            raise SetupError(
                f"the environment variable {name} holds characters that no key has; copy it anew, in one line"
            )
        if secret:
            self._known.add(value)
        return value

    def fill(self, header: str, text: str) -> str:
        """A header's `text` with each ${NAME} replaced by that variable.

        Only a header or variable that is named as one holds a secret: words as `${PROJECT}` may stand in captions too.
        """
        return PLACE.sub(lambda match: self.get(match[1], bool(SECRET.search(header) or SECRET.search(match[1]))), text)

    def hide(self, text: str) -> str:
        """`text` without any secret that was given out."""
        forms = {form for value in self._known if len(value) >= SHORTEST for form in _forms(value)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def _forms(value: str) -> set[str]:
    """How a text may repeat a value: as it is, in a string of JSON, in an address."""
    escaped = json.dumps(value)[1:-1]
    return {value, escaped, escaped.replace("/", "\\/"), quote(value, safe="")}
