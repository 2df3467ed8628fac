"""The alignment backends against their formulas, on small random checkpoints of the published layout."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from alignment_formula import Formula

from checkpoints import make_clip, make_clip_tokenizer, make_videoclip_xl
from clipmill.alignment import mean_direction
from clipmill.alignment.clip import ClipAlignment
from clipmill.alignment.videoclip_xl import VideoClipXl
from clipmill.base.errors import SetupError
from clipmill.base.opencv import cv2

# Cosines lie within -1 to 1, and each number of a unit feature too. Against float64.
FP32, BF16 = 2e-6, 0.01

SHORT = "A red car drives on the road."
LONG = " ".join(f"In scene {n} the red car and the dog are in the road." for n in range(20))  # some 600 tokens


pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return make_videoclip_xl(tmp_path_factory.mktemp("videoclip_xl"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    return make_clip_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def formula(weights) -> Formula:
    return Formula(torch.load(weights, weights_only=True))


def videoclip_xl(weights: Path, tokenizer: Path, dtype: str = "fp32") -> VideoClipXl:
    return VideoClipXl(str(weights), None, str(tokenizer), None, None, dtype)


def clip_alignment(folder: Path, dtype: str = "fp32") -> ClipAlignment:
    return ClipAlignment(str(folder), None, dtype)


@pytest.fixture(scope="module")
def backend(weights, tokenizer) -> VideoClipXl:
    return videoclip_xl(weights, tokenizer)


def frames_of(seed: int, count: int = 8, size: tuple[int, int] = (90, 160)) -> list[np.ndarray]:
    """Frames of one picture that moves: coarse noise, blue more than red."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 32, 3)) * np.array([1, 0.7, 0.3])
    picture = cv2.resize(noise.astype(np.uint8), (size[1] * 2, size[0]), interpolation=cv2.INTER_CUBIC)
    return [picture[:, 12 * n : 12 * n + size[1]].copy() for n in range(count)]


