"""Pins, locks and conda environments: that they agree, can be installed, and hold what the scripts import."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
ENVS = REPOSITORY / "envs"
CONDA = sorted(path.name for path in ENVS.glob("*.yaml"))

# What runs in which environment: script or module of the library.
IMPORTED = {
    "video.yaml": [
        *(
            "check",
            "decode",
            "split",
            "score",
            "filter",
            "judge",
            "caption",
            "rewrite",
            "align",
            "cut",
            "export",
            "report",
        ),
        *("shots", "resolve_thresholds", "calibrate"),
        *(
            "clipmill.shots.transnetv2",
            "clipmill.scores.text.rapidocr",
            "clipmill.scores.aesthetic.classic",
            "clipmill.scores.consistency.histogram",
        ),
        *("clipmill.scores.classifiers.onnx", "clipmill.scores.classifiers.opennsfw"),
        *("clipmill.captions.describe", "clipmill.captions.rules"),
        *("clipmill.captions.captioner", "clipmill.captions.judge", "clipmill.captions.rewriter"),
        "clipmill.chat.endpoint",
    ],
    "ocr.yaml": ["check", "score", "clipmill.scores.text.easyocr"],
    "vision.yaml": [
        *("check", "fetch_models", "score", "judge", "caption", "rewrite", "align", "clipmill.scores.text.easyocr"),
        *("shots", "clipmill.shots.transnetv2", "clipmill.shots.on_torch"),
        *(
            "clipmill.scores.aesthetic.siglip",
            "clipmill.scores.aesthetic.laion",
            "clipmill.scores.consistency.embeddings",
        ),
        *("clipmill.scores.classifiers.checkpoint", "clipmill.scores.classifiers.zero_shot"),
        *("clipmill.alignment.clip", "clipmill.alignment.videoclip_xl"),
        *("clipmill.captions.captioner", "clipmill.captions.rewriter", "clipmill.chat.local"),
        *("caption", "rewrite", "clipmill.captions.captioner", "clipmill.captions.rewriter", "clipmill.chat.local"),
    ],
    "awq.yaml": ["quantize", "clipmill.extras.quantize", "clipmill.extras.calibration_texts"],
    "llm-compressor.yaml": ["quantize", "clipmill.extras.quantize", "clipmill.extras.calibration_texts"],
    "vllm.yaml": [
        *("check", "fetch_models", "judge", "caption", "rewrite"),
        *("clipmill.captions.captioner", "clipmill.captions.judge", "clipmill.captions.rewriter"),
        "clipmill.chat.engine",
    ],
}


def python_and_packages(name: str) -> tuple[str, list[str]]:
    """The Python version and the pip part of a conda environment."""
    parts = yaml.safe_load((ENVS / name).read_text())["dependencies"]
    python = next(part.partition("=")[2] for part in parts if isinstance(part, str) and part.startswith("python="))
    return python, next(part["pip"] for part in parts if isinstance(part, dict))


def pins(lines: list[str], python: str) -> dict[str, str]:
    """Package -> version for the lines that pin one for this Python version."""
    marked = {"python_version": python, "python_full_version": f"{python}.0"}
    found = {}
    for line in lines:
        if match := re.match(r"[a-z0-9-]+==[^\\]+", line):
            requirement = Requirement(match[0])
            if requirement.marker is None or requirement.marker.evaluate(marked):
                found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


def pinned(name: str, python: str = "3.12") -> dict[str, str]:
    return pins((ENVS / name).read_text().splitlines(), python)


@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_pin_what_the_virtual_environment_has(name):
    python, packages = python_and_packages(name)
    named = pins(packages, python)
    assert len(named) == len(packages), "every package is pinned"
    own = name.replace(".yaml", ".txt")
    locked = pinned(own if (ENVS / own).exists() else "models.txt", python)
    assert named == {package: locked[package] for package in named}


def sections(definition: str) -> dict[str, list[str]]:
    """The sections of a definition of Apptainer; its header is the section ""."""
    found: dict[str, list[str]] = {"": []}
    for line in definition.splitlines():
        if line.startswith("%"):
            found[line[1:]] = current = []
        elif line and not line.startswith("#"):
            current = found[list(found)[-1]]
            current.append(line.strip())
    return found


def test_the_definition_of_images_installs_the_environment_that_it_is_told():
    """Nothing builds it here: this is what can be said of it without Apptainer."""
    parts = sections((ENVS / "container.def").read_text())
    assert parts[""] == ["Bootstrap: docker", "From: condaforge/miniforge3:25.3.1-0"]
    (argument,) = parts["arguments"]
    assert f"{argument.removeprefix('environment=')}.yaml" in CONDA
    source, target = parts["files"][0].split(" /")
    assert {source.replace("{{ environment }}", name) for name in map(stem, CONDA)} == {f"envs/{n}" for n in CONDA}
    create, clean = parts["post"]
    assert create.endswith(f"--prefix /opt/environment --file /{target}") and clean.startswith("conda clean")
    assert parts["environment"] == ["export PATH=/opt/environment/bin:$PATH"]
    imported = re.search('import (.*)"', parts["test"][0])[1].split(", ")
    assert all(set(imported) <= pins(packages, python).keys() for python, packages in map(python_and_packages, CONDA))


def stem(name: str) -> str:
    return name.removesuffix(".yaml")


def test_make_builds_an_image_of_each_environment():
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "containers", f"ENVIRONMENTS={' '.join(map(stem, CONDA))}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    built = re.findall(
        r"build --force --build-arg environment=(\S+) containers/(\S+)\.sif envs/container.def", done.stdout
    )
    assert built == [(stem(name), stem(name)) for name in CONDA]


def test_each_rule_has_an_image_of_its_conda_environment():
    for path in sorted((REPOSITORY / "rules").glob("*.smk")):
        text = path.read_text()
        pairs = re.findall(r"^ +conda:\n +(.*)\n +container:\n +lambda wildcards: (.*)\n", text, re.MULTILINE)
        assert len(pairs) == len(re.findall(r"^ +conda:$", text, re.MULTILINE)), path
        for conda, image in pairs:
            named = re.fullmatch(r'"\.\./envs/(.*)\.yaml"', conda)
            of_step = re.fullmatch(r"(?:lambda wildcards: )?environment\((.*)\)", conda)
            of_backend = re.fullmatch(r"f\"\.\./envs/\{(.*)\}\.yaml\"", conda)
            if named:
                assert image == f'image("{named[1]}")' and f"{named[1]}.yaml" in CONDA, path
            elif of_step:
                assert image == f"image_of({of_step[1]})", path
            else:
                assert of_backend and image.replace('"', "'") == f"image({of_backend[1]})", path


@pytest.mark.parametrize(
    "name",
    [
        *("core", "models", "awq", "llm-compressor"),
        *("quick", "test", "docs", "vllm", "slurm", "tinychat", "transnetv2"),
    ],
)
def test_locks_hold_what_is_asked_for(name):
    asked = pinned(f"{name}.in")
    locked = pinned(f"{name}.txt")
    assert asked
    assert asked == {package: locked[package] for package in asked}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_locks_agree_with_each_other(python):
    names = ("core", "models", "awq", "llm-compressor", "quick", "test", "docs")
    core, models, awq, llm_compressor, quick, test, docs = (pinned(f"{name}.txt", python) for name in names)
    assert core.items() <= models.items() <= awq.items()
    assert core.items() <= llm_compressor.items()
    assert core.items() <= quick.items() <= test.items()
    assert all(models[package] == test[package] for package in models.keys() & test.keys())
    assert pinned("tinychat.txt", python).items() <= test.items()
    assert all(docs[package] == test[package] for package in docs.keys() & test.keys())


@cache
def uv_environment() -> dict[str, str]:
    """uv does not read pip's settings of where packages are: they are told to it. Its own, where set, come first."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, list[str]] = {}
    for section in ("global", "install", ":env:"):  # a later one wins
        for key, value in re.findall(rf"^{section}\.([\w-]+)=(.+)$", listed, re.MULTILINE):
            settings[key] = ast.literal_eval(value).split()
    told = {
        "UV_DEFAULT_INDEX": " ".join(settings.get("index-url", [])),
        "UV_INDEX": " ".join(settings.get("extra-index-url", [])),
        "UV_FIND_LINKS": ",".join(settings.get("find-links", [])),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip's: the best version, whichever index has it
    }
    return {name: value for name, value in told.items() if value} | dict(os.environ)


