"""A GPU's memory that runs full: batches are halved, and no value is lost."""

from __future__ import annotations

import pytest

from clipmill import gpu
from clipmill.errors import SetupError


class Narrow:
    """Squares numbers, as long as there are at most `room` of them."""

    def __init__(self, room: int):
        self.room, self.sizes = room, []

    def squares(self, numbers: list[int]) -> list[int]:
        import torch

        self.sizes.append(len(numbers))
        if len(numbers) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return [number * number for number in numbers]


@pytest.mark.parametrize("room", [1, 3, 5, 8, 100])
@pytest.mark.parametrize("count", [0, 1, 7, 16, 29])
def test_batches_that_are_too_large_are_halved(caplog, room, count):
    narrow = Narrow(room)
    assert gpu.in_batches(narrow.squares, list(range(count)), 16) == [number**2 for number in range(count)]
    too_large = [size for size in narrow.sizes if size > room]
    assert len(too_large) <= 4
    assert caplog.messages == [
        f"the GPU's memory is too small for a batch of {size}; tried again by {size // 2}" for size in too_large
    ]


def test_a_batch_size_that_fits_is_remembered(caplog):
    narrow = Narrow(5)
    for first in (0, 16):
        gpu.in_batches(narrow.squares, list(range(first, first + 16)), 16)
    assert narrow.sizes == [16, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert len(caplog.messages) == 2
    other = Narrow(100)
    gpu.in_batches(other.squares, list(range(16)), 16)
    assert other.sizes == [16]


def test_a_batch_of_one_that_is_too_large():
    with pytest.raises(
        SetupError, match="^the GPU's memory is too small for a batch of one; take a larger GPU, or set"
    ):
        gpu.in_batches(Narrow(0).squares, [1, 2, 3], 2)


def test_memory_is_given_back_before_the_next_try(monkeypatch):
    """When the cache is emptied, nothing of the call that failed may be held any more."""
    import torch

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
    assert gpu.in_batches(measure, [1, 2, 3, 4], 4) == [1, 2, 3, 4]
    assert emptied == [0, 0]


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="illegal"):
        gpu.in_batches(lambda items: (_ for _ in ()).throw(RuntimeError("illegal memory access")), [1], 1)
    with pytest.raises(ValueError, match="^1 values for 2 items$"):
        gpu.in_batches(lambda items: items[:1], [1, 2], 2)
