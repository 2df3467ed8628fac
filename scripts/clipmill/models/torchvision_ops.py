"""Lets torchvision be imported beside a torch without CUDA."""

from __future__ import annotations

import logging
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import torch

# Their signatures are the same: boxes, scores, threshold -> indices of the boxes to keep.
OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def declare_missing_operators() -> None:
    """Declare the operators that torchvision needs at import, where its own cannot be loaded.

    The package registry's torchvision is built for CUDA. Beside a torch without CUDA its library of operators cannot be
    loaded; torchvision lives with that, but for two operators that it adds to at import, without looking whether they
    are there: `operator torchvision::nms does not exist`. A declaration is all that it asks for. Nothing that EasyOCR's
    detector and transformers do here calls them; a call fails by name.

    To be called before torchvision, transformers or easyocr is imported. Once a process is enough.
    """
    if torch.version.cuda is not None or _own_operators_load():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator + SIGNATURE)
    _declared.append(library)
    logging.getLogger(__name__).info("torchvision's operators need CUDA, which this torch lacks: declared without code")


# What a library declares lives as long as the library.
_declared: list[torch.library.Library] = []


def _own_operators_load() -> bool:
    """Whether torchvision is not there, or loads its operators; looked at without importing it."""
    package = PathFinder.find_spec("torchvision")
    if package is None or package.origin is None:
        return True
    try:
        torch.ops.load_library(Path(package.origin).with_name("_C.so"))
    except OSError:
        return False
    return True
