"""Classifiers by transformers and by CLIP or SigLIP, against the published code, on small random checkpoints.

Tolerances: float32, shares: 1e-5. bf16 on the CPU: 0.02.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from vision_formulas import FRAMES

import checkpoints
from clipmill.base.errors import SetupError
from clipmill.checks import check_backend
from clipmill.scores.classifiers.checkpoint import CheckpointClassifier
from clipmill.scores.classifiers.zero_shot import ZeroShot

STEP, FP32, BF16 = "classifier_a", 1e-5, 0.02
POSITIVE, NEGATIVE = "a photo with the red logo", "a person"

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {name: checkpoints.MAKERS[name](folder / name) for name in ("vit", "clip", "siglip")}
    checkpoints.make_siglip_tokenizer(made["siglip"])
    return made


def classifier(model: Path, label: str = "nsfw", dtype: str = "fp32", frames: int = 4) -> CheckpointClassifier:
    return CheckpointClassifier(STEP, frames, "max", str(model), None, label, dtype)


def zero_shot(model: Path, texts: tuple[str, str] = (POSITIVE, NEGATIVE), dtype: str = "fp32") -> ZeroShot:
    return ZeroShot(STEP, 4, "mean", str(model), None, *texts, dtype)


def published(model: Path) -> torch.Tensor:
    """The logits of FRAMES by the model's own classes and processor."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(model)
    network = transformers.AutoModelForImageClassification.from_pretrained(model).eval()
    pictures = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in FRAMES]
    with torch.no_grad():
        return network(**processor(pictures, return_tensors="pt")).logits


def measured(backend) -> list[float]:
    return backend.measure(backend.prepare(FRAMES))


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("bf16", BF16)])
@pytest.mark.parametrize(("label", "place"), [("normal", 0), ("nsfw", 1)])
def test_the_share_is_that_of_the_published_code(models, label, place, dtype, tolerance):
    backend = classifier(models["vit"], label, dtype)
    expected = published(models["vit"]).softmax(dim=-1)[:, place].tolist()
    assert np.ptp(expected) > 2 * BF16  # the frames are told apart
    values = measured(backend)
    assert values == pytest.approx(expected, abs=tolerance)
    assert backend.finish(values) == {STEP: max(values), f"{STEP}_frames": values}


@pytest.mark.parametrize(
    "config",
    [
        {"problem_type": "multi_label_classification"},
        {"id2label": {0: "watermark"}, "label2id": {"watermark": 0}},
    ],
)
def test_labels_that_do_not_exclude_each_other_have_shares_of_their_own(models, tmp_path, config):
    model = tmp_path / "vit"
    shutil.copytree(models["vit"], model)
    if "problem_type" in config:
        file = model / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | config))
        label = "nsfw"
    else:
        model, label = one_label(tmp_path / "one"), "watermark"
    expected = published(model).sigmoid()[:, -1].tolist()
    assert measured(classifier(model, label)) == pytest.approx(expected, abs=FP32)


def one_label(folder: Path) -> Path:
    """A classifier with a single output."""
    import transformers

    checkpoints.make_vit(folder)
    whole = transformers.ViTForImageClassification.from_pretrained(folder)
    whole.classifier = torch.nn.Linear(whole.config.hidden_size, 1)
    whole.config.id2label, whole.config.label2id = {0: "watermark"}, {"watermark": 0}
    whole.save_pretrained(folder)
    return folder


def test_a_label_that_the_model_does_not_have_is_named_with_those_that_it_has(models):
    with pytest.raises(SetupError) as caught:
        check_backend(STEP, "transformers", classifier(models["vit"], "porn"))
    assert str(caught.value) == f"label: `porn` is no label of {models['vit']}; its labels: normal, nsfw"


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("bf16", BF16)])
@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_zero_shot_is_the_softmax_of_two_texts(models, name, dtype, tolerance):
    import transformers

    model = models[name]
    processor = transformers.AutoImageProcessor.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    network = transformers.AutoModel.from_pretrained(model).eval()
    filled = {"padding": True} if name == "clip" else {"padding": "max_length", "max_length": 16}
    tokens = tokenizer([POSITIVE, NEGATIVE], return_tensors="pt", **filled)
    pictures = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in FRAMES]
    with torch.no_grad():
        pixels = processor(pictures, return_tensors="pt")
        more = {"attention_mask": tokens.attention_mask} if name == "clip" else {}
        logits = network(input_ids=tokens.input_ids, **more, **pixels).logits_per_image
    expected = logits.softmax(dim=-1)[:, 0].tolist()
    backend = zero_shot(model, dtype=dtype)
    values = measured(backend)
    assert values == pytest.approx(expected, abs=tolerance)
    other = measured(zero_shot(model, (NEGATIVE, POSITIVE)))
    assert np.ptp(expected) > 1e-4
    assert [1 - value for value in other] == pytest.approx(expected, abs=FP32)
    assert backend.finish(values)[STEP] == pytest.approx(np.mean(values))


def test_zero_shot_cleans_texts_for_clip_alone(models):
    """To the tokenizer of SigLIP, whose authors did not replace them, wide letters are other letters."""
    dirty, clean = ("a photo with the ｒｅｄ logo", NEGATIVE), (POSITIVE, NEGATIVE)
    assert measured(zero_shot(models["clip"], dirty)) == measured(zero_shot(models["clip"], clean))
    assert zero_shot(models["clip"], dirty).about != zero_shot(models["clip"], clean).about
    tokens = [zero_shot(models["siglip"], texts)._tokens.tolist() for texts in (dirty, clean)]
    assert tokens[0] != tokens[1]
    assert zero_shot(models["clip"]).about["texts"] == [POSITIVE, NEGATIVE]
    assert "cleaned" not in zero_shot(models["clip"]).about, "finished scores of clean texts stay"


def test_a_text_that_is_too_long_is_refused(models):
    with pytest.raises(SetupError, match=r"takes 16 tokens, and 'red red .*' has 31; shorten it$"):
        measured(zero_shot(models["siglip"], ("red " * 30, "a")))


def test_a_model_without_its_tokenizer_is_refused(models, tmp_path):
    folder = tmp_path / "siglip"
    checkpoints.make_siglip(folder)
    with pytest.raises(SetupError, match="no tokenizer of the model"):
        measured(zero_shot(folder))


def test_everything_that_changes_a_value_is_in_the_key(models):
    keys = [
        classifier(models["vit"]).about,
        classifier(models["vit"], "normal").about,
        classifier(models["vit"], frames=3).about,
        zero_shot(models["clip"]).about,
        zero_shot(models["clip"], (POSITIVE, "other")).about,
        zero_shot(models["siglip"]).about,
    ]
    assert len({json.dumps(key, sort_keys=True) for key in keys}) == len(keys)
    checked = check_backend(STEP, "transformers", classifier(models["vit"]))["models"]
    assert checked == [{**classifier(models["vit"]).checkpoint.about()}]
