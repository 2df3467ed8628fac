"""Random checkpoints in the layout of the published ones: true key names, small sizes, the same for the same sizes.

    python tests/checkpoints.py FOLDER                the small ones that tests use
    python tests/checkpoints.py FOLDER --true-sizes   as large as the published ones (6 GB), for measuring speed

The libraries that say how a model is laid out are imported when one is made.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import torch

# The sizes of the published checkpoints; the functions' defaults are the small ones.
TRUE_SIZES: dict[str, dict[str, int]] = {
    "siglip": {"width": 1152, "layers": 27, "heads": 16, "mlp": 4304, "image": 384},
    "siglip_head": {"width": 1152},
    "clip": {"width": 1024, "layers": 24, "heads": 16, "image": 336, "dimensions": 768}
    | {"text_width": 768, "text_layers": 12, "text_heads": 12, "vocabulary": 49408},
    "laion_head": {"width": 768},
    "dinov2": {"width": 768, "layers": 12, "heads": 12, "image": 518, "short_side": 256, "crop": 224},
    "vit": {"width": 768, "layers": 12, "heads": 12, "image": 224, "patch": 16},
    "craft": {},
    "videoclip_xl": {"width": 1024, "layers": 24, "image": 224, "dimensions": 768}
    | {"text_width": 768, "text_layers": 12, "vocabulary": 49408},
}

# What the published `preprocessor_config.json` say, but for the sizes.
BICUBIC = {"do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
SIGLIP_PIXELS = BICUBIC | {
    "image_processor_type": "SiglipImageProcessor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
VIT_PIXELS = SIGLIP_PIXELS | {"image_processor_type": "ViTImageProcessor", "resample": 2}
CLIP_PIXELS = BICUBIC | {
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": True,
    "do_convert_rgb": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
DINOV2_PIXELS = BICUBIC | {
    "image_processor_type": "BitImageProcessor",
    "do_center_crop": True,
    "do_convert_rgb": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}

# Pairs that CLIP's tokenizer learns to join: enough to make some words one token, some several.
MERGES = ["t h", "th e</w>", "c a", "ca r</w>", "r e", "re d</w>", "i n", "in g</w>", "o n", "d o", "a n", "an d</w>"]
VOCABULARY = 2 * 256 + len(MERGES) + 2


def seeded(make: Callable[..., Path]) -> Callable[..., Path]:
    """The same random numbers at each call, and none taken from the caller's own."""

    @wraps(make)
    def made(folder: str | Path, **sizes: int) -> Path:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return make(folder, **sizes)

    return made


@seeded
def make_siglip(
    folder: Path, width: int = 64, layers: int = 2, heads: int = 4, mlp: int = 96, image: int = 56, patch: int = 14
) -> Path:
    """SigLIP, `google/siglip-so400m-patch14-384`; its text tower is always small."""
    transformers = _transformers()
    vision = {"num_hidden_layers": layers, "num_attention_heads": heads, "image_size": image, "patch_size": patch}
    vision |= {"hidden_size": width, "intermediate_size": mlp}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 64, "max_position_embeddings": 16, "projection_size": width}
    text |= {"bos_token_id": 0, "eos_token_id": 1}
    model = transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision, text_config=text))
    return _save_pretrained(folder, model, SIGLIP_PIXELS | {"size": {"height": image, "width": image}})


@seeded
def make_clip(
    folder: Path,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    image: int = 56,
    patch: int = 14,
    dimensions: int = 32,
    text_width: int = 48,
    text_layers: int = 2,
    text_heads: int = 4,
    vocabulary: int = VOCABULARY,
    positions: int = 77,
) -> Path:
    """CLIP, `openai/clip-vit-large-patch14` and `-336`, with a tokenizer of few merges."""
    transformers = _transformers()
    vision = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    vision |= {"intermediate_size": 4 * width, "image_size": image, "patch_size": patch, "projection_dim": dimensions}
    text = {"hidden_size": text_width, "num_hidden_layers": text_layers, "num_attention_heads": text_heads}
    text |= {"intermediate_size": 4 * text_width, "vocab_size": vocabulary, "max_position_embeddings": positions}
    text |= {"projection_dim": dimensions, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}  # as published
    config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=dimensions)
    make_clip_tokenizer(folder)
    sizes = {"size": {"shortest_edge": image}, "crop_size": {"height": image, "width": image}}
    return _save_pretrained(folder, transformers.CLIPModel(config), CLIP_PIXELS | sizes)


