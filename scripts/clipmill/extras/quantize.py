"""Language models in 4 bits: a checkpoint becomes one that vLLM loads, in a quarter of the size.

AWQ rounds the weights of all linear layers, in groups that share a scale. Before that it scales up the channels whose
inputs are large on texts like those that the model will read. Everything else in the model's folder stays as it was, so
the result can be used wherever the original can. BACKENDS lists the packages that can do it: each has a module here.
"""

from __future__ import annotations

import errno
import importlib
import json
import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipmill.base.errors import SetupError
from clipmill.base.files import atomic_folder, write_json
from clipmill.base.human import counted
from clipmill.base.journal import fingerprint
from clipmill.extras.calibration_texts import Calibration, find_texts
from clipmill.models import gpu, leases
from clipmill.models.backends import explaining_missing_packages
from clipmill.models.checkpoints import LANGUAGE_FILES, PICKLES, Checkpoint, find_model, load_transformers

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("clipmill")

# Types of models for which quantizing and comparing was tested with both backends: dense models whose linear layers
# have the same names in transformers and in their files.
_BOTH = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "cohere", "stablelm")


@dataclass(frozen=True)
class Backend:
    """A package that quantizes.

    `module`: its module in this folder, with the function `quantize`. Only this module imports the package.
    `model_types`: a test shows that such models compute the same afterwards, except for rounding. `packed`: the end of
    the names of tensors with numbers of 4 bits. `package`: the package's name on the registry. `install`: the
    command that installs it. `method`: part of the key; raise its number when a change here changes the weights.
    """

    module: str
    model_types: tuple[str, ...]
    packed: str
    package: str
    install: str
    method: int | str


BACKENDS = {
    "autoawq": Backend("autoawq", _BOTH, ".qweight", "autoawq", "make awq", 1),
    "llm-compressor": Backend(
        "llm_compressor",
        (*_BOTH, "qwen3_moe", "gemma3_text", "phi3", "olmo3", "exaone4", "smollm3"),
        ".weight_packed",
        "llmcompressor",
        "make llm-compressor`, then `source .venv-llm-compressor/bin/activate",
        "llm-compressor 1",
    ),
}
# Weights only as safetensors. The licence of a model is copied to the quantized model.
FILES = (*(name for name in LANGUAGE_FILES if not name.endswith(PICKLES)), "LICENSE*", "NOTICE*", "USE_POLICY*")

BITS = 4  # the only number that vLLM reads
GROUP_SIZES = (128, 64, 32)
ROWS = 64  # outputs that AutoAWQ, and vLLM's fast kernel, process together
SHARD = "5GB"

ABOUT = "clipmill.json"  # file in the written folder that says what its weights depend on


@dataclass(frozen=True)
class QuantizeSettings:
    """The section `quantize` of the config."""

    backend: str
    revision: str | None
    group_size: int
    calibration_texts: str | None
    calibration_samples: int
    calibration_tokens: int


@dataclass(frozen=True)
class Quantized:
    """What a backend returns. `tensors`: all weights, by name. `layout`: what config.json says about them."""

    tensors: dict[str, Tensor]
    layout: dict[str, Any]


def quantize_model(model: str, out: Path, settings: QuantizeSettings, outdir: Path, gpus: int) -> bool:
    """Write `model` (a name on the hub or a folder) in 4 bits to the folder `out`; False if it is there already.

    Calibrated on the captions of the run in `outdir`, if it has some. `out` appears whole or not at all. If `out` holds
    a quantized model made from something else, it is replaced; any other folder that is not empty is refused. Raises
    SetupError for that, and for a model that cannot be quantized.
    """
    out = out.expanduser().resolve()
    before = read_about(out)
    checkpoint = find_model(model, settings.revision, FILES)
    config = check_model(checkpoint, settings.backend)
    check_layers(checkpoint, settings.group_size)
    calibration = find_texts(settings.calibration_texts, outdir, settings.calibration_samples)
    method = BACKENDS[settings.backend].method
    key = fingerprint(method, checkpoint.revision, settings.group_size, settings.calibration_tokens, calibration.digest)
    if before and before["key"] == key:
        log.info("%s is up to date: %s in %d bits", out, model, BITS)
        return False
    log.info("calibrates on %d of %s", len(calibration.texts), calibration.source)
    with leases.lease(gpus), atomic_folder(out) as folder:
        versions = _quantize(checkpoint, config, calibration, settings, folder)
        about = {
            "made_by": "clipmill quantize",
            **checkpoint.about(),
            "backend": settings.backend,
            "group_size": settings.group_size,
            "calibration": {"texts": len(calibration.texts), "of": calibration.source},
            "versions": versions,
            "key": key,
        }
        write_json(folder / ABOUT, about)
    log.info("%s: %s in %d bits, %s instead of %s", out, model, BITS, _disk_size(out), _disk_size(checkpoint.path))
    return True


# --- what is refused --------------------------------------------------------------------------------------------------


