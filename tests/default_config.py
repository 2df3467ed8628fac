"""The default config, as the schema says it: the one place from which tests take defaults."""

from __future__ import annotations

from pathlib import Path

from clipmill.config import defaults, load_schema

SCHEMA_PATH = Path(__file__).resolve().parents[1] / "config" / "config.schema.yaml"
SCHEMA = load_schema(SCHEMA_PATH)
CONFIG = defaults(SCHEMA)

# The settings of splitting and cutting, as their rules make them of the config.
SPLIT_SETTINGS = {
    **CONFIG["split"],
    "fps": CONFIG["cut"]["fps"],
    "frames": CONFIG["cut"]["frames"],
    "crop": CONFIG["crop"],
    "deinterlace": CONFIG["decode"]["deinterlace"],
}
CUT_SETTINGS = {
    **CONFIG["cut"],
    "min_seconds": CONFIG["split"]["min_seconds"],
    "resolutions": None,
    "tone_map": CONFIG["decode"]["tone_map"],
    "deinterlace": CONFIG["decode"]["deinterlace"],
}
