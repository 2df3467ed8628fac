"""Identities of videos: they never change, are unique, and can be names of files."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

_UNREADABLE = re.compile(r"[^a-z0-9]+")


_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def make_id(name: str) -> str:
    """A readable, file-system-safe, unique identity: the path's ASCII letters, then 12 hex digits of its hash."""
    stem = os.path.splitext(name)[0]
    if not stem.isascii():
        stem = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    readable = _UNREADABLE.sub("-", stem.lower())[-40:].strip("-") or "video"
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def identity(name: str, given: str | None, known: dict[str, str]) -> str:
    """The identity of a video: the one `given` by a sheet, made safe for file names, else the one `known`, else new."""
    if given is None:
        return known.get(name) or make_id(name)
    return given if _SAFE_ID.fullmatch(given) else make_id(given)
