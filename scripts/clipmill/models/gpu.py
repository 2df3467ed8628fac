"""The device and the precision that models compute with, copies to and from the device, and errors of a full memory.

torch and numpy are imported inside the functions, since the rules and the steps without a model import this module too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clipmill.base.errors import SetupError
from clipmill.models.leases import ON_THE_CPU, leased_devices

if TYPE_CHECKING:
    import numpy as np
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # in a config, which also knows `auto` -> in torch

# Parts of error messages that mean a full memory, besides torch's own error. They come from CUDA, which may not even be
# able to start, and from its libraries, which allocate memory of their own.
FULL_MEMORY = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


# --- device and precision ---------------------------------------------------------------------------------------------


def device() -> torch.device:
    """Where models run: `cuda:0` inside a lease of a GPU, else the CPU. Raises SetupError if torch cannot use it."""
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
    """The precision that `dtype` means on the device that models run on: one of DTYPES.

    `auto`: bf16 if the GPU supports it, else fp16. On the CPU `auto` and `fp16` mean fp32. Raises SetupError for a
    `dtype` that is not known.
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
    """The torch dtype that models compute in: `resolved(dtype)`."""
    import torch

    return getattr(torch, DTYPES[resolved(dtype)])


@contextmanager
def autocast(dtype: str = "auto") -> Iterator[None]:
    """Inside this context, a model with fp32 weights runs without gradients and in the `precision` of `dtype`."""
    import torch

    chosen = precision(dtype)
    half = None if chosen == torch.float32 else chosen
    with torch.inference_mode(), torch.autocast(device().type, half, enabled=half is not None):
        yield


# --- to the device and back -------------------------------------------------------------------------------------------


def placed(model: torch.nn.Module, name: str, **options: Any) -> torch.nn.Module:
    """Move a model to the device; `options` go to `to`. Raises SetupError, with `name`, if the memory is too small."""
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
    """Arrays of one shape, stacked, on the device. The copy to a GPU does not wait for what the GPU is computing."""
    import numpy as np
    import torch

    where, (first, *_) = device(), arrays
    dtype = torch.from_numpy(np.empty(0, first.dtype)).dtype
    stacked = torch.empty((len(arrays), *first.shape), dtype=dtype, pin_memory=where.type == "cuda")
    np.stack(arrays, out=stacked.numpy())
    return stacked.to(where, non_blocking=True)


def fetching(values: torch.Tensor) -> Callable[[], np.ndarray]:
    """Start copying values back from the device. Returns a function that waits for them; call it when needed."""
    import torch

    if device().type != "cuda":
        return values.numpy
    copied = values.to("cpu", non_blocking=True)  # to pinned memory, which the GPU writes to without the CPU
    arrived = torch.cuda.Event()
    arrived.record()  # before the next batch starts, else `fetch` would wait for that batch too

    def fetch() -> np.ndarray:
        arrived.synchronize()
        return copied.numpy()

    return fetch


# --- full memory ------------------------------------------------------------------------------------------------------


def is_full_memory(error: Exception) -> bool:
    """Whether an error says that the GPU's memory is full."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(mark in str(error) for mark in FULL_MEMORY)
