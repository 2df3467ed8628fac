"""The texts of the embedded captioner `describe`, which words measurements by a template."""

from __future__ import annotations

CAPTIONER = "clipmill describe "  # begins the column `caption_model` of its texts
