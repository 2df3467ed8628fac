"""What a target is: the keys of the config's section `cut` that make files as a trainer expects them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def has_target(cut: Mapping[str, Any]) -> bool:
    """Whether one of the keys of a target is set in the section `cut`."""
    return cut["codec"] != "copy" or any(cut[key] is not None for key in ("fps", "frames", "size"))
