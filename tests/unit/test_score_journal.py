"""What the loop that scores clips keeps: values as they were, and all but the last moments before a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from made_shards import Levels, thirty_clips

from clipmill.decode.reading import FrameChoice
from clipmill.scores import shard

SCRIPTS = Path(shard.__file__).resolve().parents[2]


@pytest.fixture
def films(tmp_path):
    return thirty_clips(tmp_path)


class Vectors(Levels):
    """Gives arrays and numpy's numbers."""

    def finish(self, values):
        vector = np.arange(4, dtype=np.float16) + values[0]
        return {"score": np.float32(0.1), "feature": vector.reshape(2, 2), "embeddings": [vector, vector[:0]]}


def test_arrays_come_back_as_they_were(films):
    first, second = (films.score(Vectors()) for _ in range(2))
    assert len(films.journal().splitlines()) == len(films.clips)
    for one, other in zip(first, second, strict=True):
        assert type(one["score"]) is float
        assert one["score"] == other["score"] == float(np.float32(0.1))
        arrays = ([row["feature"], *row["embeddings"]] for row in (one, other))
        for before, after in zip(*arrays, strict=True):
            assert (before.dtype, before.shape) == (after.dtype, after.shape)
            assert before.dtype == np.float16
            assert (before == after).all()


def test_what_is_finished_is_kept_when_a_bug_stops_the_job(films):
    class Buggy(Levels):
        def measure(self, units):
            if len(self.batches) == 5:
                raise KeyError("bug")
            return super().measure(units)

    before = threading.active_count()
    with pytest.raises(KeyError):
        films.score(Buggy(4), 3)
    assert threading.active_count() == before
    kept = len(films.journal().splitlines())
    assert kept > 0
    backend = Levels(4)
    wanted = films.score(Levels(), metric="whole")
    assert films.score(backend) == wanted
    assert sum(map(len, backend.batches)) == sum(len(row["levels"]) for row in wanted[kept:])


def test_a_backend_that_miscounts_is_found(films):
    class Short(Levels):
        def measure(self, units):
            return [1.0]

    with pytest.raises(ValueError, match="^1 values for 4 items$"):
        films.score(Short(4))


def test_results_are_synced_together(films, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(len(films.journal().splitlines())))
    monkeypatch.setattr(shard, "SYNC_SECONDS", 0.05)

    class Slow(Levels):
        def measure(self, units):
            time.sleep(0.01)
            return super().measure(units)

    films.score(Slow(1, FrameChoice(count=1)))
    assert synced[-1] == 30
    assert 3 <= len(synced) <= 10


def test_results_are_synced_while_a_file_keeps_all_waiting(films, monkeypatch):
    monkeypatch.setattr(shard, "SYNC_SECONDS", 0.05)
    found = []

    class Stuck(Levels):
        count = 0

        def prepare(self, frames):
            self.count += 1
            end = time.monotonic() + 20
            while self.count == 15 and len(films.journal().splitlines()) < 14 and time.monotonic() < end:
                time.sleep(0.01)
            found.append(len(films.journal().splitlines()))
            return super().prepare(frames)

    films.score(Stuck(1, FrameChoice(count=1)))
    assert found[14] == 14


KILLED = """
import json, sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from made_shards import Levels, score_shard
from clipmill.scores import shard
shard.SYNC_SECONDS = 0

class Slow(Levels):
    def measure(self, units):
        time.sleep(0.02)
        return super().measure(units)

    def finish(self, values):
        print("finished", flush=True)
        return super().finish(values)

folder = Path(sys.argv[1])
clips = json.loads((folder / "clips.json").read_text())
score_shard("test", Slow(3), clips, {clip["clip_id"] for clip in clips}, folder, "000000", 1.0, 2)
"""


@pytest.mark.slow
def test_a_kill_costs_what_was_not_synced(films):
    """Synced one by one here: so a kill costs a clip at most."""
    wanted = films.score(Levels(), metric="whole")
    (films.outdir / "clips.json").write_text(json.dumps(films.clips))
    command = [sys.executable, "-c", KILLED, films.outdir, SCRIPTS, Path(__file__).parent]
    kept = 0
    for clips in (4, 9):
        job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(clips):
            job.stdout.readline()
        job.kill()
        finished = kept + clips + job.communicate()[0].count("finished")
        kept = len(films.journal().splitlines())
        assert finished - 1 <= kept <= finished
    assert 11 <= kept < 30
    backend = Levels(3)
    assert films.score(backend, 2) == wanted
    assert sum(map(len, backend.batches)) == sum(len(row["levels"]) for row in wanted[kept:])
