"""The backend `autoawq`: AutoAWQ searches the scales and packs the weights in AWQ's own layout, `GEMM`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from clipmill.extras.quantize import BITS, Quantized

with warnings.catch_warnings(record=True):  # AutoAWQ warns that it is no longer developed: see docs/quantize.md
    import awq.models.auto

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def quantize(model: Any, tokenizer: Any, pieces: list[list[int]], group_size: int, half: torch.dtype) -> Quantized:
    """Quantize the linear layers of `model`, calibrated on `pieces` of tokens. Its scales are in float16 always."""
    kind = model.config.model_type
    method = {"w_bit": BITS, "q_group_size": group_size, "zero_point": True, "version": "GEMM"}
    wrapped = awq.models.auto.AWQ_CAUSAL_LM_MODEL_MAP[kind](
        model, kind, False, model.config, awq.models._config.AwqConfig(), None
    )
    wrapped.quantize(
        tokenizer,
        method,
        calib_data=pieces,
        max_calib_samples=len(pieces),
        max_calib_seq_len=max(map(len, pieces)),
        quantizer_cls=Quantizer,
    )
    layout = {"quant_method": "awq", "bits": BITS, "group_size": group_size, "zero_point": True, "version": "gemm"}
    return Quantized(dict(model.state_dict()), {**layout, "modules_to_not_convert": None})


class Quantizer(awq.quantize.quantizer.AwqQuantizer):
    """AutoAWQ's quantizer, corrected: on the CPU it would spoil the weights.

    While it tries scales it multiplies weights in place, and then restores the values that it saved before. On a GPU
    these are a copy. On the CPU they are the weights themselves: these would keep the first scales that were tried.
    """

    def _compute_best_scale(self, x: Tensor, w_mean: Tensor, x_mean: Tensor, module: Any, *others: Any) -> Tensor:
        copying = module.register_state_dict_post_hook(_copy_values)
        try:
            return super()._compute_best_scale(x, w_mean, x_mean, module, *others)
        finally:
            copying.remove()


def _copy_values(_module: Any, state: dict[str, Tensor], *_others: Any) -> None:
    """A hook that replaces the values in a module's state by copies."""
    for name in state:
        state[name] = state[name].clone()
