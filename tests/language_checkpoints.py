"""Random language models in the layout of the published ones: small, the same at each call, readable by transformers
and by vLLM. Their answers are noise, but depend on every word and picture.

    python tests/language_checkpoints.py FOLDER [--only NAME …]

The tokenizer is a byte-level BPE of few merges, of the class that every version of transformers reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from checkpoints import seeded

POSITIONS = 8192  # tokens that a model takes, by default
VOCABULARY = 512
# What the tokenizer's merges are learned from: prose, a prompt, JSON.
CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "a video of a person walking down the street; the camera pans to the left",
    "You are a helpful assistant. Describe the video. Rewrite the caption.",
    '{"caption": "a red car", "score": 3, "ok": true, "tags": ["x", "y"]}',
] * 4

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"  # the numbers 0, 1, 2
SPECIAL = [PAD, START, END, "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
SPECIAL += ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
SPECIAL += [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]

# ChatML, with IMAGE, VIDEO and SOUND for what stands in for a picture, a video and a sound.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type in ('image', 'image_url') %}IMAGE"
    "{% elif part.type in ('video', 'video_url') %}VIDEO"
    "{% elif part.type in ('audio', 'input_audio') %}SOUND"
    "{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_IMAGE, QWEN_VIDEO = (f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video"))
# Of two layers one has linear attention, as three of four in the published Qwen3.5.
LINEAR_ATTENTION = {"layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 64}
LINEAR_ATTENTION |= {"linear_value_head_dim": 64, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
# A quarter of each head is turned: 16 of its 64 numbers, in pairs.
QWEN3_5_ROPE = {"mrope_interleaved": True, "mrope_section": [2, 3, 3], "partial_rotary_factor": 0.25}
QWEN_MEAN, QWEN_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@seeded
def make_llama(folder: Path, positions: int = POSITIONS) -> Path:
    """A model of texts alone, as Llama is laid out."""
    transformers = _transformers()
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_language(positions), head_dim=64))
    return _save(folder, model, _tokenizer("", "", positions))


@seeded
def make_qwen2_vl(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen2-VL, `Qwen/Qwen2-VL-7B-Instruct`: images and videos; a video's rate means nothing to it."""
    vision = {"depth": 2, "embed_dim": 64, "num_heads": 4, "hidden_size": 256, "mlp_ratio": 2, "patch_size": 14}
    return _make_qwen(folder, "Qwen2VL", "Qwen2VLVideoProcessor", vision, {}, positions)


