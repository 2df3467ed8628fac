"""Runs a graph by torch, for GPUs. onnxruntime's build for them needs CUDA libraries of its own; torch is there anyway.

The operations are those of ONNX that `network` uses, and no more. Matrices are multiplied in full float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clipmill.models import gpu
from clipmill.shots.graph import Graph

if TYPE_CHECKING:
    from torch import Tensor


class TorchRunner:
    """A graph on the GPU of the job's lease, else on the CPU. Call it with arrays by input; returns the outputs.

    Raises SetupError if torch cannot use the GPU.
    """

    def __init__(self, graph: Graph):
        import torch

        device = gpu.device()
        # TF32 rounds to 10 bits, by which logits would move by more than a thousandth.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self._graph, self._device = graph, device
        self._constants = {
            name: torch.from_numpy(array.copy()).to(device if array.dtype == np.float32 else "cpu")
            for name, array in graph.constants.items()
        }
        last = {name: place for place, one in enumerate(graph.operations) for name in one.inputs}
        self._over: dict[int, list[str]] = {}  # place of an operation -> values that no later one needs
        for name, place in last.items():
            self._over.setdefault(place, []).append(name)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        import torch

        values = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
        with torch.inference_mode():
            for place, one in enumerate(self._graph.operations):
                given = [self._constants[name] if name in self._constants else values[name] for name in one.inputs]
                made = OPERATIONS[one.kind](one.attributes, *given)
                values.update(zip(one.outputs, made if isinstance(made, tuple) else (made,), strict=True))
                for name in self._over.get(place, ()):
                    values.pop(name, None)
        return [values[name].cpu().numpy() for name in self._graph.outputs]


def _conv(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    from torch.nn import functional

    before = tuple(attributes["pads"][:2])  # those after are the same
    return functional.conv2d(x, kernel, bias, padding=before, dilation=attributes.get("dilations", (1, 1)))


def _pool(attributes: Mapping[str, Any], x: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.avg_pool2d(x, attributes["kernel_shape"], attributes["strides"])


def _pad(attributes: Mapping[str, Any], x: Tensor, pads: Tensor) -> Tensor:
    from torch.nn import functional

    before, after = pads.reshape(2, -1).tolist()
    sides = zip(reversed(before), reversed(after), strict=True)  # torch begins with the last axis
    return functional.pad(x, [side for pair in sides for side in pair])


def _slice(attributes: Mapping[str, Any], x: Tensor, start: Tensor, end: Tensor, axis: Tensor) -> Tensor:
    return x.narrow(int(axis), int(start), int(end - start))


def _split(attributes: Mapping[str, Any], x: Tensor) -> tuple[Tensor, ...]:
    return x.chunk(attributes["num_outputs"], attributes["axis"])


def _concat(attributes: Mapping[str, Any], *parts: Tensor) -> Tensor:
    import torch

    return torch.cat(parts, attributes["axis"])


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda attributes, x, y: x + y,
    "AveragePool": _pool,
    "Cast": lambda attributes, x: x.float(),
    "Concat": _concat,
    "Conv": _conv,
    "Identity": lambda attributes, x: x,
    "LpNormalization": lambda attributes, x: x / x.norm(dim=attributes["axis"], keepdim=True),
    "MatMul": lambda attributes, x, y: x @ y,
    "Pad": _pad,
    "ReduceMean": lambda attributes, x, axes: x.mean(axes.tolist()),
    "Relu": lambda attributes, x: x.relu(),
    "Reshape": lambda attributes, x, shape: x.reshape(shape.tolist()),
    "Slice": _slice,
    "Split": _split,
    "Transpose": lambda attributes, x: x.permute(attributes["perm"]),
}
