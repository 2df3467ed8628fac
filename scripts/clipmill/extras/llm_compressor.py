"""The backend `llm-compressor`: vLLM's own tool searches the scales and packs the weights as `compressed-tensors`."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.offload import disable_onloading
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.utils import patch_attr
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier, base
from llmcompressor.pipelines.cache import IntermediatesCache
from loguru import logger
from tqdm import tqdm

from clipmill.extras.quantize import BITS, Quantized
from clipmill.models import gpu

log = logging.getLogger("clipmill")

# Linear layers that stay as they are: the head, and the layers that choose the experts of a mixture.
IGNORED = ["lm_head", "re:.*mlp.gate$"]


def quantize(model: Any, tokenizer: Any, pieces: list[list[int]], group_size: int, half: torch.dtype) -> Quantized:
    """Quantize the linear layers of `model`, calibrated on `pieces` of tokens. Its scales are in `half`."""
    weights = {"num_bits": BITS, "type": "int", "strategy": "group", "group_size": group_size, "symmetric": False}
    calibrate(model, tokenizer, pieces, QuantizationArgs(**weights, scale_dtype=half))
    ModelCompressor.from_pretrained_model(model).compress_model(model)
    with disable_onloading():  # the tensors in main memory, instead of copies on the GPU
        tensors = {
            name: values.to(half) if values.is_floating_point() else values
            for name, values in model.state_dict().items()
        }
    layout = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed"}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return Quantized(tensors, {**layout, "config_groups": groups, "ignore": IGNORED})


def calibrate(model: Any, tokenizer: Any, pieces: list[list[int]], weights: QuantizationArgs) -> None:
    """Scale the weights of `model` by AWQ, and give each linear layer the scales and zero points to round by."""
    logger.remove()
    logger.add(_Once(), level="WARNING", format="{message}")
    data = torch.utils.data.DataLoader([{"input_ids": torch.tensor(piece)} for piece in pieces])
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    recipe = [AWQModifier(), QuantizationModifier(config_groups={"group_0": scheme}, ignore=IGNORED)]
    with ExitStack() as stack:
        # The bar of its search writes a line for each step, whatever TQDM_MININTERVAL says.
        stack.enter_context(patch_attr(base, "tqdm", partial(tqdm, disable=True)))
        if gpu.device().type == "cpu":  # without a GPU torch cannot pin memory, which makes copies to the GPU faster
            stack.enter_context(patch_attr(IntermediatesCache, "pin_memory", lambda *_: None))
        oneshot(model=model, processor=tokenizer, dataset=data, num_calibration_samples=len(pieces), recipe=recipe)


class _Once:
    """Passes llm-compressor's warnings on to the log, each once: it repeats some for every layer."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def __call__(self, message: str) -> None:
        if message not in self.said:
            self.said.add(message)
            log.warning("llm-compressor: %s", message.strip())
