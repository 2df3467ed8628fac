"""Pictures as a model wants them: the pixels of the published processors, within one grey level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from vision_formulas import FRAMES, SOFT, as_pictures, published

import checkpoints
from clipmill.base.errors import SetupError
from clipmill.models.checkpoints import Checkpoint
from clipmill.scores.preprocess import Preprocess

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: checkpoints.MAKERS[name](folder / name) for name in ("siglip", "clip", "dinov2")}


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder, str(folder), "sha256:0", "unknown")


@pytest.mark.parametrize("how", ["pil", "torchvision"])
@pytest.mark.parametrize("name", ["siglip", "clip", "dinov2"])
def test_pixels_are_those_of_the_published_processor(models, name, how):
    ours, theirs = Preprocess.of(checkpoint(models[name])), published(models[name], how)
    for frame in FRAMES if how == "torchvision" else SOFT:
        bytes_ = theirs(as_pictures([frame]), return_tensors="pt", do_rescale=False, do_normalize=False)
        expected = bytes_["pixel_values"][0].permute(1, 2, 0).numpy().astype(int)
        prepared = ours(frame)
        assert prepared.dtype == np.uint8 and prepared.shape == expected.shape
        assert np.abs(prepared.astype(int) - expected).max() <= 1
        normalised = ours.normalise([prepared])
        level = 1 / 255 / min(ours.std)
        whole = theirs(as_pictures([frame]), return_tensors="pt")["pixel_values"]
        assert normalised.dtype == torch.float32 and (normalised - whole).abs().max() <= level + 1e-5


@pytest.mark.parametrize(
    "sizes",
    [
        {"size": 56, "crop_size": 56},
        {"size": {"shortest_edge": 70}, "crop_size": {"height": 56, "width": 42}},
        {"size": {"height": 61, "width": 90}, "crop_size": {"height": 56, "width": 75}},
        {"size": {"height": 30, "width": 90}, "do_center_crop": False},
        {"size": 48, "crop_size": 48, "resample": 2},
    ],
    ids=["old file", "narrow crop", "odd margins", "no crop", "bilinear"],
)
def test_other_sizes_are_understood_as_published(tmp_path, sizes):
    # The file of clip-vit-large-patch14-336 says neither how levels are scaled nor which sides its sizes are of.
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "do_resize": True, "do_center_crop": True}
    old |= {"do_normalize": True, "resample": 3, "image_processor_type": "CLIPImageProcessor"}
    old |= {key: checkpoints.CLIP_PIXELS[key] for key in ("image_mean", "image_std")}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old | sizes))
    ours, theirs = Preprocess.of(checkpoint(tmp_path)), published(tmp_path)
    for frame in FRAMES:
        normalised = ours.normalise([ours(frame)])
        expected = theirs(as_pictures([frame]), return_tensors="pt")["pixel_values"]
        assert normalised.shape == expected.shape
        assert (normalised - expected).abs().max() <= 1 / 255 / min(ours.std) + 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "preprocessor_config.json: No such file"),
        ("{", "not understood"),
        ("[]", "not understood"),
        ({"do_resize": False}, "do_resize is false"),
        ({"size": {"longest_edge": 56}}, "'height'"),
        ({"do_center_crop": False}, "pictures of one size"),
        ({"crop_size": 57}, "crop_size is larger"),
        ({"image_mean": [0.5]}, "not enough values"),
        ({"image_std": None}, "not understood"),
        ({"resample": 1}, "resample 1 is none of"),
    ],
)
def test_an_odd_preprocessor_file_is_refused_by_name(tmp_path, models, change, message):
    path = tmp_path / "preprocessor_config.json"
    if isinstance(change, str):
        path.write_text(change)
    elif change is not None:
        path.write_text(json.dumps(json.loads((models["clip"] / path.name).read_text()) | change))
    with pytest.raises(SetupError, match=message) as caught:
        Preprocess.of(checkpoint(tmp_path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
