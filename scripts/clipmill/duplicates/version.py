"""The versions of fingerprints. Rules import them, but no numpy: so they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By backend: raise it when the same clip gets another fingerprint. Runs of before name no 1.
VERSIONS = {"pictures": 3, "embeddings": 1}


def with_version(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of fingerprints with their version: all that says whether two fingerprints can be compared."""
    version = VERSIONS[settings["backend"]]
    return {**settings, **({"version": version} if version > 1 else {})}


def is_comparable(settings: Mapping[str, Any], backend: str) -> bool:
    """Whether fingerprints that were made with these settings can be compared with those of the present version."""
    return settings.get("backend") == backend and settings.get("version", 1) == VERSIONS[backend]
