"""Frames to try vision models on, and the models' formulas written out in float64 from a checkpoint's tensors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

from clipmill.models.torchvision_ops import declare_missing_operators

SHAPES = [(120, 213), (213, 120), (96, 96), (71, 60), (20, 31), (57, 400)]  # the models take 56 × 56


def picture(number: int, shape: tuple[int, int]) -> np.ndarray:
    """A BGR frame: a coloured slope, blocks, and noise."""
    random = np.random.default_rng(number)
    height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    slope = np.stack([rows * 200 / height, columns * 200 / width, (rows + columns) * number % 200], axis=2)
    blocks = random.integers(0, 120, (5, 5, 3)).repeat(math.ceil(height / 5), 0).repeat(math.ceil(width / 5), 1)
    noise = random.normal(0, 12, (height, width, 3))
    return np.clip(slope + blocks[:height, :width] + noise, 0, 255).astype(np.uint8)


FRAMES = [picture(number, shape) for number, shape in enumerate(SHAPES)]
# Far from black and white, beyond which bicubic filters lead: see `preprocess`.
SOFT = [frame // 2 + 60 for frame in FRAMES]


def published(folder: Path, how: str = "torchvision"):
    """The processor that the folder's own file names, in transformers' way by Pillow or by torchvision."""
    declare_missing_operators()
    import transformers

    name = json.loads((folder / "preprocessor_config.json").read_text())["image_processor_type"]
    cls = getattr(transformers, name + ("Pil" if how == "pil" else ""))
    return cls.from_pretrained(folder)


def as_pictures(frames: list[np.ndarray]) -> list[Image.Image]:
    return [Image.fromarray(frame[..., ::-1].copy()) for frame in frames]


class Plain:
    """A model's tensors and the few operations that its formula needs."""

    def __init__(self, folder: Path):
        self.tensors = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def norm(self, x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + eps) * self[f"{name}.weight"] + self[f"{name}.bias"]

    def patches(self, pixels: torch.Tensor, name: str, size: int = 14) -> torch.Tensor:
        """One vector a patch, row by row, of one picture (3 × height × width)."""
        kernel = self[f"{name}.weight"].flatten(1)
        bias = self.tensors.get(f"{name}.bias", 0.0)
        rows, columns = pixels.shape[1] // size, pixels.shape[2] // size
        parts = [
            pixels[:, size * row : size * (row + 1), size * column : size * (column + 1)].flatten()
            for row in range(rows)
            for column in range(columns)
        ]
        return torch.stack(parts) @ kernel.T + bias


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    width = query.shape[1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(width), dim=1)
        outputs.append(weights @ value[:, part])
    return torch.cat(outputs, dim=1)


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def encode(model: Plain, x: torch.Tensor, eps: float, activation) -> torch.Tensor:
    """The blocks of SigLIP's and CLIP's vision towers: attention, then two layers, each added to what came in."""
    for layer in range(2):
        name = f"vision_model.encoder.layers.{layer}"
        inside = model.norm(x, f"{name}.layer_norm1", eps)
        query, key, value = (model.linear(inside, f"{name}.self_attn.{part}_proj") for part in "qkv")
        x = x + model.linear(attend(query, key, value, heads=4), f"{name}.self_attn.out_proj")
        inside = activation(model.linear(model.norm(x, f"{name}.layer_norm2", eps), f"{name}.mlp.fc1"))
        x = x + model.linear(inside, f"{name}.mlp.fc2")
    return x


def siglip(model: Plain, pixels: torch.Tensor) -> torch.Tensor:
    x = model.patches(pixels, "vision_model.embeddings.patch_embedding")
    x = encode(model, x + model["vision_model.embeddings.position_embedding.weight"], 1e-6, gelu_tanh)
    x = model.norm(x, "vision_model.post_layernorm", 1e-6)
    head = "vision_model.head"
    weights, biases = (model[f"{head}.attention.in_proj_{part}"].chunk(3) for part in ("weight", "bias"))
    query = model[f"{head}.probe"][0] @ weights[0].T + biases[0]
    x = attend(query, x @ weights[1].T + biases[1], x @ weights[2].T + biases[2], heads=4)
    x = model.linear(x, f"{head}.attention.out_proj")
    inside = gelu_tanh(model.linear(model.norm(x, f"{head}.layernorm", 1e-6), f"{head}.mlp.fc1"))
    return (x + model.linear(inside, f"{head}.mlp.fc2"))[0]


def clip(model: Plain, pixels: torch.Tensor) -> torch.Tensor:
    name = "vision_model.embeddings"
    x = torch.cat([model[f"{name}.class_embedding"][None], model.patches(pixels, f"{name}.patch_embedding")])
    x = model.norm(x + model[f"{name}.position_embedding.weight"], "vision_model.pre_layrnorm", 1e-5)
    x = encode(model, x, 1e-5, quick_gelu)
    return model.norm(x[0], "vision_model.post_layernorm", 1e-5) @ model["visual_projection.weight"].T


def dinov2(model: Plain, pixels: torch.Tensor) -> torch.Tensor:
    patches = model.patches(pixels, "embeddings.patch_embeddings.projection")
    positions = model["embeddings.position_embeddings"][0]
    trained, side = math.isqrt(len(positions) - 1), pixels.shape[1] // 14
    grid = positions[1:].T.reshape(1, -1, trained, trained)
    grid = functional.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    x = torch.cat([model["embeddings.cls_token"][0] + positions[:1], patches + grid[0].flatten(1).T])
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        inside = model.norm(x, f"{name}.norm1", 1e-6)
        parts = ("query", "key", "value")
        query, key, value = (model.linear(inside, f"{name}.attention.attention.{part}") for part in parts)
        inside = model.linear(attend(query, key, value, heads=4), f"{name}.attention.output.dense")
        x = x + inside * model[f"{name}.layer_scale1.lambda1"]
        inside = gelu(model.linear(model.norm(x, f"{name}.norm2", 1e-6), f"{name}.mlp.fc1"))
        x = x + model.linear(inside, f"{name}.mlp.fc2") * model[f"{name}.layer_scale2.lambda1"]
    return model.norm(x, "layernorm", 1e-6).mean(0)


FORMULAS = {"siglip": siglip, "clip": clip, "dinov2": dinov2}


def embeddings(name: str, models: dict[str, Path], frames: list[np.ndarray]) -> torch.Tensor:
    """Embeddings of length 1, from frames through the published processor and the formula."""
    folder, model = models[name], Plain(models[name])
    pixels = published(folder)(as_pictures(frames), return_tensors="pt")["pixel_values"].double()
    rows = torch.stack([FORMULAS[name](model, one) for one in pixels])
    return rows / torch.sqrt((rows**2).sum(1, keepdim=True))


def head_scores(path: Path, prefix: str, x: torch.Tensor) -> list[float]:
    tensors = torch.load(path, weights_only=True)
    for layer in sorted({int(name.split(".")[1]) for name in tensors}):
        x = x @ tensors[f"{prefix}.{layer}.weight"].double().T + tensors[f"{prefix}.{layer}.bias"].double()
    return x[:, 0].tolist()
