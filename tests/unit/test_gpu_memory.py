"""Batches on a GPU: one is under way while the next is begun. Where its memory runs full they are halved."""

from __future__ import annotations

import pytest
import torch

from clipmill.base.errors import SetupError
from clipmill.models import leases
from clipmill.models.batches import Batches, in_batches

pytestmark = pytest.mark.torch


class Narrow:
    """Squares numbers, as long as there are at most `room` of them."""

    def __init__(self, room: int):
        self.room, self.sizes = room, []

    def squares(self, numbers: list[int]) -> list[int]:
        self.sizes.append(len(numbers))
        if len(numbers) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return [number * number for number in numbers]


@pytest.mark.parametrize("room", [1, 3, 5, 8, 100])
@pytest.mark.parametrize("count", [0, 1, 7, 16, 29])
def test_batches_that_are_too_large_are_halved(caplog, room, count):
    narrow = Narrow(room)
    assert in_batches(narrow.squares, list(range(count)), 16) == [number**2 for number in range(count)]
    too_large = [size for size in narrow.sizes if size > room]
    assert len(too_large) <= 4
    assert caplog.messages == [
        f"the GPU's memory is too small for a batch of {size}; tried again by {size // 2}" for size in too_large
    ]


def test_a_batch_size_that_fits_is_remembered(caplog):
    narrow = Narrow(5)
    for first in (0, 16):
        in_batches(narrow.squares, list(range(first, first + 16)), 16)
    assert narrow.sizes == [16, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert len(caplog.messages) == 2
    other = Narrow(100)
    in_batches(other.squares, list(range(16)), 16)
    assert other.sizes == [16]


def test_a_batch_of_one_that_is_too_large():
    with pytest.raises(
        SetupError, match="^the GPU's memory is too small for a batch of one; take a larger GPU, or set"
    ):
        in_batches(Narrow(0).squares, [1, 2, 3], 2)


def test_memory_is_given_back_before_the_next_try(monkeypatch):
    """When the cache is emptied, nothing of the call that failed may be held any more."""
    held = set()

    class Tensor:
        def __init__(self):
            held.add(id(self))

        def __del__(self):
            held.discard(id(self))

    def measure(items):
        tensor = Tensor()
        if len(items) > 1:
            raise torch.cuda.OutOfMemoryError("full")
        del tensor
        return items

    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(len(held)))
    assert in_batches(measure, [1, 2, 3, 4], 4) == [1, 2, 3, 4]
    assert emptied == [0, 0]


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="illegal"):
        in_batches(lambda items: (_ for _ in ()).throw(RuntimeError("illegal memory access")), [1], 1)
    with pytest.raises(ValueError, match="^1 values for 2 items$"):
        in_batches(lambda items: items[:1], [1, 2], 2)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.OutOfMemoryError, "Allocation on device"),
        (torch.AcceleratorError, "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        (RuntimeError, "CUDA error: out of memory"),
        (RuntimeError, "CUDA driver error: out of memory"),
        (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_all_ways_in_which_a_full_memory_shows(kind, message):
    sizes = []

    def measure(items):
        sizes.append(len(items))
        if len(items) > 2:
            raise kind(message)
        return items

    assert in_batches(measure, [1, 2, 3], 4) == [1, 2, 3]
    assert sizes == [3, 1, 1, 1]


def test_a_full_memory_of_the_machine_itself_is_none_of_the_gpu():
    def measure(items):
        raise MemoryError("CUDA error: out of memory")

    with pytest.raises(MemoryError):
        in_batches(measure, [1, 2], 2)


# --- one under way ----------------------------------------------------------------------------------------------------


class Device:
    """Squares numbers once they are fetched; `room` is how many it can have in hand, `most` how many it ever had."""

    def __init__(self, room: int = 100):
        self.room, self.hand, self.most, self.told = room, 0, 0, []

    def start(self, numbers: list[int]):
        self.told.append(f"start {len(numbers)}")
        if self.hand + len(numbers) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.hand += len(numbers)
        self.most = max(self.most, self.hand)

        def fetch():
            self.told.append(f"fetch {len(numbers)}")
            self.hand -= len(numbers)
            return [number * number for number in numbers]

        return fetch


@pytest.fixture
def leased(monkeypatch):
    monkeypatch.setattr(leases, "_held", ["GPU-a"])


def test_a_batch_is_begun_before_the_one_before_it_is_fetched(leased):
    batches = Batches((device := Device()).start, 4)
    assert batches.put([0, 1, 2, 3]) == []
    assert batches.put([4, 5, 6, 7]) == [0, 1, 4, 9]
    assert batches.put([8]) == [16, 25, 36, 49]
    assert batches.rest() == [64]
    assert batches.rest() == []
    assert device.told == ["start 4", "start 4", "fetch 4", "start 1", "fetch 4", "fetch 1"]


def test_without_a_gpu_each_is_fetched_at_once():
    batches = Batches((device := Device()).start, 2)
    assert batches.put([1, 2, 3]) == [1, 4, 9]
    assert device.told == ["start 2", "fetch 2", "start 1", "fetch 1"]
    assert batches.rest() == []


@pytest.mark.parametrize("room", [1, 2, 3, 4, 5, 8, 12, 100])
def test_no_value_is_lost_where_the_memory_runs_full_with_one_under_way(leased, caplog, room):
    """What is under way is fetched first: only what does not fit into the whole memory is halved."""
    batches = Batches((device := Device(room)).start, 4)
    values = [value for first in range(0, 24, 4) for value in batches.put(list(range(first, first + 4)))]
    assert values + batches.rest() == [number**2 for number in range(24)]
    assert len(caplog.messages) == {1: 2, 2: 1, 3: 1}.get(room, 0)
    assert device.most <= room


def test_one_item_that_does_not_fit_with_one_under_way(leased):
    device = Device(1)
    batches = Batches(device.start, 1)
    assert batches.put([3]) == []
    assert batches.put([4]) == [9]
    device.room = 0
    with pytest.raises(SetupError, match="too small for a batch of one"):
        batches.put([5])


def test_a_batch_that_miscounts_is_found_once_it_is_fetched(leased):
    batches = Batches(lambda items: lambda: items[1:], 3)
    assert batches.put([1, 2, 3]) == []
    with pytest.raises(ValueError, match="^2 values for 3 items$"):
        batches.rest()
