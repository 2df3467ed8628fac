"""Snakemake's own format of a job, with long lists of files cut: for dry runs."""

from __future__ import annotations

import copy
import logging

from clipmill.base.human import listed

LISTS = ("input", "output", "log")
REASON = 300  # characters


class ShortLists(logging.Formatter):
    """Formats a record as `original` does. The record itself is left alone: other handlers write it in full."""

    def __init__(self, original: logging.Formatter):
        super().__init__()
        self.original = original

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "event", None) == "job_info":
            record = copy.copy(record)
            for name in LISTS:
                setattr(record, name, listed(getattr(record, name, None) or []))
            reason = getattr(record, "reason", None) or ""
            if len(reason) > REASON:
                record.reason = f"{reason[:REASON]}…"
        return self.original.format(record)
