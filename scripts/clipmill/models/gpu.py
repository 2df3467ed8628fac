"""GPUs: which of them this process may use, at what precision it computes, and what happens when their memory is full.

torch and numpy are imported only where a model is to run: steps without one share this module, and so do the rules.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clipmill.base.errors import SetupError
from clipmill.models.leases import ON_THE_CPU, leased_devices

if TYPE_CHECKING:
    import numpy as np
    import torch

log = logging.getLogger("clipmill")

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # and `auto`; by torch's names

# Parts of messages that tell of a full memory, beside torch's own error: from CUDA, which cannot so much as start, and
# from its libraries, which take memory of their own.
FULL_MEMORY = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


# --- which GPU --------------------------------------------------------------------------------------------------------


# --- how it computes --------------------------------------------------------------------------------------------------


def device() -> torch.device:
    """Where models run: `cuda:0` inside a lease of a GPU, else the CPU. Raises SetupError where torch cannot use it."""
    import torch

    if not leased_devices():
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SetupError(
            f"torch {torch.__version__} cannot use GPU {leased_devices()[0]} (it is built for CUDA "
            f"{torch.version.cuda}); install a torch that fits the NVIDIA driver, or {ON_THE_CPU}"
        )
    return torch.device("cuda:0")


def resolved(dtype: str = "auto") -> str:
    """What a `dtype` comes to where models run: one of DTYPES.

    `auto`: bf16 where the GPU has it, else fp16. On the CPU `auto` and `fp16` mean fp32. Raises SetupError for others.
    """
    import torch

    known = ("auto", *DTYPES)
    if dtype not in known:
        raise SetupError(f"dtype `{dtype}` is not known; choose from: {', '.join(known)}")
    if device().type != "cuda":
        return "bf16" if dtype == "bf16" else "fp32"
    if dtype != "auto":
        return dtype
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def precision(dtype: str = "auto") -> torch.dtype:
    """What models compute in where they run, as torch names what `resolved` says."""
    import torch

    return getattr(torch, DTYPES[resolved(dtype)])


@contextmanager
def autocast(dtype: str = "auto") -> Iterator[None]:
    """Run a model whose weights are fp32: no gradients, and in the `precision` of `dtype`."""
    import torch

    chosen = precision(dtype)
    half = None if chosen == torch.float32 else chosen
    with torch.inference_mode(), torch.autocast(device().type, half, enabled=half is not None):
        yield


# --- to the device and back -------------------------------------------------------------------------------------------


def placed(model: torch.nn.Module, name: str, **options: Any) -> torch.nn.Module:
    """A model on the device. `options` go to `to`. Raises SetupError, which names it, where the memory is too small."""
    import torch

    where, free = device(), 0
    try:
        if where.type == "cuda":
            free, _ = torch.cuda.mem_get_info()
        return model.to(where, **options)
    except Exception as error:
        if not is_full_memory(error):
            raise
        raise SetupError(
            f"{name} does not fit into the GPU's memory, of which {free / 2**30:.1f} GiB were free; end what else uses "
            f"it (nvidia-smi lists that), take a larger GPU, or {ON_THE_CPU}"
        ) from error


def on_device(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Arrays of one shape, stacked. They go to a GPU without waiting for what it computes meanwhile."""
    import numpy as np
    import torch

    where, (first, *_) = device(), arrays
    dtype = torch.from_numpy(np.empty(0, first.dtype)).dtype
    stacked = torch.empty((len(arrays), *first.shape), dtype=dtype, pin_memory=where.type == "cuda")
    np.stack(arrays, out=stacked.numpy())
    return stacked.to(where, non_blocking=True)


def fetching(values: torch.Tensor) -> Callable[[], np.ndarray]:
    """Begin to bring values back from the device. Call what this gives, once they are needed, to wait for them."""
    import torch

    if device().type != "cuda":
        return values.numpy
    copied = values.to("cpu", non_blocking=True)  # to pinned memory, which the GPU writes to by itself
    there = torch.cuda.Event()
    there.record()  # before the next batch is begun, or it would be waited for too

    def fetch() -> np.ndarray:
        there.synchronize()
        return copied.numpy()

    return fetch


# --- in batches -------------------------------------------------------------------------------------------------------


def is_full_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(mark in str(error) for mark in FULL_MEMORY)
