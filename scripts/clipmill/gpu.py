"""GPUs: which of them this process may use, at what precision it computes, and what happens when their memory is full.

torch and numpy are imported only where a model is to run: steps without one share this module, and so do the rules.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipmill.errors import SetupError
from clipmill.locks import try_lock

if TYPE_CHECKING:
    import numpy as np
    import torch

log = logging.getLogger("clipmill")

VISIBLE = "CUDA_VISIBLE_DEVICES"
TRY_SECONDS, TELL_SECONDS = 0.5, 30.0  # while all devices are taken: between two tries, between two lines in the log
THREADS = 8  # of a job on a GPU, by default: one core reads some 300 frames a second, a GPU takes 600 to 8,000
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # and `auto`; by torch's names
ON_THE_CPU = "set resources.<step>.gpu: 0 to run on the CPU"

# Parts of messages that tell of a full memory, beside torch's own error: from CUDA, which cannot so much as start, and
# from its libraries, which take memory of their own.
FULL_MEMORY = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)

Fetch = Callable[[], Sequence[Any]]  # waits for the values of a batch that was begun, one an item

_held: list[str] = []  # the devices that this process holds
_fits: dict[Callable, int] = {}  # function -> the batch size to which a full memory has brought it


# --- which GPU --------------------------------------------------------------------------------------------------------


@contextmanager
def lease(count: int) -> Iterator[list[str]]:
    """Hold `count` GPUs of this machine that no other job holds, and yield their names; for 0 none: the CPU.

    To be entered before CUDA starts in this process, which then sees those devices alone: `cuda:0` is the first of
    them. Waits while too few are free. A device is held by a lock on a file, and so at most as long as its process
    lives; devices that CUDA_VISIBLE_DEVICES hides are left alone. Inside a job of Slurm's those that it gave are shared
    out. Raises SetupError where there are fewer.
    """
    if count == 0:
        yield []
        return
    with ExitStack() as locks:
        devices = _take(count, locks)
        log.info("runs on GPU %s", ", ".join(devices))
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(devices)
        _held[:] = devices
        try:
            yield devices
        finally:
            _held.clear()
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def held() -> list[str]:
    """The devices of the lease that this process is in; none where it runs on the CPU."""
    return list(_held)


def visible_devices() -> list[str]:
    """UUIDs of the devices that CUDA_VISIBLE_DEVICES leaves, in its order. Raises SetupError where CUDA does not run.

    Read as CUDA reads it: numbers, UUIDs or their beginnings, and nothing that follows one that is not there. MIG
    instances are taken at their word, since CUDA shows a process one of them at most.
    """
    devices, wanted = all_devices(), os.environ.get(VISIBLE)
    if wanted is None:
        return devices
    visible: dict[str, None] = {}
    for entry in _listed(wanted):
        if entry.startswith("MIG-"):
            found = [entry]
        elif entry.isdigit():
            found = devices[int(entry) : int(entry) + 1]
        else:
            found = [device for device in devices if device.startswith(entry)]
        if len(found) != 1:
            break
        visible[found[0]] = None
    return list(visible)


def all_devices() -> list[str]:
    """UUIDs of all devices, in CUDA's order. CUDA is asked in another process: here it has not seen the lease yet."""
    program = Path(__file__).with_name("cuda_devices.py")
    environment = {name: value for name, value in os.environ.items() if name != VISIBLE}
    done = subprocess.run([sys.executable, "-I", program], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"no GPU visible ({done.stderr.strip()}); {ON_THE_CPU}")
    return done.stdout.split()


