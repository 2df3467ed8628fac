"""Makes it possible to import torchvision beside a torch without CUDA."""

from __future__ import annotations

import logging
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import torch

# Both have this signature: boxes, scores, threshold -> indices of the boxes to keep.
OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def declare_missing_operators() -> None:
    """Declare the operators that torchvision needs at import, if its own cannot be loaded.

    The package registry's torchvision is built for CUDA. Beside a torch without CUDA its library of operators cannot be
    loaded. torchvision works without that library, except for two operators: at import it adds to them without checking
    that they exist (`operator torchvision::nms does not exist`). Declaring them is enough. EasyOCR's detector and
    transformers, as used here, never call them; a call would fail with the operator's name.

    Call this before torchvision, transformers or easyocr is imported. Once per process is enough.
    """
    if torch.version.cuda is not None or _own_operators_load():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator + SIGNATURE)
    _declared.append(library)
    logging.getLogger(__name__).info("torchvision's operators need CUDA, which this torch lacks: declared without code")


# Keeps the libraries alive: the declarations end with them.
_declared: list[torch.library.Library] = []


def _own_operators_load() -> bool:
    """Whether torchvision is not installed, or its operators load. Checked without importing it."""
    package = PathFinder.find_spec("torchvision")
    if package is None or package.origin is None:
        return True
    try:
        torch.ops.load_library(Path(package.origin).with_name("_C.so"))
    except OSError:
        return False
    return True
