"""Keys from environment variables: they are used, and never shown.

The config names the variables that hold them. Every text that might repeat a key is passed through `hide`.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote

from clipmill.base.errors import SetupError

PLACE = re.compile(r"\$\{(\w+)\}")
SECRET = re.compile("auth|key|token|secret|cookie|passw", re.IGNORECASE)  # in names of headers and variables
SHORTEST = 8  # shorter values, such as `none` or `EMPTY`, are no secrets, and captions may contain them
HIDDEN = "***"


class Secrets:
    """Reads keys from environment variables, and removes them from texts."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def get(self, name: str, secret: bool = True) -> str:
        """The value of a variable. Raises SetupError if it is not set, or if a header cannot hold it."""
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

        A value is secret only if the header or the variable is named like one; captions may contain that of ${PROJECT}.
        """
        return PLACE.sub(lambda match: self.get(match[1], bool(SECRET.search(header) or SECRET.search(match[1]))), text)

    def hide(self, text: str) -> str:
        """`text` without the secrets that `get` has returned."""
        forms = {form for value in self._known if len(value) >= SHORTEST for form in _forms(value)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def _forms(value: str) -> set[str]:
    """The forms in which a text may repeat a value: as it is, in a JSON string, in an address."""
    escaped = json.dumps(value)[1:-1]
    return {value, escaped, escaped.replace("/", "\\/"), quote(value, safe="")}
