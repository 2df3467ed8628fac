"""vLLM's kernel for weights of 4 bits, in torch, for processors without AVX-512: vLLM's build for those has none.

What leads to it (reading the checkpoint, joining and repacking its weights) is vLLM's own.
"""

from __future__ import annotations

import torch

NAME = "cpu_gemm_wna16"
ARGUMENTS = (
    "(Tensor input, Tensor q_weight, Tensor(a2!) output, Tensor scales, Tensor? zeros, Tensor? bias, "
    "SymInt pack_factor, str isa_hint) -> ()"
)
BITS, BLOCK = 4, 16  # of a number; outputs that lie together

_declared: list[torch.library.Library] = []  # what a library declares lives as long as the library


def declare_where_missing() -> None:
    """Declare the kernel, if vLLM has none of its own here. Imports vLLM."""
    import vllm._custom_ops  # noqa: F401, it loads the kernels

    if not hasattr(torch.ops._C, NAME):
        library = torch.library.Library("_C", "FRAGMENT")
        library.define(NAME + ARGUMENTS)
        library.impl(NAME, _multiply, "CPU")
        _declared.append(library)


def _multiply(
    values: torch.Tensor,
    packed: torch.Tensor,
    output: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    pack_factor: int,
    isa_hint: str,
) -> None:
    """`packed`: block of outputs × (input, outputs of the block). `scales`, `zeros`: group of inputs × output."""
    inputs, outputs = values.shape[1], scales.shape[1]
    weights = _unpack(packed.view(outputs // BLOCK, inputs, BLOCK // pack_factor))
    weights = weights.permute(1, 0, 2).reshape(inputs, outputs)
    offsets = _unpack(zeros) if zeros is not None else torch.full_like(scales, 8)
    group = inputs // scales.shape[0]
    weights = (weights - offsets.repeat_interleave(group, 0)) * scales.repeat_interleave(group, 0)
    result = values.float() @ weights.float()
    output.copy_(result if bias is None else result + bias)


def _unpack(packed: torch.Tensor) -> torch.Tensor:
    """The numbers of 4 bits in the last dimension, the first of them in the lowest bits."""
    shifts = torch.arange(0, 32, BITS, dtype=torch.int32)
    return ((packed.unsqueeze(-1) >> shifts) & (2**BITS - 1)).flatten(-2)
