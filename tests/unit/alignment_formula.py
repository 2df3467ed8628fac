"""VideoCLIP-XL-v2 as its formula says, written plainly in OpenAI's naming: slow, in float64, one item at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from clipmill.base.opencv import cv2

TEXT, VIDEO = "model.", "viclip_model.vision_encoder."
HEAD = 64


class Formula:
    """The features of a clip and of a text by the tensors of a checkpoint."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = {name: values.double() for name, values in tensors.items()}

    def video(self, frames: list[np.ndarray]) -> np.ndarray:
        """The unit feature of eight BGR frames."""
        kernel = self._of(VIDEO, "conv1.weight")[:, :, 0]
        width, _, patch, _ = kernel.shape
        places = self._of(VIDEO, "positional_embedding")
        grid = round((len(places) - 1) ** 0.5)
        tokens = [self._of(VIDEO, "class_embedding") + places[0]]
        for time, frame in enumerate(frames):
            small = torch.from_numpy(cv2.resize(frame, (grid * patch, grid * patch))).double() / 255
            small = (small - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
            for place in range(grid * grid):
                top, left = patch * (place // grid), patch * (place % grid)
                pixels = small[top : top + patch, left : left + patch].permute(2, 0, 1)
                token = torch.stack([(kernel[number] * pixels).sum() for number in range(width)])
                tokens.append(token + places[1 + place] + self._of(VIDEO, "temporal_positional_embedding")[0, time])
        states = self._norm(VIDEO + "ln_pre", torch.stack(tokens))
        states = self._transformer(VIDEO, states, causal=False)
        return _unit(self._norm(VIDEO + "ln_post", states[0]) @ self._of(VIDEO, "proj"))

    def text_state(self, tokens: list[int]) -> Tensor:
        """The state at the end token, the last of `tokens`."""
        tables = self._of(TEXT, "positional_embedding"), self._of(TEXT, "positional_embedding_res")
        states = [
            self._of(TEXT, "token_embedding.weight")[token] + tables[0 if place < 20 else 1][place]
            for place, token in enumerate(tokens)
        ]
        return self._norm(TEXT + "ln_final", self._transformer(TEXT, torch.stack(states), causal=True)[-1])

    def text(self, tokens: list[int]) -> np.ndarray:
        """The unit feature of a text."""
        return _unit(self.text_state(tokens) @ self._of(TEXT, "text_projection"))

    def _transformer(self, tower: str, states: Tensor, causal: bool) -> Tensor:
        number = 0
        while (block := f"{tower}transformer.resblocks.{number}.") + "ln_1.weight" in self.tensors:
            states = states + self._attention(block + "attn.", self._norm(block + "ln_1", states), causal)
            hidden = self._linear(block + "mlp.c_fc", self._norm(block + "ln_2", states))
            states = states + self._linear(block + "mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))
            number += 1
        return states

    def _attention(self, name: str, states: Tensor, causal: bool) -> Tensor:
        width = states.shape[1]
        fused = linear(states, self.tensors[name + "in_proj_weight"], self.tensors[name + "in_proj_bias"])
        query, key, value = fused[:, :width], fused[:, width : 2 * width], fused[:, 2 * width :]
        heads = []
        for first in range(0, width, HEAD):
            part = slice(first, first + HEAD)
            likeness = query[:, part] @ key[:, part].T / HEAD**0.5
            if causal:
                likeness = likeness.masked_fill(torch.ones_like(likeness).triu(1).bool(), -torch.inf)
            heads.append(likeness.softmax(dim=1) @ value[:, part])
        return self._linear(name + "out_proj", torch.cat(heads, dim=1))

    def _linear(self, name: str, states: Tensor) -> Tensor:
        return linear(states, self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def _norm(self, name: str, states: Tensor) -> Tensor:
        return layer_norm(states, states.shape[-1:], self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def _of(self, tower: str, name: str) -> Tensor:
        return self.tensors[tower + name]


def _unit(feature: Tensor) -> np.ndarray:
    return (feature / feature.norm()).numpy()
