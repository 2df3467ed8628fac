"""The network's windows, weights and journal, where it looks, and the transitions that follow from what it says."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from films import SETTINGS, Film, decoded, entry, grey, panned, standing, written
from whole import find_transitions, video_clips

from clipmill.base.errors import SetupError
from clipmill.decode.reading import read_miniatures
from clipmill.decode.shard import decode_settings, decode_shard
from clipmill.decode.video import MINIATURES
from clipmill.demo import render
from clipmill.shots import weights
from clipmill.shots.graph import Graph
from clipmill.shots.network import COLOURS, HEIGHT, REACH, STEP, WIDTH, WINDOW, _likeness, histograms
from clipmill.shots.shard import detect_shots
from clipmill.shots.transnetv2 import TransNetV2, on_the_cpu
from clipmill.shots.weights import find_weights, read_weights
from clipmill.shots.windows import MARGIN, step_count, suspicious_steps, window
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import read_shots
from clipmill.split.transnetv2 import GAP, Shots, network_transitions
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.tables import Clip
from default_config import CONFIG, SPLIT_SETTINGS

SHARD = "000000"

# --- miniatures -------------------------------------------------------------------------------------------------------


def colours(*parts: tuple[int, int, int]):
    """A picture of upright stripes of blue, green, red."""

    def frames(size, seconds, fps):
        stripes = [np.full((size[1], size[0] // len(parts), 3), part, np.uint8) for part in parts]
        return render.still(np.concatenate(stripes, 1), size, seconds, fps)

    return frames


def decoded_shard(folder: Path, paths: list[Path], extras: tuple[str, ...] = (MINIATURES,)) -> list:
    videos = [entry(path, f"v{number}") for number, path in enumerate(paths)]
    return decode_shard(videos, folder / "out", SHARD, SETTINGS, 1, 1.0, extras)[0]


def test_miniatures_are_small_pictures_of_all_frames(tmp_path):
    """Red at the left and blue at the right; one for each frame, and those that are asked for."""
    path = Film(colours((0, 0, 255), (255, 0, 0)), seconds=2).render(tmp_path / "a.mp4")
    (video,) = decoded_shard(tmp_path, [path])
    every = read_miniatures(tmp_path / "out", SHARD, "v0", range(video["frames"]))
    assert every.shape == (video["frames"], HEIGHT, WIDTH, 3)
    left, right = (every[7, :, columns].mean((0, 1)) for columns in (slice(2, 20), slice(28, 46)))
    assert left == pytest.approx([255, 0, 0], abs=6) and right == pytest.approx([0, 0, 255], abs=6)
    some = read_miniatures(tmp_path / "out", SHARD, "v0", [0, 5, 47])
    assert np.array_equal(some, every[[0, 5, 47]])


def test_nothing_else_depends_on_miniatures(tmp_path):
    """All other files have the same bytes, and the keys are the same; a video without miniatures is decoded again."""
    path = Film(panned(), seconds=1).render(tmp_path / "a.mp4")
    rows = decoded_shard(tmp_path, [path], ())
    before = written(tmp_path)
    assert not any("miniatures" in name for name in before)
    assert decoded_shard(tmp_path, [path]) == rows
    after = written(tmp_path)
    assert [name for name in after.keys() - before.keys() if "miniatures" not in name] == []
    assert len(after) == len(before) + 1 and all(after[name][1] == before[name][1] for name in before)
    for wanted in ((MINIATURES,), ()):
        assert decoded_shard(tmp_path, [path], wanted) == rows
    assert written(tmp_path) == after, "nothing is written again"


def test_the_settings_say_whether_miniatures_are_wanted():
    section = CONFIG["decode"]
    assert decode_settings(section) == (SETTINGS, set())
    assert decode_settings({**section, "miniatures": True}) == (SETTINGS, {MINIATURES})


# --- the weights ------------------------------------------------------------------------------------------------------


class Storage:
    """The numbers of a tensor, as torch's pickles refer to them."""

    def __init__(self, kind: str, numbers: np.ndarray):
        self.kind, self.numbers = kind, numbers


