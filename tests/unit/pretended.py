"""A GPU that is the CPU: what goes there and back is noted, and what comes back is there once it is waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from clipmill.models import leases

FREE = 2 * 2**30  # bytes of its memory


class PretendedGpu:
    """`told`: `to device` and `to host` for each copy that nothing waits for, `waits` for each that is waited for.

    `patch`: for what else is to be otherwise, as long as there is this GPU.
    """

    def __init__(self, patch: pytest.MonkeyPatch):
        self.patch = patch
        self.told: list[str] = []
        self.under_way: list[tuple[torch.Tensor, torch.Tensor]] = []  # copies that come back: to, from

    def tensor_to(self, tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """As `Tensor.to`."""
        place = args[0] if len(args) == 1 else None
        comes, goes = place == "cpu", isinstance(place, torch.device) and place.type == "cuda"
        if not (comes or goes):
            return _TO(tensor, *args, **options)
        if not options.get("non_blocking"):
            return tensor.clone()
        self.told.append("to host" if comes else "to device")
        if goes:
            return tensor.clone()
        copied = torch.full_like(tensor, torch.nan)
        self.under_way.append((copied, tensor))
        return copied

    def event(self) -> Event:
        return Event(self)


class Event:
    """A mark behind all copies that were begun until it is recorded."""

    def __init__(self, device: PretendedGpu):
        self._device = device

    def record(self) -> None:
        self._before, self._device.under_way = self._device.under_way, []

    def synchronize(self) -> None:
        self._device.told.append("waits")
        with torch.inference_mode():  # as which some were made
            for copied, tensor in self._before:
                copied.copy_(tensor)


_TO, _EMPTY, _AUTOCAST, _MODULE_TO = torch.Tensor.to, torch.empty, torch.autocast, torch.nn.Module.to


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[PretendedGpu]:
    """Inside there is one, this process has leased it, and torch runs on it."""

    def module_to(module: torch.nn.Module, place: torch.device, **options: Any) -> torch.nn.Module:
        assert place.type == "cuda"
        return _MODULE_TO(module, "cpu", **options)

    with monkeypatch.context() as patch:
        made = PretendedGpu(patch)
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setattr(leases, "all_devices", lambda: ["GPU-a"])
        patch.setitem(os.environ, leases.VISIBLE, "0")
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
        patch.setattr(torch.cuda, "mem_get_info", lambda: (FREE, 2 * FREE))
        patch.setattr(torch.cuda, "Event", made.event)
        patch.setattr(torch, "empty", lambda *size, pin_memory=False, **options: _EMPTY(*size, **options))
        patch.setattr(torch, "autocast", lambda _, half, enabled: _AUTOCAST("cpu", half, enabled=enabled))
        patch.setattr(torch.Tensor, "to", lambda tensor, *args, **options: made.tensor_to(tensor, *args, **options))
        patch.setattr(torch.nn.Module, "to", module_to)
        with leases.lease(1):
            yield made