def read_about(out: Path) -> dict[str, Any] | None:
    """What is known of the quantized model in `out`; None if `out` is empty. Raises SetupError if it holds others."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        about = json.loads((out / ABOUT).read_text(encoding="utf-8"))
        if about["made_by"] == "clipmill quantize" and about["key"]:
            return about
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SetupError(
        f"out: {out} exists and was not made by `snakemake quantize`; nothing in it is touched, name another"
    )


def check_model(checkpoint: Checkpoint, backend: str) -> dict[str, Any]:
    """The model's config.json. Raises SetupError unless `backend` can quantize this model."""
    path = checkpoint.path / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, classes = config["model_type"], config.get("architectures") or []
    except FileNotFoundError:
        raise SetupError(
            f"{checkpoint.path}: no config.json beside the weights; name the folder of a whole model"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{path}: no model's configuration ({type(error).__name__}: {error}); fetch the model again"
        ) from error
    if done := config.get("quantization_config"):
        method = done.get("quant_method", "another way")
        raise SetupError(f"{checkpoint.model}: is quantized already ({method}); name the model that it was made from")
    able = [name for name, entry in BACKENDS.items() if kind in entry.model_types]
    if not able or not any(name.endswith("ForCausalLM") for name in classes):
        raise SetupError(
            f"{checkpoint.model}: {', '.join(classes) or kind} is no causal language model that can be quantized here; "
            f"its model_type is {kind}, choose one of: {', '.join(BACKENDS[backend].model_types)}"
        )
    if backend not in able:
        raise SetupError(
            f"{checkpoint.model}: quantize.backend {backend} cannot quantize a model of the type {kind}; "
            f"set quantize.backend to {able[0]}"
        )
    return config


def check_layers(checkpoint: Checkpoint, group_size: int) -> None:
    """Raise SetupError if the model's linear layers cannot be divided into groups of `group_size` weights."""
    shapes = linear_shapes(checkpoint)
    if not shapes:
        raise SetupError(f"{checkpoint.path}: its weights have no layers; name the folder of a whole model")
    if uneven := _kinds(name for name, (_, inputs) in shapes.items() if inputs % group_size):
        sizes = sorted({inputs for name, (_, inputs) in shapes.items() if inputs % group_size})
        fits = [size for size in GROUP_SIZES if not any(inputs % size for _, inputs in shapes.values())]
        hint = (
            f"set quantize.group_size to {fits[0]}"
            if fits
            else f"nor do {', '.join(map(str, GROUP_SIZES))}: name another model"
        )
        raise SetupError(
            f"{checkpoint.model}: quantize.group_size {group_size} does not divide the {_with_or(sizes)} inputs of "
            f"{uneven}; {hint}"
        )
    if uneven := _kinds(name for name, (outputs, _) in shapes.items() if outputs % ROWS):
        raise SetupError(f"{checkpoint.model}: a layer needs a multiple of {ROWS} outputs, which {uneven} has not")