@seeded
def make_dinov2(
    folder: Path,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    image: int = 70,
    patch: int = 14,
    short_side: int = 64,
    crop: int = 56,
) -> Path:
    """DINOv2, `facebook/dinov2-base`: trained on pictures of `image` pixels, used on `crop` of them."""
    transformers = _transformers()
    config = transformers.Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=image,
        patch_size=patch,
    )
    sizes = {"size": {"shortest_edge": short_side}, "crop_size": {"height": crop, "width": crop}}
    return _save_pretrained(folder, transformers.Dinov2Model(config), DINOV2_PIXELS | sizes)


@seeded
def make_vit(
    folder: Path, width: int = 64, layers: int = 2, heads: int = 4, image: int = 56, patch: int = 14, **config: Any
) -> Path:
    """A ViT that classifies pictures, as `Falconsai/nsfw_image_detection`. `config`: more of its config."""
    transformers = _transformers()
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    sizes |= {"intermediate_size": 4 * width, "image_size": image, "patch_size": patch}
    labels = {"id2label": {0: "normal", 1: "nsfw"}, "label2id": {"normal": 0, "nsfw": 1}}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes, **labels, **config))
    return _save_pretrained(folder, model, VIT_PIXELS | {"size": {"height": image, "width": image}})


@seeded
def make_siglip_head(folder: Path, width: int = 64) -> Path:
    """The aesthetic head on SigLIP, `aesthetic_predictor_v2_5.pth`."""
    return _save(folder / "aesthetic_predictor_v2_5.pth", _head("scoring_head", (0, 2, 4, 6, 8), width))


@seeded
def make_laion_head(folder: Path, width: int = 32) -> Path:
    """The aesthetic head on CLIP, `sac+logos+ava1-l14-linearMSE.pth`."""
    return _save(folder / "sac+logos+ava1-l14-linearMSE.pth", _head("layers", (0, 2, 4, 6, 7), width))


def _head(prefix: str, numbers: tuple[int, ...], width: int) -> dict[str, torch.Tensor]:
    sizes = (width, 1024, 128, 64, 16, 1)
    tensors: dict[str, torch.Tensor] = {}
    for number, inputs, outputs in zip(numbers, sizes[:-1], sizes[1:], strict=True):
        tensors |= _openai_linear(f"{prefix}.{number}", inputs, outputs)
    return tensors


@seeded
def make_craft(folder: Path) -> Path:
    """EasyOCR's text detector, `craft_mlt_25k.pth`, saved from `DataParallel`; 20.8 million numbers, its one size."""
    _declare_missing_operators()
    from easyocr.craft import CRAFT

    model = CRAFT(pretrained=False)
    for values in model.parameters():
        if values.dim() == 4:
            values.copy_(_random(*values.shape, scale=(2 / values[0].numel()) ** 0.5))
        else:
            values.add_(_random(*values.shape))
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.copy_(_random(*values.shape))
        if name.endswith("running_var"):
            values.uniform_(0.5, 1.5)
    model.conv_cls[-1].weight.mul_(0.3)  # so that on most pictures some pixels pass for text
    model.conv_cls[-1].bias.copy_(torch.tensor([0.8, 0.3]))
    return _save(
        folder / "craft_mlt_25k.pth", {f"module.{name}": values for name, values in model.state_dict().items()}
    )


