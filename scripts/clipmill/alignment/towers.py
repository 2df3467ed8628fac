"""VideoCLIP-XL-v2's two towers: the published tensors, named as in OpenAI's CLIP, in transformers' modules.

Both towers are CLIP's with three differences: the text tower takes its positions from two tables, all patches of a
video's frames attend to each other and to one class token, and each frame's patches carry its temporal position. So the
tensors are renamed, and only the embedding of a video is new code here. Layout: Wang et al., "VideoCLIP-XL" (2024), and
its parts Long-CLIP (Zhang et al., 2024) and ViCLIP (Wang et al., "InternVid", 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmill.models import checkpoints
from clipmill.models.torchvision_ops import declare_missing_operators

TEXT, VIDEO = "model.", "viclip_model.vision_encoder."  # beginnings of the tensors' names
HEAD = 64  # numbers in an attention head, in both towers
FIRST_TABLE = 20  # positions that come from `positional_embedding`; the others from `positional_embedding_res`

# The tensors whose shapes give the sizes, with their published shapes.
TELLING = {
    TEXT + "token_embedding.weight": (49408, 768),
    TEXT + "positional_embedding": (248, 768),
    TEXT + "text_projection": (768, 768),
    VIDEO + "conv1.weight": (1024, 3, 1, 14, 14),
    VIDEO + "positional_embedding": (257, 1024),
    VIDEO + "temporal_positional_embedding": (1, 8, 1024),
}
# The parts of a block except the fused query, key and value: OpenAI's name -> transformers' name.
BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


@dataclass(frozen=True)
class Sizes:
    """The sizes in which checkpoints of this layout may differ. `places`: a frame's patches and the class token."""

    vocabulary: int
    positions: int
    text_width: int
    text_layers: int
    dimensions: int
    frames: int
    patch: int
    places: int
    width: int
    layers: int

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Sizes:
        """Sizes from the tensors' shapes; the published ones of a tensor that is missing or has other dimensions."""
        shapes = dict(TELLING)
        for name, published in TELLING.items():
            if name in tensors and tensors[name].dim() == len(published):
                shapes[name] = tuple(tensors[name].shape)
        words, positions, projection, patches, places, times = shapes.values()
        return cls(
            vocabulary=words[0],
            positions=positions[0],
            text_width=positions[1],
            text_layers=_layers(tensors, TEXT),
            dimensions=projection[1],
            frames=times[1],
            patch=patches[3],
            places=places[0],
            width=patches[0],
            layers=_layers(tensors, VIDEO),
        )

    @property
    def side(self) -> int:
        """Pixels of a frame's side."""
        return self.patch * round((self.places - 1) ** 0.5)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor that is used."""
        text = {
            "token_embedding.weight": (self.vocabulary, self.text_width),
            "positional_embedding": (self.positions, self.text_width),
            "positional_embedding_res": (self.positions, self.text_width),
            **_norm("ln_final", self.text_width),
            **_blocks(self.text_layers, self.text_width),
            "text_projection": (self.text_width, self.dimensions),
        }
        video = {
            "conv1.weight": (self.width, 3, 1, self.patch, self.patch),
            "class_embedding": (self.width,),
            "positional_embedding": (self.places, self.width),
            "temporal_positional_embedding": (1, self.frames, self.width),
            **_norm("ln_pre", self.width),
            **_blocks(self.layers, self.width),
            **_norm("ln_post", self.width),
            "proj": (self.width, self.dimensions),
        }
        return {TEXT + name: shape for name, shape in text.items()} | {
            VIDEO + name: shape for name, shape in video.items()
        }


def _layers(tensors: dict[str, Tensor], tower: str) -> int:
    """Number of blocks in a tower; 1 if it has none, so that the error names the missing tensors."""
    blocks = tower + "transformer.resblocks."
    return len({name[len(blocks) :].split(".")[0] for name in tensors if name.startswith(blocks)}) or 1


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _blocks(layers: int, width: int) -> dict[str, tuple[int, ...]]:
    block = {
        **_norm("ln_1", width),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        **_linear("attn.out_proj", width, width),
        **_norm("ln_2", width),
        **_linear("mlp.c_fc", width, 4 * width),
        **_linear("mlp.c_proj", 4 * width, width),
    }
    return {f"transformer.resblocks.{n}.{name}": shape for n in range(layers) for name, shape in block.items()}


class VideoEmbeddings(nn.Module):
    """Embeds videos, clips × frames × 3 × side × side, as clips × (1 + frames · patches) × width.

    The class token stands first, once, with its own spatial position and no temporal one. Every frame's patches get the
    same spatial positions, then the frame's temporal one.
    """

    def __init__(self, picture: nn.Module, frames: int):
        super().__init__()
        self.picture = picture  # transformers' CLIPVisionEmbeddings: class token and patches of one picture
        self.temporal = nn.Parameter(torch.empty(frames, picture.embed_dim))

    def forward(self, pixel_values: Tensor, **_: Any) -> Tensor:
        places = self.picture(pixel_values.flatten(0, 1)).unflatten(0, pixel_values.shape[:2])
        patches = places[:, :, 1:] + self.temporal[:, None]
        return torch.cat([places[:, 0, :1], patches.flatten(1, 2)], dim=1)


def load(path: Path) -> tuple[Sizes, dict[str, Tensor]]:
    """The checkpoint's sizes and tensors, float32. Raises SetupError if it does not have this layout."""
    tensors = checkpoints.load_tensors(path)
    sizes = Sizes.of(tensors)
    checkpoints.check_tensors(tensors, sizes.shapes(), path)
    return sizes, {name: tensors[name].float() for name in sizes.shapes()}