def ids(tokenizer: Path, text: str) -> list[int]:
    """As the tokenizer itself gives them: start and end included, of any length."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(tokenizer, model_max_length=10**6)(text).input_ids


# --- VideoCLIP-XL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("bf16", BF16)])
def test_videos_and_texts_are_as_the_formula_says(weights, tokenizer, formula, dtype, tolerance):
    backend = videoclip_xl(weights, tokenizer, dtype)
    videos = backend.measure([backend.prepare(frames_of(seed))[0] for seed in (1, 2)])
    plain_videos = [formula.video(frames_of(seed)) for seed in (1, 2)]
    np.testing.assert_allclose(videos, plain_videos, atol=tolerance)
    texts = backend.measure_texts([backend.pieces(text)[0] for text in (SHORT, LONG, "")])
    short, long, empty = (ids(tokenizer, text) for text in (SHORT, LONG, ""))
    assert len(short) < 77 and len(long) > 500 and len(empty) == 2
    kept = [short, [*long[:247], long[-1]], empty]
    plain_texts = [formula.text(tokens) for tokens in kept]
    np.testing.assert_allclose(texts, plain_texts, atol=tolerance)
    scores = np.array(plain_videos) @ np.array(plain_texts).T
    np.testing.assert_allclose(np.array(videos) @ np.array(texts).T, scores, atol=tolerance)
    assert np.abs(plain_videos[0] - plain_videos[1]).max() > 3 * BF16  # else the tolerance would say nothing
    assert np.abs(plain_texts[0] - plain_texts[1]).max() > 3 * BF16


def test_what_the_formula_is_sensitive_to(backend):
    """Order of the frames, order of the channels, what lies at the sides: each changes the feature."""
    frames = frames_of(1)
    swapped = [frame[..., ::-1].copy() for frame in frames]
    variants = [frames, frames[::-1], swapped, [frame[:, 35:125] for frame in frames]]
    features = backend.measure([backend.prepare(variant)[0] for variant in variants])
    for feature in features[1:]:
        assert np.abs(feature - features[0]).max() > 1000 * FP32


def test_frames_are_resized_without_keeping_their_shape(backend):
    (unit,) = backend.prepare(frames_of(1, size=(90, 160)))
    assert (unit.shape, unit.dtype) == ((8, 56, 56, 3), np.uint8)
    np.testing.assert_array_equal(unit[3], cv2.resize(frames_of(1)[3], (56, 56)))


def test_short_clips_show_their_frames_more_than_once(backend):
    (unit,) = backend.prepare(frames_of(1, count=5))
    shown = [next(n for n in range(5) if (cv2.resize(frames_of(1)[n], (56, 56)) == one).all()) for one in unit]
    assert shown == [0, 0, 1, 2, 2, 3, 4, 4]
    assert backend.prepare(frames_of(1, count=1))[0].shape == unit.shape


@pytest.mark.parametrize("name", ["videoclip", "clip"])
def test_batches_change_nothing(backend, clip, name):
    backend = backend if name == "videoclip" else clip_alignment(clip)
    units = [backend.prepare(frames_of(seed))[0] for seed in range(3)]
    np.testing.assert_allclose(backend.measure(units), [backend.measure([unit])[0] for unit in units], atol=FP32)
    pieces = [piece for text in (SHORT, LONG, "", "the dog") for piece in backend.pieces(text)]
    apart = [backend.measure_texts([piece])[0] for piece in pieces]
    np.testing.assert_allclose(backend.measure_texts(pieces), apart, atol=FP32)


@pytest.mark.parametrize("words", [1, 245, 246, 247, 300])
def test_texts_are_cut_with_their_end_token_last(backend, tokenizer, words):
    text = " ".join(["the"] * words)  # one token each
    (piece,) = backend.pieces(text)
    whole = ids(tokenizer, text)
    assert len(whole) == words + 2
    assert len(piece) == min(248, words + 2)
    assert (piece[0], piece[-1], piece[1:-1]) == (whole[0], whole[-1], whole[1:-1][:246])


def test_a_text_cannot_end_itself(backend):
    spelled = backend.pieces("the <|endoftext|> red <|startoftext|> car")
    assert spelled == backend.pieces("the red car")


# --- checkpoints that are not what they should be ---------------------------------------------------------------------


def changed(weights: Path, folder: Path, change) -> Path:
    tensors = torch.load(weights, weights_only=True)
    change(tensors)
    torch.save(tensors, folder / "VideoCLIP-XL-v2.bin")
    return folder / "VideoCLIP-XL-v2.bin"


VISION = "viclip_model.vision_encoder."


@pytest.mark.parametrize(
    "name",
    [
        "model.positional_embedding_res",
        "model.token_embedding.weight",
        "model.transformer.resblocks.0.attn.in_proj_bias",
        VISION + "conv1.weight",
        VISION + "temporal_positional_embedding",
        VISION + "transformer.resblocks.1.mlp.c_fc.weight",
    ],
)
def test_a_missing_tensor_is_named(weights, tokenizer, tmp_path, name):
    backend = videoclip_xl(changed(weights, tmp_path, lambda tensors: tensors.pop(name)), tokenizer)
    with pytest.raises(SetupError, match=re.escape(name)):
        backend.measure([np.zeros((8, 56, 56, 3), np.uint8)])


@pytest.mark.parametrize(
    ("name", "shape", "named"),
    [
        ("model.transformer.resblocks.1.attn.in_proj_weight", (64, 64), None),
        ("model.text_projection", (64, 31), VISION + "proj"),  # it tells the size, so the other one is wrong
        (VISION + "proj", (127, 32), None),
        (VISION + "ln_post.bias", (1,), None),
        (VISION + "conv1.weight", (128, 3, 14, 14), None),
    ],
)
def test_a_wrong_shape_is_named(weights, tokenizer, tmp_path, name, shape, named):
    wrong = changed(weights, tmp_path, lambda tensors: tensors.update({name: torch.zeros(shape)}))
    with pytest.raises(SetupError, match=re.escape(named or name)) as refused:
        videoclip_xl(wrong, tokenizer).pieces("a text")
    assert str(refused.value).startswith(str(wrong))


def test_a_tokenizer_that_does_not_belong_to_the_model_is_refused(weights, tokenizer, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(SetupError, match="the tokenizer knows 2 tokens, the model 526"):
        videoclip_xl(weights, tmp_path).pieces("a text")
    (tmp_path / "tokenizer.json").write_text((tokenizer / "tokenizer.json").read_text()[:1000])
    with pytest.raises(SetupError, match="no tokenizer of CLIP"):
        videoclip_xl(weights, tmp_path).pieces("a text")


def test_what_a_score_depends_on(weights, tokenizer, clip):
    by_file, by_folder = videoclip_xl(weights, tokenizer), videoclip_xl(weights.parent, tokenizer)
    assert by_file.about == by_folder.about
    assert json.loads(json.dumps(by_file.about)) == by_file.about
    assert [model["model"] for model in by_file.about["models"]] == [str(weights), str(tokenizer)]
    assert all(model["revision"].startswith("sha256:") for model in by_file.about["models"])
    assert [found.path for found in by_folder.checkpoints()] == [weights, tokenizer]
    assert by_folder.pieces("a car") == by_file.pieces("a car")
    about = clip_alignment(clip, "bf16").about
    assert (about["backend"], about["dtype"], about["models"][0]["model"]) == ("clip", "bf16", str(clip))


def test_a_checksum_is_kept_to(weights, tokenizer):
    right = hashlib.sha256(weights.read_bytes()).hexdigest()
    for model in (weights, weights.parent):
        VideoClipXl(str(model), None, str(tokenizer), None, right, "fp32").checkpoints()
        with pytest.raises(SetupError, match=f"its sha256 is {right}, not 00"):
            VideoClipXl(str(model), None, str(tokenizer), None, "00", "fp32").checkpoints()


# --- CLIP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", FP32), ("bf16", BF16)])
def test_clip_is_as_the_published_classes_say(clip, dtype, tolerance):
    """Pixels normalised by transformers' own processor, texts by its own tokenizer, features by its own model."""
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(clip), CLIPTokenizer.from_pretrained(clip)
    processor = CLIPImageProcessorPil.from_pretrained(clip)
    backend, frames = clip_alignment(clip, dtype), frames_of(1, count=5)
    units = backend.prepare(frames)
    pixels = processor(units, do_resize=False, do_center_crop=False, return_tensors="pt").pixel_values
    tokens = tokenizer([SHORT, "the dog"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        pictures = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output, dim=1)
        texts = torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output, dim=1)
    measured, mean = backend.measure(units), pictures.mean(dim=0)
    np.testing.assert_allclose(measured, pictures, atol=tolerance)
    np.testing.assert_allclose(backend.finish(measured)["feature"], mean / mean.norm(), atol=tolerance)
    pieces = [backend.pieces(text)[0] for text in (SHORT, "the dog")]
    np.testing.assert_allclose(backend.measure_texts(pieces), texts, atol=tolerance)
    assert (texts[0] - texts[1]).abs().max() > 3 * BF16


