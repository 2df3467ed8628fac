"""Threads that read ahead: in order, never far ahead, and gone when they are not wanted."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from made_shards import Levels, Shard, thirty_clips

from clipmill.base import readers
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.readers import Readers, size_of
from clipmill.decode.reading import FrameChoice


@pytest.fixture
def films(tmp_path):
    return thirty_clips(tmp_path)


class Ahead(Levels):
    """Counts units that wait to be measured: before it measures any it waits for there to be `enough`."""

    def __init__(self, enough: int, patience: float):
        super().__init__(4, FrameChoice())
        self.enough, self.patience = enough, patience
        self.waiting = self.most = 0
        self.changed = threading.Condition()

    def prepare(self, frames):
        with self.changed:
            self.waiting += len(frames)
            self.most = max(self.most, self.waiting)
            self.changed.notify_all()
        return [np.zeros(1000, np.uint8) for _ in frames]

    def measure(self, units):
        with self.changed:
            self.changed.wait_for(lambda: self.most >= self.enough, self.patience)
            self.patience = 0
            self.waiting -= len(units)
        time.sleep(0.002)
        return [0.0] * len(units)


@pytest.mark.parametrize("limit", [{"MOST_UNITS": 20}, {"MOST_BYTES": 20_000}, {}])
@pytest.mark.parametrize("threads", [1, 3])
def test_little_waits(films, monkeypatch, limit, threads):
    for name, value in limit.items():
        monkeypatch.setattr(readers, name, value)
    longest = 9
    # In the queue; a clip that each thread has made; what is left of a batch, and the clip that was added to it.
    most = 20 + threads * longest + 3 + longest
    backend = Ahead(enough=most + 1, patience=0.5 if limit else 30)
    films.score(backend, threads)
    assert (backend.most <= most) == bool(limit)
    assert backend.waiting == 0


def test_a_clip_larger_than_the_limit_goes_through(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MOST_UNITS", 2)
    monkeypatch.setattr(readers, "MOST_BYTES", 10)
    films = Shard(tmp_path, [[9, 1, 9], [30, 9]])
    assert [len(row["levels"]) for row in films.score(Levels(4, FrameChoice()), 4)] == [9, 1, 9, 30, 9]


def results(reader: Readers, count: int) -> list:
    return [reader.take(timeout=30) for _ in range(count)]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_results_come_in_order_however_long_each_takes(monkeypatch, threads, count):
    monkeypatch.setattr(readers, "MOST_UNITS", 10)
    names = set()

    @contextmanager
    def work():
        chance = random.Random(threading.current_thread().name)

        def slowly(item):
            names.add(threading.current_thread().name)
            time.sleep(chance.choice((0, 0, 0.002)))
            return ItemError("bad", "no") if item % 10 == 3 else [item] * 3

        yield slowly

    with Readers(list(range(count)), work, threads) as reader:
        found = results(reader, count)
    assert [number if isinstance(result, ItemError) else result[0] for number, result in enumerate(found)] == list(
        range(count)
    )
    assert [number for number, result in enumerate(found) if isinstance(result, ItemError)] == list(range(3, count, 10))
    if count == 100:
        assert len(names) == threads


def test_nothing_yet_is_none():
    gate = threading.Event()

    @contextmanager
    def work():
        yield lambda item: gate.wait() and [item]

    with Readers([1], work, 1) as reader:
        assert reader.take(timeout=0.01) is None
        gate.set()
        assert reader.take(timeout=30) == [1]


@pytest.mark.parametrize("where", ["start", "work"])
def test_an_error_in_a_thread_is_raised_where_results_are_taken(where):
    @contextmanager
    def work():
        if where == "start":
            raise SetupError("no model")
        yield lambda item: [item] if item < 20 else 1 / 0

    before = threading.active_count()
    with pytest.raises((SetupError, ZeroDivisionError)), Readers(list(range(100)), work, 3) as reader:
        results(reader, 100)
    assert threading.active_count() == before


def test_threads_end_when_the_caller_gives_up(monkeypatch):
    monkeypatch.setattr(readers, "MOST_UNITS", 10)
    closed = []

    @contextmanager
    def work():
        try:
            yield lambda item: [item] * 3
        finally:
            closed.append(1)

    before = threading.active_count()
    with pytest.raises(KeyError), Readers(list(range(1000)), work, 4) as reader:
        results(reader, 5)
        raise KeyError
    assert threading.active_count() == before
    assert len(closed) == 4


def test_sizes():
    array = np.zeros((4, 5), np.float32)
    assert size_of([array, {"a": (array, 1), "b": "text"}, None, 1.5]) == 160
