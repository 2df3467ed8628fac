"""Backends of the steps: what each is made with, how it is tried before the work, and the device that it runs on."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipmill import checks, cli
from clipmill.base.errors import ItemError, SetupError
from clipmill.models import backends, leases
from clipmill.scores import Backend
from default_config import CONFIG

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ROOT / "config" / "prompts"
EACH = [(step, name) for step, known in backends.AVAILABLE.items() for name in known]
# EACH for tests: models can be made only where their packages are installed.
MARKED = [pytest.param(*one, marks=[pytest.mark.torch] * bool(backends.entry(*one).gpus)) for one in EACH]
EMBEDDED = [(step, name) for step, name in EACH if not backends.entry(step, name).gpus and name != "openai"]
HERE = [(step, name) for step, name in EACH if name != "vllm"]  # vLLM has an environment, and tests, of its own


def default_settings(step: str, name: str) -> dict[str, Any]:
    """Of a backend, with the config's defaults."""
    return backends.settings(step, {**CONFIG[step], "backend": name}, PROMPTS)


def default_means(step: str, name: str) -> dict[str, Any]:
    """What else it is made with, and changes no result."""
    return backends.runtime_settings(step, {**CONFIG[step], "backend": name})


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "name"), MARKED)
def test_settings_are_the_arguments_of_the_backend(step, name):
    """Each key of the config that concerns it, and no other; where both have a default it is the same."""
    made_with = default_settings(step, name) | default_means(step, name)
    assert made_with.pop("backend") == name
    entry = backends.entry(step, name)
    if entry.target is None:
        assert made_with == {}
        return
    arguments: dict[str, inspect.Parameter] = {}
    for target in filter(None, (entry.target, entry.chat)):
        module, _, cls = target.partition(":")
        arguments |= inspect.signature(getattr(importlib.import_module(module), cls)).parameters
    arguments.pop("chat_model", None)
    arguments.pop("judge", None)  # of a captioner that answers questions too
    arguments.pop("audio", None)  # of a captioner that hears
    assert made_with.keys() == arguments.keys()
    for key, argument in arguments.items():
        assert argument.kind == argument.POSITIONAL_OR_KEYWORD
        assert argument.default in (argument.empty, made_with[key]), key
    assert json.loads(json.dumps(made_with)) == made_with


@pytest.mark.parametrize(("step", "name"), MARKED)
def test_backends_are_made_without_any_file(step, name):
    made_with = default_settings(step, name)
    backend = backends.load(step, made_with, default_means(step, name))
    assert (backend is None) == (name == "none")
    assert made_with["backend"] == name  # what was given is left as it was


def test_settings_are_those_of_the_chosen_backend_alone():
    section = {"backend": "clip", "keep_embeddings": True, "clip": {"model": "a", "dtype": "fp32"}, "dinov2": {"b": 1}}
    assert backends.settings("consistency", section, PROMPTS) == {
        "backend": "clip",
        "keep_embeddings": True,
        "model": "a",
        "dtype": "fp32",
    }
    assert backends.settings("consistency", {**section, "backend": "histogram"}, PROMPTS) == {"backend": "histogram"}


@pytest.mark.parametrize(("step", "name"), MARKED)
def test_models_have_an_environment_of_their_own_and_a_gpu(step, name):
    entry = backends.entry(step, name)
    assert (ROOT / "envs" / f"{entry.environment}.yaml").is_file()
    assert (entry.gpus, entry.environment == "video") in {(0, True), (1, False)}
    assert (entry.memory >= 12000) == (entry.gpus == 1)


UNKNOWN = [
    ("text", "tesseract", "text.backend: `tesseract` is not known; choose from: rapidocr, easyocr"),
    ("consistency", "laion", "consistency.backend: `laion` is not known; choose from: histogram, clip, dinov2"),
    ("caption", "vlm", "caption.backend: `vlm` is not known; choose from: describe, given, vllm, openai, transformers"),
]


@pytest.mark.parametrize(("step", "name", "message"), UNKNOWN)
def test_unknown_backends_are_refused_in_one_line(step, name, message):
    assert backends.problem(step, name) == message
    for refusing in (
        lambda: backends.entry(step, name),
        lambda: backends.settings(step, {"backend": name}, PROMPTS),
        lambda: backends.load(step, {"backend": name}),
    ):
        with pytest.raises(SetupError) as caught:
            refusing()
        assert str(caught.value) == message


def test_there_is_no_problem_with_the_others():
    assert [backends.problem(step, name) for step, name in EACH] == [None] * len(EACH)


# --- packages that are not there --------------------------------------------------------------------------------------

# Runs a tool as if packages were not installed.
WITHOUT = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

blocked = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def check_without(packages: str, step: str, settings: dict[str, Any], output: Path) -> subprocess.CompletedProcess:
    tool = [ROOT / "scripts" / "check.py", "--settings", json.dumps({step: settings}), "--outputs", output]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-c", WITHOUT, packages, *tool]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.torch