@seeded
def make_videoclip_xl(
    folder: Path,
    width: int = 128,
    layers: int = 2,
    text_width: int = 64,
    text_layers: int = 2,
    vocabulary: int = VOCABULARY,
    positions: int = 248,
    image: int = 56,
    frames: int = 8,
    patch: int = 14,
    dimensions: int = 32,
) -> Path:
    """VideoCLIP-XL-v2's `.bin`: a pickle of tensors in OpenAI's naming, both towers. A head has 64 numbers in each."""
    text = {
        "token_embedding.weight": _random(vocabulary, text_width),
        "positional_embedding": _random(positions, text_width),
        "positional_embedding_res": _random(positions, text_width),
        **_openai_blocks(text_layers, text_width),
        **_openai_norm("ln_final", text_width),
        "text_projection": _random(text_width, dimensions, scale=text_width**-0.5),
        "logit_scale": torch.tensor(4.6052),
    }
    video = {
        "class_embedding": _random(width),
        "positional_embedding": _random((image // patch) ** 2 + 1, width),
        "temporal_positional_embedding": _random(1, frames, width),
        "proj": _random(width, dimensions, scale=width**-0.5),
        "conv1.weight": _random(width, 3, 1, patch, patch, scale=(3 * patch * patch) ** -0.5),
        **_openai_norm("ln_pre", width),
        **_openai_blocks(layers, width),
        **_openai_norm("ln_post", width),
    }
    tensors = {f"model.{name}": values for name, values in text.items()}
    tensors |= {f"viclip_model.vision_encoder.{name}": values for name, values in video.items()}
    return _save(folder / "VideoCLIP-XL-v2.bin", tensors)


def make_clip_tokenizer(folder: str | Path) -> Path:
    """CLIP's tokenizer with few merges: letters, letters at a word's end, merges, start, end (the highest number)."""
    transformers = _transformers()
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(pair.replace(" ", "") for pair in MERGES)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=[tuple(pair.split()) for pair in MERGES],
        model_max_length=77,
    )
    tokenizer.save_pretrained(folder)
    return Path(folder)


def make_siglip_tokenizer(folder: str | Path) -> Path:
    """A tokenizer for `make_siglip`: whole words, of which it knows some, and the end as the last token."""
    transformers = _transformers()
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "</s>", "<unk>", "a", "the", "with", "photo", "logo", "person", "red"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return Path(folder)


MAKERS: dict[str, Callable[..., Path]] = {
    "siglip": make_siglip,
    "siglip_head": make_siglip_head,
    "clip": make_clip,
    "laion_head": make_laion_head,
    "dinov2": make_dinov2,
    "vit": make_vit,
    "craft": make_craft,
    "videoclip_xl": make_videoclip_xl,
}


def _openai_blocks(layers: int, width: int) -> dict[str, torch.Tensor]:
    """`layers` blocks of a transformer as OpenAI's CLIP names them."""
    tensors = {}
    for number in range(layers):
        block = f"transformer.resblocks.{number}"
        tensors |= {
            f"{block}.attn.in_proj_weight": _random(3 * width, width, scale=width**-0.5),
            f"{block}.attn.in_proj_bias": _random(3 * width),
            **_openai_linear(f"{block}.attn.out_proj", width, width),
            **_openai_norm(f"{block}.ln_1", width),
            **_openai_linear(f"{block}.mlp.c_fc", width, 4 * width),
            **_openai_linear(f"{block}.mlp.c_proj", 4 * width, width),
            **_openai_norm(f"{block}.ln_2", width),
        }
    return tensors


def _openai_linear(name: str, inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": _random(outputs, inputs, scale=inputs**-0.5), f"{name}.bias": _random(outputs)}


def _openai_norm(name: str, width: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": 1 + _random(width), f"{name}.bias": _random(width)}


def _random(*shape: int, scale: float = 0.1) -> torch.Tensor:
    return torch.randn(shape) * scale


def _randomise(model: torch.nn.Module) -> None:
    """Numbers large enough that different pictures come out different, and no bias or norm that could be left out."""
    for values in model.parameters():
        if values.dim() > 1:
            values.copy_(_random(*values.shape, scale=values[0].numel() ** -0.5))
        else:
            values.add_(_random(*values.shape))


def _save_pretrained(folder: Path, model: Any, pixels: Mapping[str, Any]) -> Path:
    _randomise(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels, indent=2, sort_keys=True))
    return folder


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    torch.save(OrderedDict(tensors), path)
    return path


def _transformers() -> Any:
    _declare_missing_operators()
    import transformers

    return transformers


def _declare_missing_operators() -> None:
    from clipmill.models.torchvision_ops import declare_missing_operators

    declare_missing_operators()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--true-sizes", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=MAKERS)
    arguments = parser.parse_args()
    for name in arguments.only:
        sizes = TRUE_SIZES[name] if arguments.true_sizes else {}
        print(MAKERS[name](arguments.folder / name, **sizes), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
    main()