@cache
def resolve(python: str, packages: tuple[str, ...]) -> subprocess.CompletedProcess:
    """Resolve packages for a Python version, without installing them. Wheels only: a bare machine has no compiler. But
    for AutoAWQ, whose source is Python alone.

    uv runs on the Python that is here: without being told it would download the one that it resolves for.
    """
    options = ["--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:", "--no-binary", "autoawq"]
    pythons = ["--python", sys.executable, "--python-version", python]
    return subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "compile", *options, *pythons, "-"],
        input="\n".join(packages),
        env=uv_environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.network
@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_can_be_installed(name):
    python, packages = python_and_packages(name)
    done = resolve(python, tuple(packages))
    assert done.returncode == 0, done.stderr


@pytest.mark.network
@pytest.mark.parametrize("lock", ["core.txt", "vllm.txt", "llm-compressor.txt"])
def test_what_submits_to_slurm_finds_what_it_needs(lock):
    """It is installed alone. numpy is left out: see envs/slurm.in."""
    locked, own = pinned(lock), pinned("slurm.txt")
    needed = pins(resolve("3.12", tuple(f"{name}=={own[name]}" for name in own)).stdout.splitlines(), "3.12")
    assert set(own) | {"numpy", "pandas", "throttler"} < needed.keys() <= locked.keys() | own.keys()
    held = {name: locked[name] for name in needed if name not in own and name != "numpy"}
    done = resolve("3.12", tuple(f"{name}=={version}" for name, version in (own | held).items()))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", ["core.txt", "models.txt", "vllm.txt", "llm-compressor.txt"])