def linear_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of the linear layers to quantize, by the names of their weights. Read from the files' heads.

    The layers that choose among experts stay as they are: they are small, and a wrong choice costs more than rounding.
    """
    from safetensors import SafetensorError, safe_open

    shapes = {}
    for path in sorted(checkpoint.path.glob("model*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                for name in file.keys():  # noqa: SIM118, it is no dict
                    shape = file.get_slice(name).get_shape()
                    if len(shape) == 2 and re.search(r"\.\d+\..*(?<!\.mlp\.gate)\.weight$", name):
                        shapes[name] = tuple(shape)
        except SafetensorError as error:
            raise SetupError(f"{path}: a damaged or half downloaded file ({error}); fetch the model again") from error
    return shapes


def _kinds(names: Iterable[str]) -> str:
    """Names of layers, without the numbers of their blocks, each once."""
    return ", ".join(sorted({re.sub(r"^.*\.\d+\.|\.weight$", "", name) for name in names}))


def _with_or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


# --- quantizing -------------------------------------------------------------------------------------------------------


def _quantize(
    checkpoint: Checkpoint,
    config: dict[str, Any],
    calibration: Calibration,
    settings: QuantizeSettings,
    folder: Path,
) -> dict[str, str]:
    """Write the model in 4 bits to `folder`. Returns the versions of the packages that made it."""
    backend = BACKENDS[settings.backend]
    with explaining_missing_packages(backend.install):
        import torch

        from clipmill.models.torchvision_ops import declare_missing_operators

        declare_missing_operators()
        module = importlib.import_module(f"clipmill.extras.{backend.module}")
        import transformers
    transformers.utils.logging.set_verbosity_error()
    on_gpu = gpu.device().type == "cuda"
    half = _half_precision(config)
    tokenizer = _load_tokenizer(transformers, checkpoint)
    pieces = join_texts(
        calibration.texts,
        lambda text: tokenizer(text).input_ids,
        min(settings.calibration_tokens, config.get("max_position_embeddings", settings.calibration_tokens)),
    )
    log.info("%s in %s", counted(sum(map(len, pieces)), "token"), counted(len(pieces), "piece"))
    # CPUs compute faster in float32 than in half precision, and the search is more exact.
    model = load_transformers(
        transformers.AutoModelForCausalLM, checkpoint, dtype=getattr(torch, half) if on_gpu else torch.float32
    )
    model.config.use_cache = False
    # transformers joins experts into tensors of 3 dimensions, which a backend takes apart again.
    known = {name for name, values in model.state_dict().items() if values.dim() < 3}
    started = time.monotonic()
    quantized = module.quantize(model, tokenizer, pieces, settings.group_size, getattr(torch, half))
    log.info("quantized in %.0f s on the %s", time.monotonic() - started, "GPU" if on_gpu else "CPU")
    tensors = quantized.tensors
    done = {name.removesuffix(backend.packed) for name in tensors if name.endswith(backend.packed)}
    _check_quantized(checkpoint, settings.backend, known, done, tensors)
    if config.get("tie_word_embeddings", getattr(model.config, "tie_word_embeddings", False)):
        tensors.pop("lm_head.weight", None)  # it is the same tensor as the embedding
    _save(tensors, done, getattr(torch, half), folder)
    _save_others(checkpoint, {**config, **_precision(config, half), "quantization_config": quantized.layout}, folder)
    return {name: version(name) for name in (backend.package, "torch", "transformers")}


def join_texts(texts: Iterable[str], encode: Any, length: int) -> list[list[int]]:
    """The tokens of all texts in a row, cut into pieces of `length`; fewer tokens than that are one piece.

    AutoAWQ joins texts in the same way, but it drops a text that is longer than a piece, and fails if all texts are
    together shorter than one piece. Raises SetupError if the texts have no token.
    """
    tokens = [token for text in texts for token in encode(text)]
    if not tokens:
        raise SetupError("the texts to calibrate on have no token; name others by quantize.calibration_texts")
    length = min(length, len(tokens))
    return [tokens[start : start + length] for start in range(0, len(tokens) - length + 1, length)]


def _load_tokenizer(transformers: Any, checkpoint: Checkpoint) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(
            checkpoint.path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise SetupError(f"{checkpoint.path}: no tokenizer that can be read ({line}); fetch the model again") from error


def _half_precision(config: Mapping[str, Any]) -> str:
    """The precision of all that is not quantized: the model's own if that has 16 bits, else float16."""
    own = str(config.get("dtype") or config.get("torch_dtype"))
    return own if own in ("float16", "bfloat16") else "float16"


def _precision(config: Mapping[str, Any], half: str) -> dict[str, str]:
    """The entry of config.json about the weights that are not quantized."""
    return {"dtype" if "dtype" in config else "torch_dtype": half}  # all versions read the older name


def _check_quantized(
    checkpoint: Checkpoint, backend: str, known: set[str], done: set[str], tensors: Mapping[str, Tensor]
) -> None:
    """Raise SetupError unless just the linear layers are in 4 bits, no tensor is lost, and all numbers are finite.

    `known`: names of the model's weights before. `done`: names of the layers in 4 bits.
    """
    wanted = {name.removesuffix(".weight") for name in linear_shapes(checkpoint)}
    lost = {name for name in known - tensors.keys() if name.removesuffix(".weight") not in done}
    if wrong := sorted((wanted ^ done) | lost):
        raise SetupError(
            f"{checkpoint.model}: {backend} left {len(wrong)} of its layers out, as {wrong[0]}; name another model"
        )
    if broken := [
        name for name, values in tensors.items() if values.is_floating_point() and not values.isfinite().all()
    ]:
        raise SetupError(
            f"{checkpoint.model}: {broken[0]} came out with numbers that are not finite; nothing is written"
        )


def _save(tensors: Mapping[str, Tensor], done: set[str], half: Any, folder: Path) -> None:
    """Write the weights as safetensors: those of the layers `done` as they are, all others in half precision."""
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kept = {name: values if name.rpartition(".")[0] in done else values.to(half) for name, values in tensors.items()}
    plan = split_torch_state_dict_into_shards(kept, max_shard_size=SHARD)
    for file, names in plan.filename_to_tensors.items():
        try:
            save_file({name: kept[name].contiguous() for name in names}, folder / file, {"format": "pt"})
        except SafetensorError as error:
            if f"os error {errno.ENOSPC}" in str(error):
                raise OSError(errno.ENOSPC, "no space left", str(folder)) from error
            raise
        (folder / file).chmod(folder.stat().st_mode & 0o666)  # else only its owner could read it
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        write_json(folder / "model.safetensors.index.json", index)


def _save_others(checkpoint: Checkpoint, config: Mapping[str, Any], folder: Path) -> None:
    """The model's configuration, and all its other files as they are: tokenizer, templates, licence."""
    write_json(folder / "config.json", config)
    for pattern in FILES:
        for path in checkpoint.path.glob(pattern):
            if path.suffix != ".safetensors" and path.name not in ("config.json", "model.safetensors.index.json"):
                shutil.copyfile(path, folder / path.name)


def _disk_size(folder: Path) -> str:
    """Size of the weights in a folder, in MB or GB."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