@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_package_that_is_not_installed_is_one_line(tmp_path, package):
    """torch is missed when the backend is imported, transformers when it loads its model."""
    from checkpoints import make_laion_head  # needs torch

    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"not looked at")
    (folder / "preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}, "do_center_crop": true, '
        '"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )
    settings = default_settings("aesthetic", "laion") | {"model": str(folder), "head": str(make_laion_head(tmp_path))}
    done = check_without(package, "aesthetic", settings, tmp_path / "aesthetic.json")
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        f"ERROR aesthetic, backend laion: the package `{package}` is not installed; run `make models`, "
        "or use --sdm conda"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "aesthetic.json").exists()


@pytest.mark.slow
def test_embedded_backends_need_none_of_the_models_packages(tmp_path):
    done = check_without(
        "torch,transformers,easyocr,huggingface_hub",
        "text",
        default_settings("text", "rapidocr"),
        tmp_path / "text.json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "text.json").read_text())["backend"] == "rapidocr"


@pytest.mark.slow
def test_faults_of_several_steps_are_reported_together(tmp_path):
    steps = ("text", "consistency", "caption")
    settings = {"text": {"backend": "abc"}, "consistency": {"backend": "histogram"}, "caption": {"backend": "xyz"}}
    tool = [ROOT / "scripts" / "check.py", "--settings", json.dumps(settings), "--outputs"]
    tool += [tmp_path / f"{step}.json" for step in steps]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, *tool], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    lines = [line.split(" ERROR ")[1] for line in done.stderr.splitlines()]
    assert [line.partition(": ")[0] for line in lines] == ["text, backend abc", "caption, backend xyz"]
    assert [step for step in steps if (tmp_path / f"{step}.json").exists()] == ["consistency"]