def _listed(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _offered() -> dict[str, str]:
    """The devices to choose from, each with the name of its lock."""
    job, given = os.environ.get("SLURM_JOB_ID"), os.environ.get(VISIBLE)
    # Slurm is taken at its word: it keeps other jobs away, and its numbers may be of this job alone.
    if job and given is not None:
        return {device: f"slurm-{job}-{device}" for device in _listed(given)}
    return {device: device for device in visible_devices()}


def _take(count: int, locks: ExitStack) -> list[str]:
    """The first `count` free devices, held until `locks` is closed."""
    devices, folder = _offered(), _lock_folder()
    if len(devices) < count:
        seen = f"{len(devices)} of {count} GPUs" if devices else "no GPU"
        hidden = f" ({VISIBLE} is {os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
        raise SetupError(f"{seen} visible{hidden}; {ON_THE_CPU}")
    begun, told = time.monotonic(), None
    while True:
        with ExitStack() as held:
            taken: list[str] = []
            for device, name in devices.items():
                if len(taken) < count and _lock(folder / f"{name.replace('/', '_')}.lock", held):
                    taken.append(device)
            if len(taken) == count:
                locks.push(held.pop_all())
                if told is not None:
                    what = "a GPU" if count == 1 else f"{count} GPUs"
                    log.info("waited %.0f s for %s", time.monotonic() - begun, what)
                return taken
        if told is None or time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            log.info("waits for %d of %d GPUs to be free; their locks are in %s", count, len(devices), folder)
        time.sleep(TRY_SECONDS)


def _lock_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"clipmill-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise SetupError(f"{folder} is not a folder of yours; remove it, or set TMPDIR to another place for all jobs")
    return folder


def _lock(path: Path, held: ExitStack) -> bool:
    """Lock a file until `held` is closed; False where another process has locked it."""
    with ExitStack() as opened:
        handle = opened.enter_context(open(path, "wb"))
        if not try_lock(handle):
            return False
        held.push(opened.pop_all())
    return True


# --- how it computes --------------------------------------------------------------------------------------------------


def device() -> torch.device:
    """Where models run: `cuda:0` inside a lease of a GPU, else the CPU. Raises SetupError where torch cannot use it."""
    import torch

    if not _held:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SetupError(
            f"torch {torch.__version__} cannot use GPU {_held[0]} (it is built for CUDA {torch.version.cuda}); "
            f"install a torch that fits the NVIDIA driver, or {ON_THE_CPU}"
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
        if not _is_full_memory(error):
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


class Batches:
    """Computes items in batches of at most `size`, in order. A GPU is given the next one before its values are fetched.

    `start` begins to compute a batch and gives what waits for its values. Where the GPU's memory is too small for a
    batch, it is tried again in halves, and later ones are not larger. Raises SetupError where it is too small for one
    item.
    """

    def __init__(self, start: Callable[[list[Any]], Fetch], size: int):
        self._start, self._size = start, size
        self._begun: deque[tuple[int, Fetch]] = deque()  # the size of each
        self._ahead = 1 if _held else 0

    def put(self, items: list[Any]) -> list[Any]:
        """Begin with all of the items; the values that are there by then, one an item, be it of earlier ones."""
        values: list[Any] = []
        while items:
            batch = items[: min(self._size, _fits.get(self._start, self._size))]
            fetch = _unless_full(self._start, batch)
            if fetch is not None:
                items = items[len(batch) :]
                self._begun.append((len(batch), fetch))
                values += self._fetched(self._ahead)
            elif self._begun:
                values += self.rest()  # and try again, with the whole memory
            else:
                self._halve(len(batch))
        return values

    def rest(self) -> list[Any]:
        """The values that are still to come."""
        return self._fetched(0)

    def _fetched(self, left: int) -> list[Any]:
        """Values of all batches that were begun, but for the last `left` ones."""
        values: list[Any] = []
        while len(self._begun) > left:
            size, fetch = self._begun.popleft()
            found = fetch()
            if len(found) != size:
                raise ValueError(f"{len(found)} values for {size} items")
            values += found
        return values

    def _halve(self, size: int) -> None:
        if size == 1:
            raise SetupError(f"the GPU's memory is too small for a batch of one; take a larger GPU, or {ON_THE_CPU}")
        _fits[self._start] = size // 2
        log.warning("the GPU's memory is too small for a batch of %d; tried again by %d", size, size // 2)


def in_batches(function: Callable[[list[Any]], Sequence[Any]], items: list[Any], size: int) -> list[Any]:
    """Values of `function`, one an item, called with at most `size` of the items at once, as `Batches` does."""
    batches = Batches(_AtOnce(function), size)
    return batches.put(items) + batches.rest()


@dataclass(frozen=True)
class _AtOnce:
    """A function whose values are there when it returns, as `Batches` wants it. Equal for the same function."""

    function: Callable[[list[Any]], Sequence[Any]]

    def __call__(self, batch: list[Any]) -> Fetch:
        values = self.function(batch)
        return lambda: values


def _unless_full(start: Callable[[list[Any]], Fetch], batch: list[Any]) -> Fetch | None:
    """What the function gives; None, with all that it took given back, where the GPU's memory ran full."""
    try:
        return start(batch)
    except Exception as error:
        if not _is_full_memory(error):
            raise
    sys.modules["torch"].cuda.empty_cache()  # here, where no error holds on to what the function took
    return None


def _is_full_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(mark in str(error) for mark in FULL_MEMORY)
