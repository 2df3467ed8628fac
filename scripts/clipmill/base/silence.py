"""Keeping libraries from logging each request: the lines would show signed addresses, and what servers answer."""

from __future__ import annotations

import logging

LOGGERS = ("httpx2", "httpcore2", "openai")


def silence_requests() -> None:
    """Have them log warnings alone."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
