"""Prints the UUIDs of CUDA's devices in CUDA's own order, one per line. Needs only Python and the driver.

A program, not a module to import: the first call to CUDA fixes which devices a process sees until it ends.
"""

import ctypes
import sys
import uuid
from typing import Any


def main() -> None:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        sys.exit("there is no NVIDIA driver (libcuda.so.1)")
    count = ctypes.c_int()
    _call(cuda.cuInit, 0)
    _call(cuda.cuDeviceGetCount, ctypes.byref(count))
    for index in range(count.value):
        device, name = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _call(cuda.cuDeviceGet, ctypes.byref(device), index)
        _call(cuda.cuDeviceGetUuid, name, device)
        print(f"GPU-{uuid.UUID(bytes=bytes(name))}")


def _call(function: Any, *arguments: Any) -> None:
    if status := function(*arguments):
        sys.exit(f"the NVIDIA driver's {function.__name__} failed with status {status}")


if __name__ == "__main__":
    main()
