"""Presets: valid, of backends that there are, and whole: nothing of a preset before them shows through."""

from __future__ import annotations

import copy
import re
from functools import cache
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
from clipmill.shapes.target import has_target
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


@cache
def values_of(path: Path) -> dict[str, Any]:
    """What a file of a config says; not to be changed."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def merged(*presets: Path) -> dict[str, Any]:
    """The config that `--configfile` with these files makes."""
    config: dict[str, Any] = {}
    for values in (CONFIG, {"videos": "videos"}, *map(values_of, presets)):
        update_config(config, copy.deepcopy(values))
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
        both = merged(before, preset)
        assert asked(both) == alone, before
        check_config(both, SCHEMA_PATH)


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
        licence = f"{LICENCES[model]}, by the model card" if model in LICENCES else "not found"
        assert f"Licence of the weights: {licence}" in head
        assert "\n# Tried: " in head
        own_code = model.startswith(("OpenGVLab/InternVL2", "allenai/", "Kwai-Keye/"))
        assert caption["vllm"]["trust_remote_code"] == own_code


def test_the_documentation_lists_the_presets():
    for preset in CAPTIONS:
        assert f"| `{preset.stem}` |" in DOCUMENTS["captions.md"]
        head, caption = preset.read_text(encoding="utf-8"), merged(preset)["caption"]
        if caption["backend"] == "vllm":
            memory = re.search(r"# GPU memory: (\d+ GB)", head)[1]
            row = f"| `{preset.stem}` | `{caption['vllm']['model']}` |"
            (line,) = (line for line in DOCUMENTS["captions.md"].splitlines() if line.startswith(row))
            assert f"| {memory} |" in line
            assert line.endswith("| sent |") == (caption["send"] == "video")
    for preset in FOLDER.glob("*.yaml"):
        assert f"| `config/presets/{preset.name}` |" in DOCUMENTS["configuration.md"]


# --- targets ----------------------------------------------------------------------------------------------------------

# By target: n of n × k + 1 frames, and what both sides are multiples of. Written down apart from the presets: see there
# for where the rules are from.
RULES = {
    "wan2.2-a14b": (4, 16),
    "wan2.2-5b": (4, 32),
    "hunyuanvideo-1.5": (4, 16),
    "ltx-2": (8, 32),
    "framepack": (36, 32),
    "cogvideox": (8, 16),
    "easyanimate-v5.1": (4, 16),
}
RATES = {"wan2.2-a14b": 16, "framepack": 30, "cogvideox": 8, "easyanimate-v5.1": 8}  # others: 24
target = pytest.mark.parametrize("preset", sorted((FOLDER / "targets").glob("*.yaml")), ids=lambda path: path.stem)


def test_all_targets_are_there():
    assert {path.stem for path in (FOLDER / "targets").glob("*.yaml")} == RULES.keys()


@target
def test_a_target_asks_for_all_that_its_model_takes(preset):
    config = merged(preset)
    cut, buckets = config["cut"], config["export"]["buckets"]
    step, multiple = RULES[preset.stem]
    assert config["split"]["pieces"] == "exact" and cut["codec"] == "h264"
    assert cut["fps"] == RATES.get(preset.stem, 24)
    assert cut["audio"] == (preset.stem == "ltx-2")
    assert cut["frames"] == sorted(cut["frames"]) and all(count % step == 1 for count in cut["frames"])
    if cut["size"] == "bucket":
        assert buckets["frames"] == cut["frames"] and buckets["fps"] is None
        assert all(side % multiple == 0 for size in buckets["resolutions"] for side in size)
        upright = {(high, wide) for wide, high in buckets["resolutions"]}
        assert preset.stem == "cogvideox" or upright == {(wide, high) for wide, high in buckets["resolutions"]}
    else:
        assert cut["size"]["multiple_of"] % multiple == 0
    assert has_target(cut)


@target
def test_a_target_sets_nothing_else_and_may_precede_or_follow_a_config(preset, tmp_path):
    values = yaml.safe_load(preset.read_text(encoding="utf-8"))
    assert values.keys() == {"split", "cut", "export"} and values["split"].keys() == {"pieces"}
    own = tmp_path / "my.yaml"
    own.write_text("filters: {motion: {min: 2}}\ncut: {crf: 20}\nexport: {card: {title: Cats}}\n", encoding="utf-8")
    assert merged(preset, own) == merged(own, preset)
    check_config(merged(preset, own), SCHEMA_PATH)
    alone = merged(preset)["cut"]
    for before in PRESETS:
        if before.parent.name != "targets":
            both = merged(before, preset)
            assert both["cut"] == alone, before
            check_config(both, SCHEMA_PATH)


@target
def test_each_number_of_a_target_names_its_source(preset):
    text = preset.read_text(encoding="utf-8")
    for ending in (" --config videos=/my/videos\n", " my.yaml\n"):
        assert f"--configfile config/presets/targets/{preset.name}{ending}" in text
    assert re.search(r"# Sources: .* at commit [0-9a-f]{7}", text)
    for key in ("fps: ", "frames: ["):
        place = text.index(f"\n  {key}")
        line = text[place + 1 :].partition("\n")[0]
        comment = line.partition("#")[2] or text[:place].rpartition("\n")[2].partition("#")[2]
        assert comment, f"{key} has no source"
    assert f"| `{preset.stem}` |" in DOCUMENTS["configuration.md"]
