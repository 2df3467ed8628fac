"""The default config, as the schema says it: the one place from which tests take defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipmill.base.errors import SetupError
from clipmill.config import check_config, defaults, load_schema

SCHEMA_PATH = Path(__file__).resolve().parents[1] / "config" / "config.schema.yaml"
SCHEMA = load_schema(SCHEMA_PATH)
CONFIG = defaults(SCHEMA)

# The settings of splitting and cutting, as their rules make them of the config.
SPLIT_SETTINGS = {
    **CONFIG["split"],
    "fps": CONFIG["cut"]["fps"],
    "frames": CONFIG["cut"]["frames"],
    "crop": CONFIG["crop"],
    "sound": False,
    "deinterlace": CONFIG["decode"]["deinterlace"],
}
CUT_SETTINGS = {
    **CONFIG["cut"],
    "min_seconds": CONFIG["split"]["min_seconds"],
    "resolutions": None,
    "tone_map": CONFIG["decode"]["tone_map"],
    "deinterlace": CONFIG["decode"]["deinterlace"],
}


def problems_of(config: dict[str, Any]) -> list[str]:
    """What the check of a config finds wrong with it, line by line; it must find something."""
    with pytest.raises(SetupError) as caught:
        check_config(config, SCHEMA_PATH)
    lines = str(caught.value).split("\n")
    assert all(line.startswith("config: ") for line in lines)
    return [line.removeprefix("config: ") for line in lines]
