"""Scores on embeddings of vision models, against their formulas written out, on small random checkpoints.

Tolerances: float32 against the restatement in float64: 1e-6 on the numbers of an embedding of length 1, on cosines and
on aesthetic scores (below 1 here). bf16 on the CPU: 0.01.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from vision_formulas import FRAMES, embeddings, head_scores

import checkpoints
from clipmill.base.errors import SetupError
from clipmill.scores.aesthetic.laion import Laion
from clipmill.scores.aesthetic.learned import Head
from clipmill.scores.aesthetic.siglip import SiglipV25
from clipmill.scores.consistency.embeddings import ClipConsistency, Dinov2Consistency

FP32, BF16 = 1e-6, 0.01
BACKENDS = {"siglip-v2.5": SiglipV25, "laion": Laion, "clip": ClipConsistency, "dinov2": Dinov2Consistency}
MODEL_OF = {"siglip-v2.5": "siglip", "laion": "clip", "clip": "clip", "dinov2": "dinov2"}
HEADS = {"siglip-v2.5": "siglip_head", "laion": "laion_head"}


pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = ("siglip", "siglip_head", "clip", "laion_head", "dinov2")
    return {name: checkpoints.MAKERS[name](folder / name) for name in names}


def backend(name: str, models: dict[str, Path], dtype: str = "fp32", **more):
    settings = {"model": str(models[MODEL_OF[name]]), "revision": None, "dtype": dtype}
    if name in HEADS:
        settings |= {"frames": 4, "head": str(models[HEADS[name]]), "head_sha256": None}
    else:
        settings |= {"keep_embeddings": False}
    return BACKENDS[name](**settings | more)


def scored(scorer, frames: list[np.ndarray]) -> list:
    return scorer.measure(scorer.prepare(frames))


# --- scores against their formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("auto", FP32), ("bf16", BF16)])
@pytest.mark.parametrize("name", ["siglip-v2.5", "laion"])
def test_aesthetic_is_the_head_on_the_embedding(models, name, dtype, tolerance):
    scorer = backend(name, models, dtype)
    prefix = {"siglip-v2.5": "scoring_head", "laion": "layers"}[name]
    expected = head_scores(models[HEADS[name]], prefix, embeddings(MODEL_OF[name], models, FRAMES))
    values = scored(scorer, FRAMES)
    assert np.ptp(expected) > 4 * BF16  # the frames are told apart
    assert values == pytest.approx(expected, abs=tolerance)
    row = scorer.finish(values[:3])
    assert row == {"aesthetic": pytest.approx(sum(values[:3]) / 3), "aesthetic_frames": values[:3]}


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("auto", FP32), ("bf16", BF16)])
@pytest.mark.parametrize("name", ["clip", "dinov2"])
def test_consistency_is_the_least_cosine_of_neighbours(models, name, dtype, tolerance):
    scorer = backend(name, models, dtype, keep_embeddings=True)
    expected = embeddings(name, models, FRAMES).numpy()
    values = scored(scorer, FRAMES)
    assert np.abs(np.stack(values) - expected).max() <= tolerance
    cosines = [float(expected[k] @ expected[k + 1]) for k in range(len(expected) - 1)]
    assert max(cosines) - min(cosines) > 4 * BF16  # a wrong neighbour would show
    row = scorer.finish(values)
    assert row["consistency"] == pytest.approx(min(cosines), abs=tolerance)
    assert [kept.dtype for kept in row["embeddings"]] == [np.float16] * len(FRAMES)
    assert np.abs(np.stack(row["embeddings"]) - np.stack(values)).max() <= 2**-11  # float16's spacing below 1


@pytest.mark.parametrize("name", list(MODEL_OF))
def test_embeddings_have_length_one_whatever_the_dtype(models, name):
    for dtype in ("fp32", "bf16"):
        scorer = backend(name, models, dtype)
        lengths = scorer.embed(scorer.prepare(FRAMES)).norm(dim=1)
        assert lengths.dtype == torch.float32 and torch.allclose(lengths, torch.ones(len(FRAMES)), atol=1e-6)


def test_the_head_is_computed_in_float32_under_bf16(models):
    scorer = backend("siglip-v2.5", models, "bf16")
    units = scorer.prepare(FRAMES)
    expected = head_scores(models["siglip_head"], "scoring_head", scorer.embed(units).double())
    assert scorer.measure(units) == pytest.approx(expected, abs=FP32)


@pytest.mark.parametrize("name", list(MODEL_OF))
def test_batches_change_nothing(models, name):
    scorer = backend(name, models)
    units = scorer.prepare(FRAMES)
    alone = np.array([scorer.measure([unit])[0] for unit in units])
    assert np.abs(np.array(scorer.measure(units)) - alone).max() <= FP32
    assert np.array_equal(np.array(scorer.measure(units[:1])[0]), alone[0])


def test_a_single_sample_is_consistent_and_so_are_equal_ones(models):
    scorer = backend("clip", models)
    value = scored(scorer, FRAMES[:1])[0]
    assert scorer.finish([value]) == {"consistency": 1.0}
    assert scorer.finish([value, value, value]) == {"consistency": pytest.approx(1.0, abs=1e-6)}
    assert scorer.finish([value, -value])["consistency"] == pytest.approx(-1.0, abs=1e-6)
    assert scorer.finish([value * np.float32(1.001)] * 2)["consistency"] == 1.0  # rounding never leads beyond


# --- the head ---------------------------------------------------------------------------------------------------------


def test_the_layers_of_the_heads_are_those_published():
    sizes = [(1152, 1024), (1024, 128), (128, 64), (64, 16), (16, 1)]
    for layout, name, numbers in (
        (SiglipV25.layout, "scoring_head", (0, 2, 4, 6, 8)),
        (Laion.layout, "layers", (0, 2, 4, 6, 7)),
    ):
        shapes = {}
        for number, (inputs, outputs) in zip(numbers, sizes, strict=True):
            shapes |= {f"{name}.{number}.weight": (outputs, inputs), f"{name}.{number}.bias": (outputs,)}
        assert layout._shapes(1152) == shapes


def test_there_is_no_activation_between_the_layers(tmp_path):
    tensors = {"a.0.weight": -torch.ones(2, 1), "a.0.bias": torch.tensor([1.0, -1.0])}
    tensors |= {"a.1.weight": torch.tensor([[1.0, 3.0]]), "a.1.bias": torch.tensor([0.5])}
    torch.save(tensors, tmp_path / "head.pth")
    weights, bias = Head("a", (0, 1), (2, 1), "no address").load(tmp_path / "head.pth", 1)
    assert weights.tolist() == [-4.0] and bias.item() == -1.5 and weights.dtype == torch.float32


def changed(path: Path, to: Path, change) -> Path:
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, to)
    return to


def test_a_head_of_another_layout_is_refused_by_name(tmp_path, models):
    for change, message in (
        (lambda tensors: tensors.pop("scoring_head.4.bias"), r"scoring_head\.4\.bias"),
        (
            lambda tensors: tensors.update({"scoring_head.6.weight": torch.zeros(16, 60)}),
            r"scoring_head\.6\.weight .* \(16, 60\), not \(16, 64\)",
        ),
        (
            lambda tensors: tensors.update({"scoring_head.0.weight": torch.zeros(1024, 1152)}),
            r"scoring_head\.0\.weight .* \(1024, 1152\), not \(1024, 64\)",
        ),
    ):
        head = changed(models["siglip_head"], tmp_path / "head.pth", change)
        scorer = backend("siglip-v2.5", models, head=str(head))
        with pytest.raises(SetupError, match=message) as caught:
            scored(scorer, FRAMES[:1])
        assert str(head) in str(caught.value)
    with pytest.raises(SetupError, match=r"scoring_head\.0\.bias"):
        scored(backend("siglip-v2.5", models, head=str(models["laion_head"])), FRAMES[:1])


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("siglip-v2.5", "head.probe"),
        ("laion", "visual_projection.weight"),
        ("clip", "vision_model.encoder.layers.1.mlp.fc2.bias"),
        ("dinov2", "encoder.layer.0.layer_scale1.lambda1"),
    ],
)
def test_a_model_with_a_missing_key_or_another_shape_is_refused_by_name(tmp_path, models, name, key):
    folder = tmp_path / "model"
    shutil.copytree(models[MODEL_OF[name]], folder)
    tensors = load_file(models[MODEL_OF[name]] / "model.safetensors")
    full = next(name for name in tensors if name.endswith(key))
    cut = {name: tensor for name, tensor in tensors.items() if name != full}
    for wrong in (cut, cut | {full: tensors[full][..., :-1].contiguous()}):
        save_file(wrong, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(SetupError, match=key.replace(".", r"\.")) as caught:
            scored(backend(name, models, model=str(folder)), FRAMES[:1])
        assert str(folder) in str(caught.value)


def test_a_checkpoint_as_pickle_gives_the_same(tmp_path, models):
    """As `openai/clip-vit-large-patch14-336` is published."""
    folder = tmp_path / "clip"
    shutil.copytree(models["clip"], folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    values = scored(backend("clip", models, model=str(folder)), FRAMES)
    assert np.array_equal(np.stack(values), np.stack(scored(backend("clip", models), FRAMES)))


def test_nothing_is_loaded_before_it_is_needed(models, tmp_path):
    for name in MODEL_OF:
        scorer = backend(name, models, model=str(tmp_path / "nothing"))
        with pytest.raises(SetupError, match="nothing"):
            scorer.checkpoints()
    scorer = backend("laion", models, head=str(tmp_path / "no.pth"))
    with pytest.raises(SetupError, match=r"no\.pth"):
        scorer.checkpoints()


def test_only_the_vision_tower_is_held(models):
    for name in ("siglip-v2.5", "clip"):
        scorer = backend(name, models)
        scorer.embed(scorer.prepare(FRAMES[:1]))
        assert not any("text" in key for key in scorer._network.state_dict())


def test_about_says_what_the_score_depends_on_and_no_more(models):
    for name in MODEL_OF:
        scorer = backend(name, models, "bf16")
        about = scorer.about
        files = [found.identity() for found in scorer.checkpoints()]
        assert about["backend"] == name and about["dtype"] == "bf16" and about["models"] == files
        assert len(files) == (2 if "frames" in about else 1)
        assert all(found["revision"].startswith("sha256:") for found in files)
        scorer.batch, scorer.compile = 3, True
        assert scorer.about == about and json.dumps(about)
    assert backend("laion", models, frames=5).about["frames"] == backend("laion", models, frames=5).choice.count == 5
    kept = backend("dinov2", models, keep_embeddings=True).about
    assert kept != backend("dinov2", models).about  # rows of the one lack what those of the other have
    choice = backend("dinov2", models).choice
    assert (choice.count, choice.per_second, choice.ends) == (None, 1, True)


def test_compile_hands_the_model_to_torch(models, monkeypatch):
    handed = []
    monkeypatch.setattr(torch, "compile", lambda network: handed.append(network) or network)
    scorer = backend("dinov2", models)
    plain = scored(scorer, FRAMES[:2])
    assert not handed
    scorer = backend("dinov2", models)
    scorer.compile = True
    assert np.array_equal(scored(scorer, FRAMES[:2]), plain) and handed == [scorer._network]
    scored(scorer, FRAMES[:1])
    assert len(handed) == 1


def test_made_checkpoints_are_the_same_each_time(tmp_path, models):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    for name in ("siglip", "clip", "dinov2"):
        again = checkpoints.MAKERS[name](tmp_path / name)
        for file in ("model.safetensors", "config.json", "preprocessor_config.json"):
            assert (again / file).read_bytes() == (models[name] / file).read_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert set(checkpoints.TRUE_SIZES) == set(checkpoints.MAKERS)