def test_other_faults_of_an_import_are_not_taken_for_a_missing_package(monkeypatch, tmp_path):
    (tmp_path / "made_backend.py").write_text("import json\n\njson.nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(backends.AVAILABLE["text"], "made", backends.Entry("made_backend:Made"))
    with pytest.raises(AttributeError):
        backends.load("text", {"backend": "made"})
    (tmp_path / "other_backend.py").write_text("import no_such_package.inside\n")
    monkeypatch.setitem(backends.AVAILABLE["text"], "other", backends.Entry("other_backend:Other"))
    with pytest.raises(SetupError, match="^the package `no_such_package` is not installed; run `make models`"):
        backends.load("text", {"backend": "other"})


@pytest.mark.slow
def test_a_package_is_missed_before_a_gpu_or_a_model_is_looked_for(tmp_path):
    tool = [ROOT / "scripts" / "check.py", "--settings", '{"caption": {"backend": "vllm"}}', "--gpu", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(
        [sys.executable, *tool, "--outputs", tmp_path / "caption.json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        "ERROR caption, backend vllm: the package `vllm` is not installed; run `make vllm`, then "
        "`source .venv-vllm/bin/activate`, or use --sdm conda"
    )


# --- trying a backend -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("step", "name"), EMBEDDED)
def test_embedded_backends_pass_their_check(step, name):
    checked = checks.check_backend(step, name, backends.load(step, default_settings(step, name)))
    models = checked.pop("models")
    assert checked == {"step": step, "backend": name}
    assert [(model["model"], model["licence"]) for model in models] == (
        [("PP-OCRv6_det_small", "Apache-2.0")] if name == "rapidocr" else []
    )
    assert all(model.keys() == {"model", "revision", "licence"} for model in models)


@dataclass(frozen=True)
class File:
    """A checkpoint that needs no file."""

    model: str

    def about(self) -> dict[str, str]:
        return {"model": self.model, "revision": "1", "licence": "MIT"}


class Spy(Backend):
    """A backend that notes what it is asked; raises `error` when asked for `at`."""

    inside = ({"model": "inside", "revision": "2", "licence": "MIT"},)

    def __init__(self, at: str = "", error: Exception | None = None):
        self.asked: list[str] = []
        self.at, self.error = at, error

    def _note(self, name: str) -> None:
        self.asked.append(name)
        if name == self.at:
            raise self.error

    def checkpoints(self):
        self._note("checkpoints")
        return [File("one"), File("two")]

    def prepare(self, frames):
        self._note("prepare")
        (frame,) = frames
        assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        return (frame, frame)

    def measure(self, units):
        self._note("measure")
        assert isinstance(units, list) and len(units) == 1
        return (1.0,)

    def finish(self, values):
        self._note("finish")
        assert values == [1.0]
        return {"score": 1.0}


class TextSpy(Spy):
    """The same for alignment."""

    def pieces(self, text):
        self._note("pieces")
        assert text
        return [[1], [2]]

    def measure_texts(self, pieces):
        self._note("measure_texts")
        assert pieces == [[1], [2]]
        return [1.0, 2.0]


def test_a_check_asks_for_files_and_one_of_all_that_a_job_asks_for():
    spy = Spy()
    about = [{"model": name, "revision": "1", "licence": "MIT"} for name in ("one", "two")]
    assert checks.check_backend("text", "spy", spy) == {
        "step": "text",
        "backend": "spy",
        "models": [*about, *Spy.inside],
    }
    assert spy.asked == ["checkpoints", "prepare", "measure", "finish"]
    spy = TextSpy()
    checks.check_backend("alignment", "spy", spy)
    assert spy.asked == ["checkpoints", "pieces", "measure_texts", "prepare", "measure", "finish"]  # as a job does


@pytest.mark.parametrize("at", ["checkpoints", "prepare", "measure", "finish", "pieces", "measure_texts"])
def test_what_a_check_finds_is_told(at):
    with pytest.raises(SetupError, match="^this and that$"):
        checks.check_backend("alignment", "spy", TextSpy(at, SetupError("this and that")))
    with pytest.raises(SetupError, match="^the package `gone` is not installed; run `make models`"):
        checks.check_backend("alignment", "spy", TextSpy(at, ModuleNotFoundError("x", name="gone")))


def test_values_that_are_not_finite_are_a_fault_of_the_set_up():
    with pytest.raises(SetupError, match="^not finite, set dtype$"):
        checks.check_backend("text", "spy", Spy("finish", ItemError("not_finite", "not finite, set dtype")))


def test_a_value_that_is_not_finite_is_found(monkeypatch):
    monkeypatch.setattr(Spy, "finish", lambda self, values: {"score": float("nan")})
    with pytest.raises(SetupError, match="^score is not a finite number; set the model's dtype to fp32"):
        checks.check_backend("text", "spy", Spy())


# --- the device -------------------------------------------------------------------------------------------------------


class Loaded:
    """A backend as `loaded` sees it: it has a batch, and some can be compiled."""

    batch = 7

    def __init__(self, compile_: bool | None = None):
        if compile_ is not None:
            self.compile = compile_


@pytest.fixture
def loaded(monkeypatch):
    """Calls `cli.backend_on_device` on a backend with flags as on the command line; gives what it yields."""

    def call(backend, *flags):
        settings = {"backend": "rapidocr"}
        asked = ("text", settings, {"servers": 2})
        monkeypatch.setattr(backends, "load", lambda *given: given == asked and backend)
        monkeypatch.setenv("CLIPMILL_RUNTIME_SETTINGS", '{"text": {"servers": 2}, "caption": {"servers": 3}}')
        base = ["--outdir", "o", "--shard", "000000", "--settings", "{}"]
        args = cli.model_parser("").parse_args([*base, *flags])
        return cli.backend_on_device("text", settings, args.gpu, args.threads, args.batch)

    monkeypatch.delenv("CLIPMILL_COMPILE", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # as where no backend has imported it
    return call


def test_a_backend_takes_its_own_batch_unless_another_is_given(loaded):
    with loaded(Loaded()) as backend:
        assert backend.batch == 7
    with loaded(Loaded(), "--batch", "0") as backend:
        assert backend.batch == 7
    with loaded(Loaded(), "--batch", "3") as backend:
        assert (backend.batch, Loaded.batch) == (3, 7)


def test_the_batch_of_a_language_model_is_that_of_the_model(loaded):
    backend = Loaded()
    backend.chat = Loaded()
    with loaded(backend, "--batch", "3"):
        assert (backend.batch, backend.chat.batch) == (7, 3)


def test_a_step_without_work_takes_the_same_flags(loaded, monkeypatch):
    monkeypatch.setenv("CLIPMILL_COMPILE", "1")
    with loaded(None, "--batch", "3") as backend:
        assert backend is None


@pytest.mark.parametrize(("value", "compiled"), [(None, False), ("0", False), ("", False), ("1", True)])
def test_what_can_be_compiled_is_where_the_environment_says_so(loaded, monkeypatch, value, compiled):
    if value is not None:
        monkeypatch.setenv("CLIPMILL_COMPILE", value)
    with loaded(Loaded(compile_=False)) as backend:
        assert backend.compile is compiled
    with loaded(Loaded()) as backend:
        assert not hasattr(backend, "compile")


def test_gpus_are_held_while_the_backend_is(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(leases, "all_devices", lambda: ["GPU-a", "GPU-b"])
    for name in (leases.VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    with loaded(Loaded(), "--gpu", "1"):
        assert os.environ[leases.VISIBLE] == "GPU-a"
    assert leases.VISIBLE not in os.environ
    with loaded(Loaded()):
        assert leases.VISIBLE not in os.environ
    with pytest.raises(SetupError, match=r"3 .*; set resources.<step>.gpu: 0"), loaded(Loaded(), "--gpu", "3"):
        pass


def test_torch_uses_the_cores_of_the_job(loaded, monkeypatch):
    class Torch:
        def set_num_threads(self, count):
            counts.append(count)

    counts: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", Torch())
    with loaded(Loaded(), "--threads", "3"):
        assert counts == [3]
