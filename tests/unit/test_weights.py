"""Weights are read and nothing else: what holds code, is damaged or does not fit is refused in one line."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from hub import refused
from safetensors.torch import save, save_file

from clipmill.base.errors import SetupError
from clipmill.models.checkpoints import Checkpoint, check_tensors, find_model, load_tensors, load_transformers
from clipmill.models.torchvision_ops import declare_missing_operators

pytestmark = pytest.mark.torch

declare_missing_operators()
torch.set_num_threads(1)

FILES = ["config.json", "model*.safetensors", "pytorch_model*.bin"]
TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2, dtype=torch.float16)}


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (self.marker, "run"))


@pytest.mark.parametrize("kind", ["safetensors", "pickle", "pickle of old"])
def test_tensors_are_read(tmp_path, kind):
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.bin")
    if kind == "safetensors":
        save_file(TENSORS, path)
    else:
        path.write_bytes(saved(TENSORS, _use_new_zipfile_serialization=kind == "pickle"))
    tensors = load_tensors(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items()
    )


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "write",
    [
        lambda value: saved({"layer.weight": value}),
        lambda value: saved({"layer.weight": value}, _use_new_zipfile_serialization=False),
        lambda value: pickle.dumps(value, protocol=2),
        lambda value: pickle.dumps(value),
    ],
    ids=["zip", "old", "protocol 2", "newest protocol"],
)
def test_code_in_a_pickle_is_not_run(tmp_path, write):
    path, marker = tmp_path / "model.pth", tmp_path / "marker"
    path.write_bytes(write(Evil(marker)))
    line = refused(load_tensors, path)
    assert line.startswith(f"{path}: refused, it holds more than tensors (") or line.startswith(
        f"{path}: no checkpoint"
    )
    assert not marker.exists()
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)["layer.weight"].numpy()
    assert marker.exists(), "it would have been run"


@pytest.mark.parametrize(
    ("value", "named"), [(torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"), ({"weight": eval}, "eval")]
)
def test_the_code_is_named(tmp_path, value, named):
    path = tmp_path / "model.pth"
    path.write_bytes(saved(value))
    assert refused(load_tensors, path) == (
        f"{path}: refused, it holds more than tensors ({named}); nothing of it was run. Take the published file, or "
        "one in .safetensors"
    )


@pytest.mark.filterwarnings("ignore:'torch.load' received")
def test_a_program_of_torch_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(saved(TENSORS))
    with zipfile.ZipFile(path, "a") as archive:  # what torch knows one by
        archive.writestr("archive/constants.pkl", pickle.dumps(()))
    assert "holds more than tensors (TorchScript)" in refused(load_tensors, path)


@pytest.mark.parametrize("kind", ["safetensors", "bin", "old.bin"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_half_a_file_is_refused(tmp_path, kind, share):
    big = {"weight": torch.zeros(100, 100)}
    content = save(big) if kind == "safetensors" else saved(big, _use_new_zipfile_serialization=kind == "bin")
    path = tmp_path / f"model.{kind}"
    path.write_bytes(content[: int(share * len(content))])
    line = refused(load_tensors, path)
    assert line.startswith(f"{path}: no checkpoint, or a damaged or half downloaded one (")
    assert line.endswith("; delete it and fetch it again")


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html></html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", bytes(99)],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    line = refused(load_tensors, path)
    assert line.startswith(f"{path}: no checkpoint, or a damaged or half downloaded one (")
    assert "weights_only" not in line, "torch's advice to trust the file is not passed on"


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(2), {"epoch": 3, "weight": torch.zeros(2)}])
def test_other_values_are_refused(tmp_path, value):
    path = tmp_path / "model.bin"
    path.write_bytes(saved(value))
    assert refused(load_tensors, path) == f"{path}: does not hold tensors by name; take the published file"


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_never_end_in_another_error(tmp_path):
    dice = random.Random(7)
    contents = [save(TENSORS), saved(TENSORS), saved(TENSORS, _use_new_zipfile_serialization=False)]
    for turn in range(300):
        content = bytearray(contents[turn % 3])
        for _ in range(dice.choice([1, 5, 30])):
            content[dice.randrange(len(content))] = dice.randrange(256)
        path = tmp_path / ("model.bin" if turn % 3 else "model.safetensors")
        path.write_bytes(content)
        try:
            load_tensors(path)
        except SetupError as error:
            assert "\n" not in str(error)


def test_a_file_that_is_not_there_or_not_ours(tmp_path, monkeypatch):
    assert refused(load_tensors, tmp_path / "none.bin").startswith(f"{tmp_path / 'none.bin'}: there is no such file")
    path = tmp_path / "model.bin"
    path.write_bytes(saved(TENSORS))
    monkeypatch.setattr(torch, "load", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied", str(path))))
    with pytest.raises(PermissionError):
        load_tensors(path)


def test_names_and_shapes_are_checked(tmp_path):
    check_tensors(TENSORS, {"layer.weight": (2, 3)}, tmp_path)
    check_tensors(TENSORS, {name: tuple(value.shape) for name, value in TENSORS.items()}, tmp_path, strict=True)
    line = refused(check_tensors, TENSORS, {"layer.weight": (3, 2), "layer.scale": (2,)}, tmp_path)
    assert line == (
        f"{tmp_path}: not the weights that this backend reads: layer.scale is missing, layer.weight has the shape "
        "(2, 3), not (3, 2); take the published ones"
    )
    line = refused(check_tensors, TENSORS, {"layer.weight": (2, 3)}, tmp_path, strict=True)
    assert "layer.bias is not known" in line
    line = refused(check_tensors, TENSORS, {f"layer.{number}": (1,) for number in range(9)}, tmp_path)
    assert "layer.0 is missing, layer.1 is missing, layer.2 is missing, and 6 more; take" in line


# --- models of transformers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    """A small model of transformers."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 2}
    return Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=14)).half()