def test_snakemakes_report_finds_what_it_does_not_bring(lock):
    """Each of the environments that Snakemake itself runs in; that of the tests has more than users have."""
    assert {"pygments", "jinja2"} <= pinned(lock).keys()


@pytest.mark.network
def test_a_pin_that_cannot_be_installed_is_found():
    python, packages = python_and_packages("vision.yaml")
    impossible = [re.sub(r"^huggingface-hub==.*", "huggingface-hub==0.20.0", package) for package in packages]
    assert impossible != packages
    done = resolve(python, tuple(impossible))
    assert done.returncode != 0
    assert "unsatisfiable" in done.stderr and "huggingface-hub==0.20.0" in done.stderr


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a process of its own that finds the library and the scripts."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


IMPORT_WITHOUT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} in this environment", name=name)

blocked = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Blocked())
for module in sys.argv[2:]:
    importlib.import_module(module)
"""


@pytest.mark.network
@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_hold_what_is_imported_in_them(name):
    """As if it were installed: what is not in it cannot be imported."""
    python, packages = python_and_packages(name)
    held = pins(resolve(python, tuple(packages)).stdout.splitlines(), python)
    assert held
    foreign = [
        module
        for module, distributions in packages_distributions().items()
        if not any(canonicalize_name(distribution) in held for distribution in distributions)
    ]
    assert "snakemake" in foreign
    done = run_python(IMPORT_WITHOUT, ",".join(foreign), *IMPORTED[name])
    assert done.returncode == 0, done.stderr


IMPORT_MODELS = """
import logging

logging.basicConfig(level=logging.INFO)
from clipmill.models.torchvision_ops import declare_missing_operators

declare_missing_operators()
declare_missing_operators()
import easyocr, torchvision
from transformers import AutoModel, CLIPImageProcessor, CLIPModel, Dinov2Model, SiglipVisionModel
"""


@pytest.mark.torch
def test_models_can_be_imported_whatever_the_build_of_torch():
    done = run_python(IMPORT_MODELS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("torchvision's operators") <= 1, "said once"


NOTHING_TO_DECLARE = """
import sys

import torch
from clipmill.models.torchvision_ops import declare_missing_operators

if sys.argv[1] == "cuda":
    torch.version.cuda = "13.0"
else:
    torch.ops.load_library = lambda path: None
declare_missing_operators()
assert not hasattr(torch.ops.torchvision, "nms")
"""


@pytest.mark.torch
@pytest.mark.parametrize("why", ["cuda", "operators load"])
def test_operators_are_declared_only_where_they_are_missing(why):
    done = run_python(NOTHING_TO_DECLARE, why)
    assert done.returncode == 0, done.stderr