def test_clip_takes_long_texts_sentence_by_sentence(clip):
    backend = clip_alignment(clip)
    assert backend.pieces(SHORT) == [ids(clip, SHORT)]
    sentences = [f"In scene {n} the red car and the dog are in the road." for n in range(20)]
    assert backend.pieces(LONG) == [ids(clip, sentence) for sentence in sentences]
    assert backend.pieces("  \n " + LONG.replace(". ", ".\n\n")) == backend.pieces(LONG)


@pytest.mark.parametrize(("words", "parts"), [(75, [75]), (76, [38, 38]), (150, [75, 75]), (151, [51, 51, 49])])
def test_clip_takes_long_sentences_in_equal_parts(clip, words, parts):
    pieces = clip_alignment(clip).pieces(" ".join(["the"] * words))
    start, end = ids(clip, "")
    assert [len(piece) - 2 for piece in pieces] == parts
    assert {(piece[0], piece[-1]) for piece in pieces} == {(start, end)}


def test_a_clip_model_and_a_tokenizer_with_other_ends_are_refused(tmp_path):
    folder = make_clip(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 7
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SetupError, match="ends a text with token 7, its tokenizer with 525"):
        clip_alignment(folder).pieces("a text")


def test_the_mean_direction_is_a_unit():
    mean = mean_direction([np.array([1, 0], np.float32), np.array([0, 1], np.float32)])
    np.testing.assert_allclose(mean, [0.5**0.5, 0.5**0.5], atol=1e-7)
