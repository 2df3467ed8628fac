"""Models of 4 bits, without the packages for them: what is refused, which texts are chosen, what is written when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub import SCRIPTS, refused
from safetensors.numpy import save_file

from clipmill.base.journal import fingerprint
from clipmill.extras import quantize
from clipmill.extras.calibration_texts import GENERIC, find_texts
from clipmill.extras.quantize import (
    QuantizeSettings,
    check_layers,
    check_model,
    join_texts,
    linear_shapes,
    quantize_model,
    read_about,
)
from clipmill.models.checkpoints import Checkpoint, find_model
from clipmill.store import table, tables
from default_config import CONFIG

pytestmark = pytest.mark.torch

SETTINGS = QuantizeSettings(**CONFIG["quantize"])
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}


def make_model(folder: Path, config: dict[str, Any] | None = None, **shapes: tuple[int, ...]) -> Checkpoint:
    """A folder that looks like a model: two blocks, with linear layers of these shapes (outputs, inputs)."""
    folder.mkdir(parents=True)
    shapes = {"up_proj": (512, 256), "down_proj": (256, 512), **shapes}
    tensors = {"model.embed_tokens.weight": np.zeros((8, 100), np.float16)}
    for block in range(2):
        tensors[f"model.layers.{block}.norm.weight"] = np.ones(100, np.float16)
        tensors |= {
            f"model.layers.{block}.mlp.{name}.weight": np.zeros(size, np.float16) for name, size in shapes.items()
        }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    (folder / "tokenizer.json").write_text("{}")
    return Checkpoint(folder, str(folder), "sha256:0", "unknown")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_linear_layers_are_those_of_the_blocks_alone(tmp_path):
    shapes = linear_shapes(make_model(tmp_path / "model"))
    assert shapes == {
        f"model.layers.{block}.mlp.{name}.weight": size
        for block in (0, 1)
        for name, size in (("up_proj", (512, 256)), ("down_proj", (256, 512)))
    }


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (
            LLAMA | {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            ("T5ForCond", "llama, mistral"),
        ),
        (
            LLAMA | {"architectures": ["LlamaForSequenceClassification"]},
            ("LlamaForSequence", "no causal language model"),
        ),
        (
            {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]},
            ("no causal language model", "its model_type is qwen2_5_vl"),
        ),
        ({"model_type": "bert"}, ("bert is no causal",)),
        (LLAMA | {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}, ("no causal language model",)),
        (
            LLAMA | {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]},
            ("backend autoawq cannot", "type qwen3_moe; set quantize.backend to llm-compressor"),
        ),
        (LLAMA | {"quantization_config": {"quant_method": "awq"}}, ("is quantized already (awq)",)),
        ({}, ("config.json", "KeyError: 'model_type'")),
        ([], ("config.json", "TypeError")),
    ],
)
def test_other_models_are_refused(tmp_path, config, parts):
    line = refused(check_model, make_model(tmp_path / "model", config), "autoawq")
    assert all(part in line for part in (str(tmp_path), *parts)), line


def test_a_folder_that_is_no_whole_model_is_refused(tmp_path):
    checkpoint = make_model(tmp_path / "model")
    assert check_model(checkpoint, "autoawq") == check_model(checkpoint, "llm-compressor") == LLAMA
    (checkpoint.path / "config.json").write_text('{"model_type": "lla')
    assert "JSONDecodeError" in refused(check_model, checkpoint, "autoawq")
    (checkpoint.path / "config.json").unlink()
    assert "no config.json beside the weights" in refused(check_model, checkpoint, "autoawq")
    out = tmp_path / "out"
    (checkpoint.path / "model.safetensors").rename(checkpoint.path / "pytorch_model.bin")
    assert "holds no model*.safetensors" in refused(quantize_model, checkpoint.model, out, SETTINGS, tmp_path, 0)
    assert "there is no such folder" in refused(quantize_model, "./none", out, SETTINGS, tmp_path, 0)
    assert not out.exists()


def test_groups_that_do_not_divide_a_layer_are_refused(tmp_path):
    checkpoint = make_model(tmp_path / "model", gate_proj=(512, 320), o_proj=(256, 192))
    line = refused(check_layers, checkpoint, 128)
    assert "group_size 128 does not divide the 192 or 320 inputs of mlp.gate_proj, mlp.o_proj; " in line
    assert line.endswith("set quantize.group_size to 64")
    check_layers(checkpoint, 64)
    check_layers(checkpoint, 32)
    line = refused(check_layers, make_model(tmp_path / "odd", gate_proj=(512, 100)), 64)
    assert "mlp.gate_proj; nor do 128, 64, 32: name another model" in line


def test_layers_that_cannot_be_divided_into_rows_are_refused(tmp_path):
    """But for those that choose among experts: they stay as they are."""
    check_layers(make_model(tmp_path / "mixture", gate=(4, 256)), 128)
    line = refused(check_layers, make_model(tmp_path / "model", v_proj=(32, 256)), 128)
    assert line.endswith("a layer needs a multiple of 64 outputs, which mlp.v_proj has not")


def test_damaged_and_empty_weights_are_refused(tmp_path):
    checkpoint = make_model(tmp_path / "model")
    weights = checkpoint.path / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    assert "damaged or half downloaded" in refused(check_layers, checkpoint, 128)
    save_file({"weight": np.zeros((128, 128))}, weights)
    assert "no layers" in refused(check_layers, checkpoint, 128)


def test_only_a_folder_that_was_made_here_may_be_replaced(tmp_path):
    out = tmp_path / "out"
    assert read_about(out) is None
    out.mkdir()
    assert read_about(out) is None
    (out / "clipmill.json").write_text('{"made_by": "clipmill quantize", "key": "k"}')
    assert read_about(out)["key"] == "k"
    for content in ("{}", "[]", "{", '{"made_by": "another", "key": "k"}'):
        (out / "clipmill.json").write_text(content)
        assert "was not made by `snakemake quantize`; nothing in it is touched" in refused(read_about, out)
    checkpoint = make_model(tmp_path / "model")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert "was not made by" in refused(quantize_model, checkpoint.model, checkpoint.path, SETTINGS, tmp_path, 0)
    assert "was not made by" in refused(read_about, checkpoint.path / "config.json")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("backend", "package", "install"),
    [
        ("autoawq", "awq", "make awq`, or"),
        (
            "llm-compressor",
            "compressed_tensors",
            "make llm-compressor`, then `source .venv-llm-compressor/bin/activate`, or",
        ),
    ],
)
def test_without_the_packages_the_message_says_how_to_install_them(tmp_path, monkeypatch, backend, package, install):
    monkeypatch.setitem(sys.modules, package, None)
    checkpoint, settings = make_model(tmp_path / "model"), replace(SETTINGS, backend=backend)
    line = refused(quantize_model, checkpoint.model, tmp_path / "new" / "out", settings, tmp_path, 0)
    assert f"is not installed; run `{install} use --sdm conda" in line
    assert not any((tmp_path / "new").iterdir())


# --- which texts ------------------------------------------------------------------------------------------------------


def write_texts(outdir: Path, table: table.Table, column: str, *shards: list[str | None]) -> None:
    for number, texts in enumerate(shards):
        table.write(table.of(outdir, f"{number:06d}"), [{"clip_id": str(n), column: t} for n, t in enumerate(texts)])


def captions(start: int, end: int) -> list[str]:
    return [f"Clip {number} shows a dog." for number in range(start, end)]


def test_without_captions_generic_texts_are_used(tmp_path):
    found = find_texts(None, tmp_path, 128)
    assert sorted(found.texts) == sorted(GENERIC)
    assert found.source == f"the {len(GENERIC)} generic texts of clipmill: no caption in {tmp_path}"
    assert len(set(GENERIC)) == len(GENERIC) >= 32
    write_texts(tmp_path, tables.REWRITES, "text", [])
    write_texts(tmp_path, tables.CAPTIONS, "caption", [None, " "])
    assert find_texts(None, tmp_path, 128) == found


def test_the_run_s_own_texts_come_first(tmp_path):
    write_texts(tmp_path, tables.CAPTIONS, "caption", captions(0, 50), captions(50, 100))
    found = find_texts(None, tmp_path, 40)
    assert len(found.texts) == 40 and set(found.texts) < set(captions(0, 100))
    assert found.source == f"the 100 texts of {tmp_path}/work/captions"
    write_texts(tmp_path, tables.REWRITES, "text", captions(100, 150), [None, "", *captions(100, 160)])
    found = find_texts(None, tmp_path, 128)
    assert set(found.texts) == set(captions(100, 160))
    assert found.source == f"the 60 texts of {tmp_path}/work/rewrites"


def test_few_captions_are_not_all(tmp_path):
    write_texts(tmp_path, tables.REWRITES, "text", ["One."])
    found = find_texts(None, tmp_path, 128)
    assert set(found.texts) == {"One.", *GENERIC}
    assert found.source == f"the 1 text of {tmp_path}/work/rewrites, too few, and {len(GENERIC)} generic ones"


def test_the_same_texts_are_chosen_whatever_their_order(tmp_path):
    first, second = captions(0, 60), captions(60, 120)
    write_texts(tmp_path / "a", tables.REWRITES, "text", first, second)
    write_texts(tmp_path / "b", tables.REWRITES, "text", second[::-1], first)
    one, other = (find_texts(None, tmp_path / run, 32) for run in "ab")
    assert one.texts == other.texts and one.digest == other.digest
    assert one.texts != tuple(first[:32])
    write_texts(tmp_path / "b", tables.REWRITES, "text", second[::-1], [*first, "Another."])
    assert len(set(one.texts) & set(find_texts(None, tmp_path / "b", 32).texts)) >= 31


def test_a_file_of_one_s_own(tmp_path):
    write_texts(tmp_path, tables.REWRITES, "text", captions(0, 60))
    file = tmp_path / "texts.txt"
    file.write_text("  one \n\ntwo\none\n", encoding="utf-8")
    found = find_texts(str(file), tmp_path, 128)
    assert sorted(found.texts) == ["one", "two"]
    assert found.source == f"the 2 texts of {file}"
    file.write_text("\n \n")
    assert "is empty" in refused(find_texts, str(file), tmp_path, 128)
    file.write_bytes(b"\xff\xfe")
    assert "no text in UTF-8" in refused(find_texts, str(file), tmp_path, 128)
    assert f"there is no file {tmp_path}/none" in refused(find_texts, str(tmp_path / "none"), tmp_path, 128)


def test_texts_are_joined_into_pieces_of_one_length():
    def encode(text):
        return [ord(letter) for letter in text]

    assert join_texts(["abc", "de", "fgh"], encode, 3) == [encode("abc"), encode("def")]
    assert join_texts(["abc", "de"], encode, 5) == [encode("abcde")]
    assert join_texts(["abc", "de"], encode, 512) == [encode("abcde")]
    assert "have no token" in refused(join_texts, ["", ""], encode, 512)


# --- the weights' files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shard", "files"), [("5GB", 1), ("1KB", 2)])
def test_weights_are_written_as_safetensors_in_half_precision(tmp_path, monkeypatch, shard, files):
    import torch
    from safetensors.torch import load_file

    monkeypatch.setattr(quantize, "SHARD", shard)
    tensors = {
        "a.qweight": torch.arange(64, dtype=torch.int32).reshape(8, 8),
        "a.scales": torch.ones(2, 64, dtype=torch.float16),
        "b.weight": torch.rand(16, 32).T,
    }
    quantize._save(tensors, {"a"}, torch.bfloat16, tmp_path)
    weights = sorted(tmp_path.glob("*.safetensors"))
    assert len(weights) == files
    found = {name: values for path in weights for name, values in load_file(path).items()}
    tensors["b.weight"] = tensors["b.weight"].bfloat16()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found)
    assert {path.stat().st_mode & 0o777 for path in weights} == {tmp_path.stat().st_mode & 0o666}
    index = tmp_path / "model.safetensors.index.json"
    assert index.exists() == (files > 1)
    if files > 1:
        assert json.loads(index.read_text())["weight_map"].keys() == tensors.keys()


# --- what is written when ---------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch):
    """Stands in for the backends; calls it got."""
    calls = []

    def stand_in(checkpoint, config, calibration, settings, folder):
        calls.append((checkpoint.path.name, settings.group_size, calibration.texts))
        (folder / "model.safetensors").write_text(f"{checkpoint.revision} in groups of {settings.group_size}")
        return {"autoawq": "0"}

    monkeypatch.setattr(quantize, "_quantize", stand_in)
    return calls


def content(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_second_run_does_nothing_and_a_change_makes_it_anew(tmp_path, made):
    model, out = str(make_model(tmp_path / "model").path), tmp_path / "deep" / "out {x}"
    assert quantize_model(model, out, SETTINGS, tmp_path, 0)
    first = content(out)
    assert sorted(first) == ["clipmill.json", "model.safetensors"]
    about = json.loads(first["clipmill.json"][0])
    assert about["model"] == model and about["group_size"] == 128 and about["calibration"]["texts"] == len(GENERIC)
    assert not quantize_model(model, out, SETTINGS, tmp_path, 0)
    assert content(out) == first and len(made) == 1
    changes = [replace(SETTINGS, group_size=64), replace(SETTINGS, calibration_tokens=64)]
    changes += [replace(SETTINGS, calibration_samples=8), replace(SETTINGS, backend="llm-compressor")]
    for number, settings in enumerate(changes, 2):
        assert quantize_model(model, out, settings, tmp_path, 0)
        assert len(made) == number
    write_texts(tmp_path, tables.REWRITES, "text", captions(0, 60))
    assert quantize_model(model, out, SETTINGS, tmp_path, 0)
    assert made[-1] == ("model", 128, find_texts(None, tmp_path, 128).texts)
    (tmp_path / "model" / "tokenizer.json").write_text('{"other": 1}')
    assert quantize_model(model, out, SETTINGS, tmp_path, 0)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_model_of_before_the_backends_is_up_to_date(tmp_path, made):
    """What AutoAWQ made then has this key, and no word of a backend."""
    checkpoint, out = make_model(tmp_path / "model"), tmp_path / "out"
    revision = find_model(checkpoint.model, None, quantize.FILES).revision
    key = fingerprint(1, revision, 128, 512, find_texts(None, tmp_path, 128).digest)
    out.mkdir()
    (out / "clipmill.json").write_text(json.dumps({"made_by": "clipmill quantize", "key": key}))
    assert not quantize_model(checkpoint.model, out, SETTINGS, tmp_path, 0)
    assert made == []


def test_a_failure_leaves_what_was_there(tmp_path, made, monkeypatch):
    model, out = str(make_model(tmp_path / "model").path), tmp_path / "out"
    quantize_model(model, out, SETTINGS, tmp_path, 0)
    before = content(out)

    def fail(checkpoint, config, calibration, settings, folder):
        (folder / "config.json").write_text("{}")
        raise ValueError

    monkeypatch.setattr(quantize, "_quantize", fail)
    for target in (out, tmp_path / "other"):
        with pytest.raises(ValueError):
            quantize_model(model, target, replace(SETTINGS, group_size=64), tmp_path, 0)
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


KILLED = """
import os, signal, sys
from pathlib import Path
from clipmill.base.journal import fingerprint
from clipmill.extras import quantize

def stand_in(checkpoint, config, calibration, settings, folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

quantize._quantize = stand_in
settings = quantize.QuantizeSettings("autoawq", None, 64, None, 128, 512)
quantize.quantize_model(sys.argv[1], Path(sys.argv[2]), settings, Path("."), 0)
"""


@pytest.mark.parametrize("old", [False, True])
def test_a_kill_leaves_nothing_that_looks_finished(tmp_path, made, old):
    model, out = str(make_model(tmp_path / "model").path), tmp_path / "out"
    if old:
        quantize_model(model, out, SETTINGS, tmp_path, 0)
        before = content(out)
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", KILLED, model, str(out)], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / ".out.tmp" / "model.safetensors").exists()
    if old:
        assert content(out) == before
    else:
        assert not out.exists()
    assert quantize_model(model, out, replace(SETTINGS, group_size=64), tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]
    assert "in groups of 64" in (out / "model.safetensors").read_text()