def text_tower(sizes: Sizes, tensors: dict[str, Tensor], start: int, end: int) -> nn.Module:
    """CLIPTextModelWithProjection: `text_embeds` are the states at the first token `end`, projected."""
    declare_missing_operators()
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=sizes.vocabulary,
        max_position_embeddings=sizes.positions,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        **_config(sizes.text_width, sizes.text_layers, sizes.dimensions),
    )
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(config)
    own = _below(tensors, TEXT)
    first, others = own["positional_embedding"], own["positional_embedding_res"]
    positions = torch.cat([first[:FIRST_TABLE], others[FIRST_TABLE:]])
    state = {
        "text_model.embeddings.token_embedding.weight": own["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": positions,
        **_renamed_blocks(own, "text_model.encoder.layers"),
        **_renamed(own, "ln_final", "text_model.final_layer_norm"),
        "text_projection.weight": own["text_projection"].T.contiguous(),
    }
    model.load_state_dict(state, assign=True)
    model.text_model.embeddings.position_ids = torch.arange(sizes.positions)[None]
    return model.eval()


def video_tower(sizes: Sizes, tensors: dict[str, Tensor]) -> nn.Module:
    """CLIPVisionModelWithProjection for videos, clips × frames × 3 × side × side: `image_embeds`, one row per clip."""
    declare_missing_operators()
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        image_size=sizes.side,
        patch_size=sizes.patch,
        **_config(sizes.width, sizes.layers, sizes.dimensions),
    )
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(config)
        picture = model.vision_model.embeddings
        model.vision_model.embeddings = VideoEmbeddings(picture, sizes.frames)
    own = _below(tensors, VIDEO)
    state = {
        "vision_model.embeddings.picture.class_embedding": own["class_embedding"],
        "vision_model.embeddings.picture.patch_embedding.weight": own["conv1.weight"][:, :, 0],
        "vision_model.embeddings.picture.position_embedding.weight": own["positional_embedding"],
        "vision_model.embeddings.temporal": own["temporal_positional_embedding"][0],
        **_renamed(own, "ln_pre", "vision_model.pre_layrnorm"),
        **_renamed_blocks(own, "vision_model.encoder.layers"),
        **_renamed(own, "ln_post", "vision_model.post_layernorm"),
        "visual_projection.weight": own["proj"].T.contiguous(),
    }
    model.load_state_dict(state, assign=True)
    picture.position_ids = torch.arange(sizes.places)[None]
    return model.eval()


def _config(width: int, layers: int, dimensions: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD,
        "projection_dim": dimensions,
        "hidden_act": "quick_gelu",
    }


def _below(tensors: dict[str, Tensor], tower: str) -> dict[str, Tensor]:
    return {name[len(tower) :]: values for name, values in tensors.items() if name.startswith(tower)}


def _renamed(tensors: dict[str, Tensor], name: str, new: str) -> dict[str, Tensor]:
    return {f"{new}.{kind}": tensors[f"{name}.{kind}"] for kind in ("weight", "bias")}


def _renamed_blocks(tensors: dict[str, Tensor], new: str) -> dict[str, Tensor]:
    """All blocks under transformers' names, with the fused projection split into query, key and value."""
    state: dict[str, Tensor] = {}
    for number in range(_layers(tensors, "")):
        old = f"transformer.resblocks.{number}"
        for name, new_name in BLOCK.items():
            state |= _renamed(tensors, f"{old}.{name}", f"{new}.{number}.{new_name}")
        for kind in ("weight", "bias"):
            parts = tensors[f"{old}.attn.in_proj_{kind}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                state[f"{new}.{number}.self_attn.{letter}_proj.{kind}"] = part
    return state
