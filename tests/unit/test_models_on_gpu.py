"""Every model backend on a GPU that is pretended: the values of the CPU, work that overlaps, memory that runs full."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from made_shards import Levels, Shard, thirty_clips
from pretended import pretended_gpu

from clipmill import checks
from clipmill.alignment.shard import text_features
from clipmill.base.errors import SetupError
from clipmill.base.readers import size_of
from clipmill.models import gpu
from clipmill.scores.aesthetic.classic import Classic
from clipmill.scores.consistency.histogram import Histogram
from clipmill.scores.text.rapidocr import RapidOcr
from model_backends import MODELS, paths

EMBEDDED = {"rapidocr": lambda: RapidOcr(2), "classic": lambda: Classic(2), "histogram": Histogram}
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def at(tmp_path_factory) -> Callable[[str], str]:
    return paths(tmp_path_factory.mktemp("models"))


@pytest.fixture
def films(tmp_path) -> Shard:
    return Shard(tmp_path, [[4, 5], [3], [6, 2]], size=64)


@pytest.fixture
def a_gpu(monkeypatch, tmp_path):
    """Enters a pretended GPU."""
    return lambda: pretended_gpu(monkeypatch, tmp_path)


def plain(rows: list[dict[str, Any]]) -> list[Any]:
    """Rows in which arrays can be compared."""
    return [{name: np.asarray(value).tolist() for name, value in row.items()} for row in rows]


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*EMBEDDED, *MODELS])
def test_what_waits_for_a_backend_is_counted(at, name):
    """All that `prepare` gives but small change: what pickle makes of it is as large."""
    backend = EMBEDDED[name]() if name in EMBEDDED else MODELS[name](at, "fp32")
    units = backend.prepare(list(np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)))
    assert size_of(units) == pytest.approx(len(pickle.dumps(units)), abs=900)


def test_what_cannot_be_counted_stops_the_job(films):
    class Odd(Levels):
        def prepare(self, frames):
            return [np.zeros(3), object()]

    with pytest.raises(TypeError, match="^how large is a object"):
        films.score(Odd())


# --- work that overlaps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_values_are_those_of_the_cpu(at, films, a_gpu, name, dtype):
    cpu = MODELS[name](at, dtype)
    cpu.batch = 2
    wanted = plain(films.score(cpu, metric="cpu"))
    assert not any("error" in row for row in wanted)
    with a_gpu() as device:
        backend = MODELS[name](at, dtype)
        backend.batch = 2
        assert plain(films.score(backend, 2, metric="gpu")) == wanted
    back = [told for told in device.told if told != "to device"]
    assert device.told.count("to device") == len(back)  # of each batch the units, and what they are normalised by
    # Each batch is begun before the one before it is waited for, and none is left at the end.
    assert back[:3] == ["to host", "to host", "waits"]
    assert back[-2:] == ["waits", "waits"]
    assert back.count("to host") == back.count("waits") > 2


@pytest.mark.parametrize("name", MODELS)
def test_on_the_cpu_a_batch_is_waited_for_at_once(at, films, monkeypatch, name):
    """It may take minutes there: what is finished is to be kept."""
    backend, order = MODELS[name](at, "fp32"), []
    backend.batch = 2
    start = backend.start

    def noted(units):
        order.append("start")
        fetch = start(units)
        return lambda: order.append("fetch") or fetch()

    monkeypatch.setattr(backend, "start", noted)
    films.score(backend)
    assert order == ["start", "fetch"] * (len(order) // 2)


@pytest.mark.parametrize("name", ["videoclip-xl", "alignment-clip"])
def test_features_of_texts_are_those_of_the_cpu(at, a_gpu, tmp_path, name):
    texts = {"a red car", "two dogs", "the sea and the sun"}
    wanted = text_features(MODELS[name](at, "fp32"), texts, tmp_path / "cpu", "000000")
    with a_gpu():
        found = text_features(MODELS[name](at, "fp32"), texts, tmp_path / "gpu", "000000")
    assert all((found[text] == wanted[text]).all() for text in texts)


def test_batches_are_larger_on_a_gpu(at, a_gpu):
    sizes = {name: MODELS[name](at, "auto").batch for name in MODELS}
    assert sizes == {**dict.fromkeys(MODELS, 32), "easyocr": 16, "videoclip-xl": 4}
    with a_gpu():
        sizes = {name: MODELS[name](at, "auto").batch for name in MODELS}
    assert sizes == {**dict.fromkeys(MODELS, 128), "easyocr": 16, "videoclip-xl": 16}


@pytest.mark.parametrize("name", MODELS)
def test_values_of_two_devices_do_not_mix(at, films, a_gpu, name):
    """`auto` is fp32 here and bf16 there: what the journal has of the one is not taken for the other."""
    here = MODELS[name](at, "auto").about
    assert here == MODELS[name](at, "fp32").about
    films.score(MODELS[name](at, "auto"))
    lines = len(films.journal().splitlines())
    with a_gpu():
        assert MODELS[name](at, "auto").about == {**here, "dtype": "bf16"}
        films.score(MODELS[name](at, "auto"))
        assert len(films.journal().splitlines()) == 2 * lines
        films.score(MODELS[name](at, "bf16"))
    films.score(MODELS[name](at, "fp32"))
    assert len(films.journal().splitlines()) == 2 * lines


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_does_not_fit_is_named_and_loaded_once(at, films, a_gpu, name):
    with a_gpu() as device:
        tries = []

        def full(module, *_, **options):
            tries.append(module)
            raise FULL

        device.patch.setattr(torch.nn.Module, "to", full)
        backend = MODELS[name](at, "auto")
        with pytest.raises(SetupError) as caught:
            films.score(backend)
        model = backend.checkpoints()[0].model
        assert str(caught.value) == (
            f"{model} does not fit into the GPU's memory, of which 2.0 GiB were free; end what else uses it "
            "(nvidia-smi lists that), take a larger GPU, or set resources.<step>.gpu: 0 to run on the CPU"
        )
        assert len(tries) == 1
        with pytest.raises(SetupError, match="does not fit into the GPU's memory"):
            checks.check_backend("text", name, MODELS[name](at, "auto"))
        assert len(tries) == 2


def test_a_gpu_too_full_to_begin_with(at, films, a_gpu):
    with a_gpu() as device:

        def full():
            raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")

        device.patch.setattr(torch.cuda, "mem_get_info", full)
        with pytest.raises(SetupError, match="dinov2 does not fit into the GPU's memory, of which 0.0 GiB were free"):
            films.score(MODELS["dinov2"](at, "auto"))


@pytest.mark.parametrize("name", MODELS)
def test_a_memory_that_is_too_small_for_a_batch_costs_no_value(at, tmp_path, a_gpu, monkeypatch, name):
    films = thirty_clips(tmp_path)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    cpu = MODELS[name](at, "fp32")
    cpu.batch = 2
    wanted = plain(films.score(cpu, metric="cpu"))
    with a_gpu() as device:
        backend, sizes = MODELS[name](at, "fp32"), []
        backend.batch = 8
        on_device = gpu.on_device

        def narrow(arrays):
            if arrays[0].dtype == np.uint8:
                sizes.append(len(arrays))
            if len(arrays) > 3:
                raise FULL
            return on_device(arrays)

        device.patch.setattr(gpu, "on_device", narrow)
        assert plain(films.score(backend, metric="gpu")) == wanted
    assert sizes[:3] == [8, 4, 2] and max(sizes[2:]) == 2


def test_a_check_tells_of_a_full_memory_in_one_line(at, a_gpu, monkeypatch):
    message = "^the GPU's memory is too small for a batch of one; take a larger GPU, or set"
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    for method in ("embed", "measure_texts"):
        with a_gpu() as device:
            backend = MODELS["alignment-clip"](at, "auto")

            def full(*_):
                raise FULL

            device.patch.setattr(backend, method, full)
            with pytest.raises(SetupError, match=message):
                checks.check_backend("alignment", "clip", backend)