class Tensor:
    """Pickled as torch pickles a tensor: by the name of a function."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


@pytest.fixture
def torch_names(monkeypatch) -> None:
    """Modules with the names that torch's pickles name, and nothing behind them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, name in ((utils, "_rebuild_tensor_v2"), (torch, "FloatStorage"), (torch, "LongStorage")):

        def nothing():
            raise AssertionError("the unpickler has called what the file names")

        nothing.__name__ = nothing.__qualname__ = name
        nothing.__module__ = module.__name__
        setattr(module, name, nothing)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def torch_file(path: Path, content: object) -> Path:
    """A file as torch.save writes it."""
    found: list[np.ndarray] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            found.append(value.numbers)
            kind = getattr(sys.modules["torch"], value.kind)
            return "storage", kind, str(len(found) - 1), "cpu", value.numbers.size

    stream = io.BytesIO()
    Pickler(stream, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", stream.getvalue())
        for number, numbers in enumerate(found):
            archive.writestr(f"made/data/{number}", numbers.tobytes())
    return path


def test_tensors_are_read_without_torch(tmp_path, torch_names):
    numbers = np.arange(12, dtype="<f4")
    content = OrderedDict(
        whole=Tensor(Storage("FloatStorage", numbers), 0, (3, 4), (4, 1)),
        part=Tensor(Storage("FloatStorage", numbers), 4, (2, 1, 2), (2, 7, 1)),
        count=Tensor(Storage("LongStorage", np.array([5], "<i8")), 0, (), ()),
    )
    found = read_weights(torch_file(tmp_path / "w.pth", content))
    assert np.array_equal(found["whole"], numbers.reshape(3, 4)) and found["whole"].dtype == np.float32
    assert np.array_equal(found["part"], numbers[4:8].reshape(2, 1, 2))
    assert found["count"].shape == () and found["count"] == 5


class Evil:
    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


class Getattr:
    """Reaches further from a name that is known."""

    def __reduce__(self):
        return getattr, (OrderedDict, "fromkeys")


@pytest.mark.parametrize("thing", [Evil(), Getattr(), np.float64(3), Path("x")], ids=lambda thing: type(thing).__name__)
def test_a_file_with_anything_but_tensors_is_refused_unrun(tmp_path, monkeypatch, torch_names, thing):
    monkeypatch.chdir(tmp_path)
    path = torch_file(tmp_path / "w.pth", OrderedDict(a=thing))
    with pytest.raises(SetupError, match="refused, it holds more than tensors .*; nothing of it was run"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_is_an_error_of_one_line(tmp_path, torch_names):
    transposed = Tensor(Storage("FloatStorage", np.zeros(6, "<f4")), 0, (2, 3), (1, 2))
    short = Tensor(Storage("FloatStorage", np.zeros(6, "<f4")), 4, (2, 3), (3, 1))
    whole = torch_file(tmp_path / "whole.pth", OrderedDict()).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[:-30])
    for path in (
        torch_file(tmp_path / "a.pth", OrderedDict(a=transposed)),
        torch_file(tmp_path / "b.pth", OrderedDict(a=short)),
        tmp_path / "cut.pth",
    ):
        with pytest.raises(SetupError, match=r"no weights, or damaged ones \(\w+\); run `make transnetv2`"):
            read_weights(path)


def test_missing_weights_say_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "INSTALLED", tmp_path / "w.pth")
    with pytest.raises(SetupError, match="w.pth: the weights of TransNetV2 are not there; run `make transnetv2`"):
        find_weights(None)
    with pytest.raises(SetupError, match="there is no such file"):
        find_weights(str(tmp_path / "mine.pth"))


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"other")
    with pytest.raises(SetupError, match="w.pth: its sha256 is .*, not a313d0b3"):
        TransNetV2(weights=str(path)).checkpoints()


# --- the graph --------------------------------------------------------------------------------------------------------


