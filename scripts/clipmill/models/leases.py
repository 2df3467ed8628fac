"""GPUs of this machine, each held by one job at a time."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.locks import try_lock

log = logging.getLogger("clipmill")

VISIBLE = "CUDA_VISIBLE_DEVICES"
TRY_SECONDS, TELL_SECONDS = 0.5, 30.0  # while all devices are taken: between two tries, between two log lines
THREADS = 8  # default of a job on a GPU: one core reads about 300 frames per second, a GPU takes 600 to 8,000
ON_THE_CPU = "set resources.<step>.gpu: 0 to run on the CPU"
_held: list[str] = []  # the devices that this process has leased


@contextmanager
def lease(count: int) -> Iterator[list[str]]:
    """Lease `count` GPUs of this machine that no other job holds, and yield their names; 0 is the CPU and yields none.

    Enter this context before CUDA starts in this process. The process then sees only these devices: `cuda:0` is the
    first of them. Waits while too few devices are free. A device is held by a lock on a file, so it becomes free at the
    latest when its process ends. Devices that CUDA_VISIBLE_DEVICES hides are not used. Inside a Slurm job, the devices
    that Slurm gave to the job are shared out. Raises SetupError if there are fewer than `count`.
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


def leased_devices() -> list[str]:
    """The devices that this process has leased; none if it runs on the CPU."""
    return list(_held)


def visible_devices() -> list[str]:
    """UUIDs of the devices that CUDA_VISIBLE_DEVICES leaves, in its order. Raises SetupError if CUDA does not run.

    The variable is read as CUDA reads it: numbers, UUIDs or their beginnings; an entry that does not exist ends the
    list. MIG instances are not checked, since CUDA shows a process at most one of them.
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
    """UUIDs of all devices, in CUDA's order. Another process asks CUDA: here CUDA must not start before the lease."""
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
    # Slurm's list is not checked: Slurm keeps other jobs away, and its numbers may count this job's devices alone.
    if job and given is not None:
        return {device: f"slurm-{job}-{device}" for device in _listed(given)}
    return {device: device for device in visible_devices()}


def _take(count: int, locks: ExitStack) -> list[str]:
    """Lock the first `count` free devices until `locks` is closed."""
    devices, folder = _offered(), _lock_folder()
    if len(devices) < count:
        seen = f"{len(devices)} of {count} GPUs" if devices else "no GPU"
        hidden = f" ({VISIBLE} is {os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
        raise SetupError(f"{seen} visible{hidden}; {ON_THE_CPU}")
    started, last_report = time.monotonic(), None
    while True:
        with ExitStack() as held:
            taken: list[str] = []
            for device, name in devices.items():
                if len(taken) < count and _lock(folder / f"{name.replace('/', '_')}.lock", held):
                    taken.append(device)
            if len(taken) == count:
                locks.push(held.pop_all())
                if last_report is not None:
                    devices_words = "a GPU" if count == 1 else f"{count} GPUs"
                    log.info("waited %.0f s for %s", time.monotonic() - started, devices_words)
                return taken
        if last_report is None or time.monotonic() - last_report >= TELL_SECONDS:
            last_report = time.monotonic()
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
    """Lock a file until `held` is closed; False if another process has locked it."""
    with ExitStack() as opened:
        handle = opened.enter_context(open(path, "wb"))
        if not try_lock(handle):
            return False
        held.push(opened.pop_all())
    return True