@pytest.fixture(scope="module")
def dinov2(tiny, tmp_path_factory):
    """Its files, by name."""
    folder = tmp_path_factory.mktemp("dinov2")
    tiny.save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def put(folder: Path, files: dict[str, bytes]) -> Checkpoint:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return find_model(str(folder), None, FILES)


def load(folder: Path, files: dict[str, bytes], **options):
    from transformers import Dinov2Model

    return load_transformers(Dinov2Model, put(folder, files), **options)


@pytest.fixture
def weights(dinov2, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(dinov2["model.safetensors"])
    return load_tensors(tmp_path / "weights" / "model.safetensors")


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_a_model_is_loaded(tiny, dinov2, tmp_path, weights, kind):
    (tmp_path / "model").mkdir()
    files = dict(dinov2)
    if kind == "pickle":
        del files["model.safetensors"]
        files["pytorch_model.bin"] = saved({**weights, "more": torch.zeros(3)})
    model = load(tmp_path / "model", files)
    assert not model.training
    values, wanted = model.state_dict(), tiny.state_dict()
    assert values.keys() == wanted.keys()
    assert all(torch.equal(values[name], wanted[name].float()) for name in wanted)
    assert not any(value.requires_grad or value.dtype != torch.float32 for value in model.parameters())
    assert load(tmp_path / "model", files, dtype=torch.float16).dtype == torch.float16


def test_missing_and_misshapen_weights_are_named(dinov2, tmp_path, weights):
    (tmp_path / "model").mkdir()
    weights["embeddings.cls_token"] = torch.zeros(1, 1, 9)
    del weights["layernorm.bias"]
    line = refused(load, tmp_path / "model", {**dinov2, "model.safetensors": save(weights, {"format": "pt"})})
    assert line == (
        f"{tmp_path / 'model'}: not the weights that this backend reads: layernorm.bias is missing, "
        "embeddings.cls_token has the shape (1, 1, 9), not (1, 1, 8); take the published ones"
    )


def test_another_kind_of_model_is_refused(dinov2, tmp_path):
    from transformers import CLIPVisionModelWithProjection

    line = refused(load_transformers, CLIPVisionModelWithProjection, put(tmp_path, dinov2))
    assert line.startswith(f"{tmp_path}: not the weights that this backend reads: ")
    assert "more; take the published ones" in line


def test_a_half_downloaded_model_is_refused(dinov2, tmp_path):
    whole = dinov2["model.safetensors"]
    line = refused(load, tmp_path, {**dinov2, "model.safetensors": whole[: len(whole) // 2]})
    assert line.startswith(f"{tmp_path / 'model.safetensors'}: no checkpoint, or a damaged or half downloaded one")


def test_a_model_with_code_in_it_is_refused(dinov2, tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "model").mkdir()
    line = refused(
        load,
        tmp_path / "model",
        {"config.json": dinov2["config.json"], "pytorch_model.bin": saved({"a": Evil(marker)})},
    )
    assert line.startswith(f"{tmp_path / 'model' / 'pytorch_model.bin'}: refused, it holds more than tensors (")
    assert not marker.exists()


def test_a_model_without_settings_is_refused(dinov2, tmp_path):
    line = refused(load, tmp_path, {"model.safetensors": dinov2["model.safetensors"]})
    assert line == f"{tmp_path}: no config.json beside the weights; fetch {tmp_path} again"
    line = refused(load, tmp_path, {"config.json": b"{half"})
    assert line.startswith(f"{tmp_path}: no whole checkpoint of a Dinov2Model (")
    assert line.endswith(f"; fetch {tmp_path} again, or name another model")


def test_a_missing_part_is_refused(dinov2, tmp_path):
    index = {"metadata": {}, "weight_map": {"layernorm.bias": "model-00002-of-00002.safetensors"}}
    files = {"config.json": dinov2["config.json"], "model-00001-of-00002.safetensors": dinov2["model.safetensors"]}
    line = refused(load, tmp_path, {**files, "model.safetensors.index.json": json.dumps(index).encode()})
    assert "model-00002-of-00002.safetensors" in line


def test_code_beside_the_model_is_not_run(dinov2, tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "model").mkdir()
    config = json.loads(dinov2["config.json"]) | {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    (tmp_path / "model" / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    load(tmp_path / "model", {**dinov2, "config.json": json.dumps(config).encode()})
    assert not marker.exists()
