"""Keys from the environment: they are used, and never told.

Named after the variables that hold them, in the config; whatever text might repeat one is passed through `hide`.
"""

from __future__ import annotations

import os
import re

from clipmill.errors import SetupError

PLACE = re.compile(r"\$\{(\w+)\}")
SHORTEST = 4  # what is shorter is no secret, and would be found everywhere
HIDDEN = "***"


class Secrets:
    """The values of environment variables that were asked for, and their removal from texts."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def get(self, name: str) -> str:
        """The value of a variable. Raises SetupError where it is not set."""
        value = os.environ.get(name, "").strip()
        if not value:
            raise SetupError(f"the environment variable {name} is not set; export it before you start snakemake")
        self._known.add(value)
        return value

    def fill(self, text: str) -> str:
        """`text` with each ${NAME} replaced by that variable."""
        return PLACE.sub(lambda match: self.get(match[1]), text)

    def hide(self, text: str) -> str:
        """`text` without any value that was given out."""
        for value in sorted(self._known, key=len, reverse=True):
            if len(value) >= SHORTEST:
                text = text.replace(value, HIDDEN)
        return text