def test_a_frame_is_compared_to_those_around_it():
    """The skewed square of all pairs against a loop over them: rows before the first frame and after the last are 0."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, WINDOW, 8)).astype(np.float32)
    matrix, bias = rng.normal(size=(5, 2 * REACH + 1)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    graph = Graph({"vectors": ("float32", (None, WINDOW, 8))}, ("out",))
    graph.finish(out=_likeness(graph, "vectors", "fc", {"fc.weight": matrix, "fc.bias": bias}))
    (found,) = on_the_cpu(graph)({"vectors": vectors})
    for frame in (0, 1, 49, 50, 98, 99):
        band = np.zeros((2, 2 * REACH + 1), np.float32)
        for place in range(2 * REACH + 1):
            if 0 <= (other := frame + place - REACH) < WINDOW:
                band[:, place] = (vectors[:, frame] * vectors[:, other]).sum(1)
        assert found[:, frame] == pytest.approx(np.maximum(band @ matrix.T + bias, 0), abs=1e-4)


def test_histograms_count_levels_of_colours():
    pictures = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    pictures[1, :, : WIDTH // 2] = (255, 31, 32)  # the last level of red, the first of green, the second of blue
    found = histograms(pictures)
    assert found.shape == (2, COLOURS) and np.linalg.norm(found, axis=1) == pytest.approx([1, 1])
    assert np.flatnonzero(found[0]).tolist() == [0]
    assert np.flatnonzero(found[1]).tolist() == [0, 7 * 64 + 0 * 8 + 1]
    assert found[1, 0] == found[1, 7 * 64 + 1]


# --- windows ----------------------------------------------------------------------------------------------------------


def test_steps_cover_each_frame_once():
    for frames in (1, 49, 50, 51, 130):
        decided = [frame for step in range(step_count(frames)) for frame in window(step, frames)[25:75]]
        assert len(window(0, frames)) == WINDOW
        assert decided[:frames] == list(range(frames)) and set(decided[frames:]) <= {frames - 1}
    assert window(0, 200)[:26].tolist() == [0] * 26
    assert window(1, 200).tolist() == list(range(25, 125))


def signals_of(*parts: tuple[int, np.ndarray | int], content: dict[int, float] | None = None) -> pa.Table:
    """Signals of frames whose thumbnails are those of `parts`: number of frames, levels of the 64 cells."""
    thumbnails: list[bytes] = []
    for count, cells in parts:
        thumbnails += [np.broadcast_to(np.asarray(cells, np.uint8), 64).tobytes()] * count
    values = np.ones(len(thumbnails), np.float32)
    for frame, value in (content or {}).items():
        values[frame] = value
    return pa.table({"content": values, "thumbnail": pa.array(thumbnails, pa.binary(64))})


def test_flat_signals_are_not_suspicious():
    assert suspicious_steps(signals_of((500, 90))) == []
    assert suspicious_steps(signals_of((1, 90))) == []


def test_a_thing_that_covers_less_than_half_is_not_suspicious():
    seen = np.where(np.arange(64) < 30, 200, 90)
    assert suspicious_steps(signals_of((200, 90), (100, seen), (200, 90))) == []
    covered = np.where(np.arange(64) < 34, 200, 90)
    assert suspicious_steps(signals_of((225, 90), (100, covered), (225, 90))) == [4, 6]


def test_a_jump_of_the_content_is_suspicious_where_it_is_one():
    assert suspicious_steps(signals_of((500, 90), content={225: 6})) == [4]
    assert suspicious_steps(signals_of((500, 90), content={225: 4.5})) == []
    busy = dict.fromkeys(range(200, 300), 20.0)
    assert 4 not in suspicious_steps(signals_of((500, 90), content={**busy, 230: 37.5}))
    assert 4 in suspicious_steps(signals_of((500, 90), content={**busy, 230: 38.5}))


def test_a_transition_at_the_edge_of_a_step_makes_both_suspicious():
    assert suspicious_steps(signals_of((500, 90), content={250 - MARGIN: 50})) == [4, 5]
    assert suspicious_steps(signals_of((500, 90), content={249 - MARGIN: 50})) == [4]


@pytest.mark.parametrize("frames", [8, 30, 60])
def test_a_gradual_transition_is_suspicious(frames):
    """To a picture whose cells differ by 40 levels, without any jump."""
    steps = [(1, 90 + round(40 * share)) for share in np.linspace(0, 1, frames)]
    wanted = {(300 - 4) // STEP, (300 + frames + 4) // STEP}
    found = suspicious_steps(signals_of((300, 90), *steps, (300, 130)))
    assert wanted & set(found) and len(found) <= 3


# --- a shard ----------------------------------------------------------------------------------------------------------


class Counted:
    """A detector that says of each frame how bright it is, and counts what it is asked.

    `light`: only of light frames; else the values are so small that no transition goes on.
    """

    everywhere, at_once = True, 2

    def __init__(self, stop_after: int | None = None, light: bool = False):
        self.about, self.asked, self.stop_after = {"backend": "counted", "light": light}, 0, stop_after
        self.light = light

    def look(self, windows):
        if self.stop_after is not None and self.asked + len(windows) > self.stop_after:
            raise KeyboardInterrupt
        self.asked += len(windows)
        assert all(one.shape == (WINDOW, HEIGHT, WIDTH, 3) for one in windows)
        bright = [one[25:75].mean((1, 2, 3)) / 255 for one in windows]
        bright = [np.where(values > 0.5, values, 0) if self.light else values / 10 for values in bright]
        return [np.stack([values, values / 3]).astype(np.float32) for values in bright]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, list]:
    """A folder with a decoded shard: a video of 130 frames, half dark and half light, a broken one, and one of 20."""
    folder = tmp_path_factory.mktemp("shots")

    def halves(size, seconds, fps):
        return chain(*(standing(grey(level))(size, seconds / 2, fps) for level in (51, 204)))

    paths = [folder / name for name in ("a.mp4", "broken.mp4", "c.mp4")]
    Film(halves, seconds=130 / 25, fps=25).render(paths[0])
    paths[1].write_bytes(b"no video")
    Film(standing(grey(204)), seconds=20 / 25, fps=25).render(paths[2])
    path = folder / "out" / "videos.parquet"
    tables.VIDEOS.write(path, decoded_shard(folder, paths))
    return folder, tables.VIDEOS.rows(path)


def found_by(detector, place: tuple[Path, list]) -> pa.Table:
    folder, videos = place
    return pa.concat_tables(detect_shots(videos, detector, folder / "out", SHARD))


@pytest.fixture
def no_journal(place) -> None:
    Paths(place[0] / "out").journal("shots", SHARD).unlink(missing_ok=True)


def test_each_frame_of_each_video_gets_its_values(place, no_journal):
    rows = found_by(detector := Counted(), place).to_pylist()
    assert [row["video_id"] for row in rows] == ["v0", "v2"] and detector.asked == 3 + 1
    assert [len(row[name]) for row in rows for name in ("single", "many")] == [130, 130, 20, 20]
    assert rows[0]["single"] == pytest.approx([0.02] * 65 + [0.08] * 65, abs=0.001)
    assert rows[1]["many"] == pytest.approx([0.08 / 3] * 20, abs=0.001)


def test_frames_that_were_not_looked_at_are_missing(place, no_journal, tmp_path):
    detector = Counted()
    detector.everywhere = False
    found = found_by(detector, place)
    rows = found.to_pylist()
    assert [value is None for value in rows[0]["single"]] == [True] * 50 + [False] * 50 + [True] * 30
    assert rows[1]["many"] == [None] * 20 and detector.asked == 1
    tables.SHOTS.write_parts(tmp_path / "shots.parquet", [found])
    single, many = read_shots(tmp_path / "shots.parquet")["v0"]
    assert np.isnan(single[:50]).all() and single[50:100] == pytest.approx([0.02] * 15 + [0.08] * 35, abs=0.001)
    assert np.isnan(many[100:]).all() and len(many) == 130


def test_a_stopped_job_goes_on_where_it_was(place, no_journal):
    whole = found_by(Counted(), place)
    Paths(place[0] / "out").journal("shots", SHARD).unlink()
    with pytest.raises(KeyboardInterrupt):
        found_by(Counted(stop_after=2), place)
    assert found_by(detector := Counted(), place).equals(whole) and detector.asked == 2
    assert found_by(again := Counted(), place).equals(whole) and again.asked == 0
    other = Counted()
    other.about = {"backend": "other"}
    found_by(other, place)
    assert other.asked == 4, "values of another network do not count"


def test_a_transition_is_followed_into_the_next_step(place, no_journal):
    """The middle step alone is suspicious, and its last frames are light: so the third is looked at too."""
    detector = Counted(light=True)
    detector.everywhere = False
    rows = found_by(detector, place).to_pylist()
    assert [value is None for value in rows[0]["single"]] == [True] * 50 + [False] * 80
    assert detector.asked == 2
    assert found_by(again := Counted(light=True), place).to_pylist()[0]["single"][50:] == rows[0]["single"][50:]
    assert again.asked == 1 + 1, "those that were looked at are in the journal"


def test_a_missing_file_of_miniatures_is_named(place, no_journal, tmp_path):
    folder, videos = place
    path = Paths(folder / "out").miniatures(SHARD, "v0")
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    try:
        with pytest.raises(SetupError, match="v0.parquet: damaged; run the same command again"):
            found_by(Counted(), (folder, videos))
    finally:
        path.write_bytes(data)


# --- transitions ------------------------------------------------------------------------------------------------------


def said(length: int, single: dict[int, float], many: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    both = np.full((2, length), 0.01, np.float32)
    for row, values in zip(both, (single, many), strict=True):
        for frame, value in values.items():
            row[frame] = value
    return both[0], both[1]


def test_a_cut_is_at_the_frame_after_the_one_that_is_reported():
    (found,) = network_transitions(*said(100, {49: 0.9}, {49: 0.8}), 0.4)
    assert found == (50, 50, "cut", pytest.approx(0.9))
    (found,) = network_transitions(*said(100, {49: 0.5, 50: 0.7}, {48: 0.5, 49: 0.8, 50: 0.5}), 0.4)
    assert found[:3] == (51, 51, "cut")


def test_the_interval_of_a_gradual_transition_is_left_out():
    (found,) = network_transitions(*said(100, {40: 0.6, 41: 0.7}, dict.fromkeys(range(30, 52), 0.8)), 0.4)
    assert found == (30, 52, "gradual", pytest.approx(0.7))


def test_an_interval_without_a_middle_is_none():
    assert network_transitions(*said(100, {40: 0.3}, dict.fromkeys(range(30, 52), 0.8)), 0.4) == []


def test_small_gaps_do_not_divide_a_transition():
    parts = dict.fromkeys((*range(30, 38), *range(38 + GAP, 50)), 0.8)
    assert [one[:2] for one in network_transitions(*said(100, {33: 0.6, 45: 0.6}, parts), 0.4)] == [(30, 50)]
    parts = dict.fromkeys((*range(30, 38), *range(39 + GAP, 50)), 0.8)
    assert len(network_transitions(*said(100, {33: 0.6, 45: 0.6}, parts), 0.4)) == 2


def test_the_threshold_decides():
    values = said(100, {49: 0.5}, {49: 0.5})
    assert network_transitions(*values, 0.6) == [] and len(network_transitions(*values, 0.4)) == 1


def test_where_nobody_looked_there_is_no_transition():
    single, many = said(100, {49: 0.9, 80: 0.9}, {49: 0.9, 80: 0.9})
    single[:60] = many[:60] = np.nan
    assert [one.start for one in network_transitions(single, many, 0.4)] == [81]
    nothing = np.full(100, np.nan, np.float32)
    assert network_transitions(nothing, nothing, 0.4) == []


def test_the_last_frame_begins_no_scene():
    assert network_transitions(*said(100, {99: 0.9}, {99: 0.9}), 0.4) == []


def test_clips_leave_a_transition_out(tmp_path):
    """A dissolve belongs to no clip; a video that begins with a transition has no scene before it."""
    film = decoded(Film(panned(), seconds=8, fps=25).render(tmp_path / "a.mp4"))
    settings = SplitSettings(**{**SPLIT_SETTINGS, "detector": "transnetv2", "min_seconds": 1})
    parts = dict.fromkeys((*range(0, 10), *range(90, 110)), 0.8)

    def clips_of(settings: SplitSettings, shots: Shots) -> list[Clip]:
        found = find_transitions(film.signals, 25, settings, shots)
        return video_clips(film.row, film.signals, found, settings)

    clips = clips_of(settings, said(200, {4: 0.9, 100: 0.9}, parts))
    assert [(clip["start_frame"], clip["end_frame"], clip["scene"]) for clip in clips] == [(12, 88, 0), (112, 200, 1)]
    settings = replace(settings, transnetv2={"threshold": 0.95})
    missed = clips_of(settings, said(200, {100: 0.9}, parts))
    assert [(clip["start_frame"], clip["end_frame"]) for clip in missed] == [(0, 200)]
