"""Presets: valid, of backends that there are, and whole: nothing of a preset before them shows through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from clipmill.captions.captioner import Captioner
from clipmill.captions.rewriter import Rewriter
from clipmill.config import check_config
from clipmill.models import backends
from clipmill.models.published import LICENCES
from default_config import CONFIG

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_PATH = ROOT / "config" / "config.schema.yaml"
PROMPTS = ROOT / "config" / "prompts"
FOLDER = ROOT / "config" / "presets"
PRESETS = sorted(FOLDER.rglob("*.yaml"))
CAPTIONS = sorted((FOLDER / "captions").glob("*.yaml"))
DOCUMENTS = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("captions.md", "configuration.md")}

any_preset = pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
captions_preset = pytest.mark.parametrize("preset", CAPTIONS, ids=lambda path: path.stem)


def merged(*presets: Path) -> dict[str, Any]:
    """The config that `--configfile` with these files makes."""
    config: dict[str, Any] = {}
    for values in (
        CONFIG,
        {"videos": "videos"},
        *(yaml.safe_load(path.read_text(encoding="utf-8")) for path in presets),
    ):
        update_config(config, values)
    return config


def asked(config: dict[str, Any]) -> dict[str, Any]:
    """What a run with this config captions with. Arguments that are null are not given."""
    section = config["caption"]
    chosen = backends.settings("caption", section, PROMPTS) | backends.runtime_settings("caption", section)
    options = {name: value for name, value in chosen["options"].items() if value is not None}
    return {**chosen, "options": options, "resources": config["resources"]["caption"]}


@any_preset
def test_presets_are_valid(preset):
    config = merged(preset)
    check_config(config, SCHEMA_PATH)
    for step, known in backends.AVAILABLE.items():
        assert config[step]["backend"] in known


@any_preset
@pytest.mark.parametrize(("step", "kind"), [("caption", Captioner), ("rewrite", Rewriter)])
def test_presets_make_captioners_and_rewriters_without_any_file(preset, step, kind):
    section = merged(preset)[step]
    backend = backends.load(step, backends.settings(step, section, PROMPTS), backends.runtime_settings(step, section))
    assert isinstance(backend, kind) == (backends.entry(step, section["backend"]).chat is not None)


@pytest.mark.slow
@captions_preset
def test_a_captioner_may_follow_any_preset(preset):
    alone = asked(merged(preset))
    for before in PRESETS:
        assert asked(merged(before, preset)) == alone, before
        check_config(merged(before, preset), SCHEMA_PATH)


@captions_preset
def test_presets_of_captioners_choose_a_captioner_and_nothing_else(preset):
    values = yaml.safe_load(preset.read_text(encoding="utf-8"))
    assert values.keys() == {"caption", "resources"}
    assert values["resources"].keys() == {"caption"}
    assert merged(preset)["rewrite"] == CONFIG["rewrite"]  # though both have the same defaults


@captions_preset
def test_presets_of_captioners_say_what_one_must_know(preset):
    text = preset.read_text(encoding="utf-8")
    head = text[: text.index("\ncaption:")]
    assert f"--configfile config/presets/captions/{preset.name} my.yaml" in head
    for subject in ("Licence", "GPU memory", "Frames", "send: video", "Prompt", "Rewriting"):
        assert subject in head
    caption = merged(preset)["caption"]
    if caption["backend"] == "vllm":
        model = caption["vllm"]["model"]
        assert f"Licence of the weights: {LICENCES[model]}, by the model card" in head
        assert caption["vllm"]["trust_remote_code"] == model.startswith("OpenGVLab/")


def test_the_documentation_lists_the_presets():
    for preset in CAPTIONS:
        assert f"| `{preset.stem}` |" in DOCUMENTS["captions.md"]
    for preset in FOLDER.glob("*.yaml"):
        assert f"| `config/presets/{preset.name}` |" in DOCUMENTS["configuration.md"]