@seeded
def make_qwen2_5_vl(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen2.5-VL, `Qwen/Qwen2.5-VL-7B-Instruct`: a video's rate shows in the positions of its pictures."""
    vision = {"depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 256}
    vision |= {"patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56}
    return _make_qwen(folder, "Qwen2_5_VL", "Qwen2VLVideoProcessor", vision, {}, positions)


@seeded
def make_qwen3_vl(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen3-VL, `Qwen/Qwen3-VL-8B-Instruct`: a video's pictures stand after their times in words."""
    vision = {"depth": 3, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 256}
    vision |= {"patch_size": 16, "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1, 2]}
    return _make_qwen(folder, "Qwen3VL", "Qwen3VLVideoProcessor", vision, {"mrope_interleaved": True}, positions)


@seeded
def make_qwen3_5(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen3.5 and Qwen3.6, `Qwen/Qwen3.5-9B`: Qwen3-VL's pictures, and layers of linear attention."""
    vision = {"depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 256}
    vision |= {"patch_size": 16, "num_position_embeddings": 256}
    return _make_qwen(folder, "Qwen3_5", "Qwen3VLVideoProcessor", vision, QWEN3_5_ROPE, positions)


def _make_qwen(
    folder: Path, name: str, videos: str, vision: dict[str, Any], rope: dict[str, Any], positions: int
) -> Path:
    transformers = _transformers()
    tokenizer = _tokenizer(QWEN_IMAGE, QWEN_VIDEO, positions)
    rope = {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6, **rope}
    rope["type"] = rope["rope_type"]  # its older name, which some versions look for
    text = {**_language(positions), "rope_parameters": rope, **({"head_dim": 64} if name.startswith("Qwen3") else {})}
    if name == "Qwen3_5":
        text |= LINEAR_ATTENTION
    kinds = ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>")
    kinds += ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>")
    config = getattr(transformers, f"{name}Config")(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=False,
        **{key: tokenizer.convert_tokens_to_ids(token) for key, token in kinds},
    )
    side = 2 * vision["patch_size"]  # of the square that is one token
    pixels = {"patch_size": vision["patch_size"], "temporal_patch_size": 2, "merge_size": 2}
    processor = "Qwen3VL" if name == "Qwen3_5" else name
    pixels |= {"image_mean": QWEN_MEAN, "image_std": QWEN_STD, "processor_class": f"{processor}Processor"}
    pixels |= {"size": {"shortest_edge": 4 * side**2, "longest_edge": 64 * side**2}}  # areas, in pixels
    _write(folder / "preprocessor_config.json", pixels | {"image_processor_type": "Qwen2VLImageProcessor"})
    _write(folder / "video_preprocessor_config.json", pixels | {"video_processor_type": videos})
    return _save(folder, getattr(transformers, f"{name}ForConditionalGeneration")(config), tokenizer)


@seeded
def make_qwen2_5_omni(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen2.5-Omni, `Qwen/Qwen2.5-Omni-7B`: Qwen2.5-VL's pictures, and sounds."""
    vision = {"depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 256}
    vision |= {"patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56}
    return _make_omni(folder, "Qwen2_5Omni", vision, {}, positions)


@seeded
def make_qwen3_omni(folder: Path, positions: int = POSITIONS) -> Path:
    """Qwen3-Omni, `Qwen/Qwen3-Omni-30B-A3B-Instruct`: Qwen3-VL's pictures, sounds, and four experts."""
    vision = {"depth": 3, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 256}
    vision |= {"patch_size": 16, "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1, 2]}
    vision |= {"image_size": 256, "apply_vit_abs_pos_embed": True}  # vLLM looks for them
    text = {"head_dim": 64, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
    return _make_omni(folder, "Qwen3OmniMoe", vision, text, positions)


def _make_omni(folder: Path, name: str, vision: dict[str, Any], text: dict[str, Any], positions: int) -> Path:
    """A model that hears. It is the part that writes; of the part that speaks there is only a config, as large."""
    transformers = _transformers()
    names = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "audio_token": "<image>"}
    names |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    names |= {"audio_bos_token": "<global-img>", "audio_eos_token": "<end_of_utterance>"}
    tokenizer = _tokenizer(QWEN_IMAGE, QWEN_VIDEO, positions, names, "<global-img><image><end_of_utterance>")
    ids = {"audio_start_token_id": "audio_bos_token", "audio_end_token_id": "audio_eos_token"}
    ids |= {"vision_start_token_id": "vision_bos_token", "vision_end_token_id": "vision_eos_token"}
    named = "id" if text else "index"
    ids |= {f"{kind}_token_{named}": f"{kind}_token" for kind in ("image", "video", "audio")}
    rope = {"rope_type": "default", "type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6}
    sound = {"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128, "d_model": 64}
    config = getattr(transformers, f"{name}ThinkerConfig")(
        text_config={**_language(positions), **text, "rope_parameters": rope},
        vision_config=vision,
        audio_config=sound | {"output_dim": 256},
        tie_word_embeddings=False,
        **{key: tokenizer.convert_tokens_to_ids(names[token]) for key, token in ids.items()},
    )
    side = 2 * vision["patch_size"]  # of the square that is one token
    pixels: dict[str, Any] = {"patch_size": vision["patch_size"], "image_mean": QWEN_MEAN, "image_std": QWEN_STD}
    pixels |= {"size": {"shortest_edge": 4 * side**2, "longest_edge": 64 * side**2}}  # areas, in pixels
    getattr(transformers, f"{name}Processor")(
        transformers.Qwen2VLImageProcessorPil(**pixels),
        transformers.Qwen2VLVideoProcessor(**pixels),
        transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=30),
        tokenizer,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    _save(folder, getattr(transformers, f"{name}ThinkerForConditionalGeneration")(config), tokenizer)
    weights = folder / "model.safetensors"
    thinker = {f"thinker.{key.removeprefix('thinker.')}": value for key, value in load_file(weights).items()}
    save_file(thinker, weights, {"format": "pt"})
    whole = getattr(transformers, f"{name}Config")(thinker_config=config.to_dict(), enable_audio_output=False)
    whole.architectures = [f"{name}ForConditionalGeneration"]
    whole.save_pretrained(folder)
    return folder


@seeded
def make_idefics3(folder: Path, positions: int = POSITIONS) -> Path:
    """Idefics3, `HuggingFaceM4/Idefics3-8B-Llama3`, which SmolVLM is too: images, and no videos."""
    transformers = _transformers()
    tokenizer = _tokenizer("<image>", "", positions)
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        text_config={**_language(positions), "model_type": "llama"},
        vision_config=vision | {"image_size": 56, "patch_size": 14},
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    pixels = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 112}, max_image_size={"longest_edge": 56}, do_image_splitting=False
    )
    template = tokenizer.chat_template
    transformers.Idefics3Processor(pixels, tokenizer, image_seq_len=4, chat_template=template).save_pretrained(folder)
    return _save(folder, transformers.Idefics3ForConditionalGeneration(config), tokenizer)


@seeded
def make_internvl(folder: Path, positions: int = POSITIONS) -> Path:
    """InternVL3.5 as transformers has it, `OpenGVLab/InternVL3_5-8B-HF`: images in tiles, videos frame by frame."""
    transformers = _transformers()
    names = {"start_image_token": "<|vision_start|>", "end_image_token": "<|vision_end|>"}
    names |= {"context_image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer = _tokenizer("<|image_pad|>\n", "<|video_pad|>\n", positions, names)
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.InternVLConfig(
        text_config={**_language(positions), "model_type": "qwen3", "head_dim": 64},
        vision_config=vision | {"image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    side = {"height": 56, "width": 56}
    processor = transformers.InternVLProcessor(
        transformers.GotOcr2ImageProcessorPil(size=side, min_patches=1, max_patches=4),
        tokenizer,
        transformers.InternVLVideoProcessor(size=side),
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(folder)
    return _save(folder, transformers.InternVLForConditionalGeneration(config), tokenizer)


@seeded
def make_gemma4(folder: Path, positions: int = POSITIONS) -> Path:
    """Gemma 4, `google/gemma-4-31B-it`: images and videos, layers that see 128 tokens and layers that see all."""
    transformers = _transformers()
    names = {"image_token": "<|image_pad|>", "boi_token": "<|vision_start|>", "eoi_token": "<|vision_end|>"}
    names |= {"audio_token": "<image>", "boa_token": "<global-img>", "eoa_token": "<end_of_utterance>"}
    tokenizer = _tokenizer("<|image_pad|>", "<|video|>", positions, names)
    processor = transformers.Gemma4Processor(
        transformers.Gemma4AudioFeatureExtractor(),
        transformers.Gemma4ImageProcessorPil(max_soft_tokens=70),
        tokenizer,
        transformers.Gemma4VideoProcessor(max_soft_tokens=70),
        chat_template=tokenizer.chat_template,
        image_seq_length=70,
    )  # adds <|video|> to the tokenizer
    text = _language(positions) | {"num_key_value_heads": 2, "num_global_key_value_heads": 1, "attention_k_eq_v": True}
    text |= {"head_dim": 64, "global_head_dim": 128, "sliding_window": 128, "hidden_size_per_layer_input": 0}
    text |= {"layer_types": ["sliding_attention", "full_attention"], "use_bidirectional_attention": "vision"}
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {f"{name}_id": number for name in names if (number := getattr(tokenizer, f"{name}_id")) is not None}
    config = transformers.Gemma4Config(
        text_config=text,
        vision_config=vision
        | {"num_key_value_heads": 4, "head_dim": 16, "standardize": True, "default_output_length": 70},
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        tie_word_embeddings=False,
        **ids,
    )
    processor.save_pretrained(folder)
    return _save(folder, transformers.Gemma4ForConditionalGeneration(config), tokenizer)


@seeded
def make_minicpmv4_6(folder: Path, positions: int = POSITIONS) -> Path:
    """MiniCPM-V 4.6, `openbmb/MiniCPM-V-4.6`: Qwen3.5's language, and pictures in slices."""
    transformers = _transformers()
    names = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "image_start_token": "<image>"}
    names |= {"image_end_token": "<end_of_utterance>", "slice_start_token": "<|vision_start|>"}
    names |= {"slice_end_token": "<|vision_end|>", "image_id_start_token": "<global-img>"}
    names |= {"image_id_end_token": "<fake_token_around_image>"}
    tokenizer = _tokenizer("<|image_pad|>", "<|video_pad|>", positions, names)
    rope = {"rope_type": "default", "rope_theta": 1e6, **QWEN3_5_ROPE}
    text = {**_language(positions), "model_type": "qwen3_5_text", "head_dim": 64, **LINEAR_ATTENTION}
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.MiniCPMV4_6Config(
        text_config={**text, "rope_parameters": rope},
        vision_config=vision | {"image_size": 56, "patch_size": 14},
        insert_layer_id=0,
        image_size=56,
        downsample_mode="4x",
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        tie_word_embeddings=False,
    )
    processor = transformers.MiniCPMV4_6Processor(
        transformers.MiniCPMV4_6ImageProcessorPil(downsample_mode="4x", scale_resolution=168),
        transformers.MiniCPMV4_6VideoProcessor(downsample_mode="4x", scale_resolution=168),
        tokenizer,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(folder)
    return _save(folder, transformers.MiniCPMV4_6ForConditionalGeneration(config), tokenizer)


MAKERS: dict[str, Callable[..., Path]] = {
    "llama": make_llama,
    "qwen2_vl": make_qwen2_vl,
    "qwen2_5_vl": make_qwen2_5_vl,
    "qwen3_vl": make_qwen3_vl,
    "qwen3_5": make_qwen3_5,
    "qwen2_5_omni": make_qwen2_5_omni,
    "qwen3_omni": make_qwen3_omni,
    "idefics3": make_idefics3,
    "internvl": make_internvl,
    "gemma4": make_gemma4,
    "minicpmv4_6": make_minicpmv4_6,
}


def _language(positions: int) -> dict[str, Any]:
    """The sizes of the part that speaks; heads of 64 numbers, the least that vLLM computes with."""
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": positions}
    return sizes | {"tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}


def _tokenizer(image: str, video: str, positions: int, names: dict[str, str] | None = None, sound: str = "") -> Any:
    """The tokenizer, with a template whose pictures, videos and sounds are these texts.

    `names`: the names under which a processor looks for special tokens.
    """
    transformers = _transformers()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False, initial_alphabet=letters
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=positions,
        chat_template=TEMPLATE.replace("IMAGE", image).replace("VIDEO", video).replace("SOUND", sound),
        **({"extra_special_tokens": names} if names else {}),
    )


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    """All files of a model, with numbers of a size at which different questions have different answers."""
    for values in model.parameters():
        if values.dim() > 1:
            values.normal_(0, values[0].numel() ** -0.5)
        else:
            values.add_(0.1 * torch.randn(values.shape))
    speaks = model.get_output_embeddings().weight  # as published ones, it never says what is no text, but for the end
    speaks[len(tokenizer) :] = 0
    speaks[[number for number in range(len(SPECIAL)) if SPECIAL[number] != END]] = 0
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    _write(settings, json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"})
    return folder


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True))


def _transformers() -> Any:
    from clipmill.models.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    import transformers

    return transformers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=MAKERS)
    arguments = parser.parse_args()
    for name in arguments.only:
        print(MAKERS[name](arguments.folder / name), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
    main()
