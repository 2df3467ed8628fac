"""GPUs: which of them this process may use, at what precision it computes, and what happens when their memory is full.

torch is imported only where a model is to run: steps without one share this module.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipmill.errors import SetupError
from clipmill.locks import try_lock

if TYPE_CHECKING:
    import torch

log = logging.getLogger("clipmill")

VISIBLE = "CUDA_VISIBLE_DEVICES"
TRY_SECONDS, TELL_SECONDS = 0.5, 30.0  # while all devices are taken: between two tries, between two lines in the log
DTYPES = ("auto", "fp32", "bf16", "fp16")
ON_THE_CPU = "set resources.<step>.gpu: 0 to run on the CPU"

_held: list[str] = []  # the devices that this process holds
_fits: dict[Callable, int] = {}  # function -> the batch size to which a full memory has brought it


# --- which GPU --------------------------------------------------------------------------------------------------------


@contextmanager
def lease(count: int) -> Iterator[list[str]]:
    """Hold `count` GPUs of this machine that no other job holds, and yield their names; for 0 none: the CPU.

    To be entered before CUDA starts in this process, which then sees those devices alone: `cuda:0` is the first of
    them. Waits while too few are free. A device is held by a lock on a file, and so at most as long as its process
    lives; devices that CUDA_VISIBLE_DEVICES hides are left alone. Where Slurm gave the job `count` devices they are
    taken as they are; where it gave more, jobs inside its own share them out. Raises SetupError where there are fewer.
    """
    if count == 0:
        yield []
        return
    given = _listed(os.environ.get(VISIBLE, "")) if "SLURM_JOB_ID" in os.environ else []
    with ExitStack() as locks:
        devices = given if len(given) == count else _take(count, locks)
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


def _take(count: int, locks: ExitStack) -> list[str]:
    """The first `count` free devices, held until `locks` is closed."""
    devices, folder = visible_devices(), _lock_folder()
    if len(devices) < count:
        seen = f"{len(devices)} of {count} GPUs" if devices else "no GPU"
        hidden = f" ({VISIBLE} is {os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
        raise SetupError(f"{seen} visible{hidden}; {ON_THE_CPU}")
    told = -TELL_SECONDS
    while True:
        with ExitStack() as held:
            taken: list[str] = []
            for device in devices:
                if len(taken) < count and _lock(folder / f"{device.replace('/', '_')}.lock", held):
                    taken.append(device)
            if len(taken) == count:
                locks.push(held.pop_all())
                return taken
        if time.monotonic() - told >= TELL_SECONDS:
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


def precision(dtype: str = "auto") -> torch.dtype:
    """What models compute in where they run.

    `auto`: bf16 where the GPU has it, else fp16. On the CPU `auto` and `fp16` mean fp32. Raises SetupError for others
    than DTYPES.
    """
    import torch

    if dtype not in DTYPES:
        raise SetupError(f"dtype `{dtype}` is not known; choose from: {', '.join(DTYPES)}")
    on_gpu = device().type == "cuda"
    if on_gpu and dtype == "auto":
        dtype = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return {"bf16": torch.bfloat16, "fp16": torch.float16 if on_gpu else torch.float32}.get(dtype, torch.float32)


@contextmanager
def autocast(dtype: str = "auto") -> Iterator[None]:
    """Run a model whose weights are fp32: no gradients, and in the `precision` of `dtype`."""
    import torch

    chosen = precision(dtype)
    half = None if chosen == torch.float32 else chosen
    with torch.inference_mode(), torch.autocast(device().type, half, enabled=half is not None):
        yield


def in_batches(function: Callable[[list[Any]], Sequence[Any]], items: list[Any], size: int) -> list[Any]:
    """Values of `function`, one an item, called with at most `size` of the items at once.

    Where the GPU's memory is too small for a batch, it is tried again in halves, and later ones are not larger.
    Raises SetupError where it is too small for one item.
    """
    values: list[Any] = []
    while len(values) < len(items):
        batch = items[len(values) : len(values) + min(size, _fits.get(function, size))]
        result = _unless_full(function, batch)
        if result is not None:
            values += result
            continue
        if len(batch) == 1:
            raise SetupError(f"the GPU's memory is too small for a batch of one; take a larger GPU, or {ON_THE_CPU}")
        _fits[function] = len(batch) // 2
        log.warning("the GPU's memory is too small for a batch of %d; tried again by %d", len(batch), len(batch) // 2)
    return values


def _unless_full(function: Callable[[list[Any]], Sequence[Any]], batch: list[Any]) -> Sequence[Any] | None:
    """The function's values; None, with all that it took given back, where the GPU's memory ran full."""
    try:
        values = function(batch)
    except Exception as error:
        if not _is_full_memory(error):
            raise
    else:
        if len(values) != len(batch):
            raise ValueError(f"{len(values)} values for {len(batch)} items")
        return values
    sys.modules["torch"].cuda.empty_cache()  # here, where no error holds on to what the function took
    return None


def _is_full_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)
