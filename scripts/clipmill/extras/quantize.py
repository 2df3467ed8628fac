"""Language models in 4 bits: AutoAWQ turns a checkpoint into one that vLLM loads, in a quarter of the size.

AWQ rounds the weights of all linear layers, in groups that share a scale. Before that it scales up the channels whose
inputs are large on texts like those that the model will read. Everything else in the model's folder stays as it was, so
the result can be used wherever the original can.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import time
import warnings
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

# Types of models for which quantizing, loading and comparing was tested: dense models whose linear layers have the same
# names in transformers and in their files.
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "cohere", "stablelm")
# Weights only as safetensors. The licence of a model is copied to the quantized model.
FILES = (*(name for name in LANGUAGE_FILES if not name.endswith(PICKLES)), "LICENSE*", "NOTICE*", "USE_POLICY*")

BITS = 4  # the only number that vLLM reads
GROUP_SIZES = (128, 64, 32)
ROWS = 64  # outputs that AutoAWQ processes together
SHARD = "5GB"

ABOUT = "clipmill.json"  # file in the written folder that says what its weights depend on
METHOD = 1  # raise it when a change here changes the weights


@dataclass(frozen=True)
class QuantizeSettings:
    """The section `quantize` of the config."""

    revision: str | None
    group_size: int
    calibration_texts: str | None
    calibration_samples: int
    calibration_tokens: int


def quantize_model(model: str, out: Path, settings: QuantizeSettings, outdir: Path, gpus: int) -> bool:
    """Write `model` (a name on the hub or a folder) in 4 bits to the folder `out`; False if it is there already.

    Calibrated on the captions of the run in `outdir`, if it has some. `out` appears whole or not at all. If `out` holds
    a quantized model made from something else, it is replaced; any other folder that is not empty is refused. Raises
    SetupError for that, and for a model that cannot be quantized.
    """
    out = out.expanduser().resolve()
    before = read_about(out)
    checkpoint = find_model(model, settings.revision, FILES)
    config = check_model(checkpoint)
    check_layers(checkpoint, settings.group_size)
    calibration = find_texts(settings.calibration_texts, outdir, settings.calibration_samples)
    key = fingerprint(METHOD, checkpoint.revision, settings.group_size, settings.calibration_tokens, calibration.digest)
    if before and before["key"] == key:
        log.info("%s is up to date: %s in %d bits", out, model, BITS)
        return False
    log.info("calibrates on %d of %s", len(calibration.texts), calibration.source)
    with leases.lease(gpus), atomic_folder(out) as folder:
        versions = _quantize(checkpoint, config, calibration, settings, folder)
        about = {
            "made_by": "clipmill quantize",
            **checkpoint.about(),
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


def check_model(checkpoint: Checkpoint) -> dict[str, Any]:
    """The model's config.json. Raises SetupError unless it is that of a language model that can be quantized."""
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
    if kind not in MODEL_TYPES or not any(name.endswith("ForCausalLM") for name in classes):
        raise SetupError(
            f"{checkpoint.model}: {', '.join(classes) or kind} is no causal language model that can be quantized here; "
            f"its model_type is {kind}, choose one of: {', '.join(MODEL_TYPES)}"
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
        raise SetupError(f"{checkpoint.model}: AutoAWQ needs a multiple of {ROWS} outputs, which {uneven} has not")


def linear_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of the linear layers to quantize, by the names of their weights. Read from the files' heads."""
    from safetensors import SafetensorError, safe_open

    shapes = {}
    for path in sorted(checkpoint.path.glob("model*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                for name in file.keys():  # noqa: SIM118, it is no dict
                    shape = file.get_slice(name).get_shape()
                    if len(shape) == 2 and re.search(r"\.\d+\..*\.weight$", name):
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
    torch, awq, transformers = _packages()
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
    known = set(model.state_dict())
    method = {"w_bit": BITS, "q_group_size": settings.group_size, "zero_point": True, "version": "GEMM"}
    wrapped = awq.models.auto.AWQ_CAUSAL_LM_MODEL_MAP[config["model_type"]](
        model, config["model_type"], False, model.config, awq.models._config.AwqConfig(), None
    )
    started = time.monotonic()
    wrapped.quantize(
        tokenizer,
        method,
        calib_data=pieces,
        max_calib_samples=len(pieces),
        max_calib_seq_len=max(map(len, pieces)),
        quantizer_cls=_quantizer(awq),
    )
    log.info("quantized in %.0f s on the %s", time.monotonic() - started, "GPU" if on_gpu else "CPU")
    tensors = dict(model.state_dict())
    _check_quantized(checkpoint, known, tensors)
    if config.get("tie_word_embeddings", getattr(model.config, "tie_word_embeddings", False)):
        tensors.pop("lm_head.weight", None)  # it is the same tensor as the embedding
    _save(tensors, getattr(torch, half), folder)
    _save_others(checkpoint, {**config, **_declared(config, half, settings.group_size)}, folder)
    return {"autoawq": version("autoawq"), "torch": torch.__version__, "transformers": transformers.__version__}


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


def _quantizer(awq: Any) -> type:
    """AutoAWQ's quantizer class, corrected: on the CPU it would spoil the weights.

    While it tries scales it multiplies weights in place, and then restores the values that it saved before. On a GPU
    these are a copy. On the CPU they are the weights themselves: these would keep the first scales that were tried.
    """

    class Quantizer(awq.quantize.quantizer.AwqQuantizer):
        def _compute_best_scale(self, x: Tensor, w_mean: Tensor, x_mean: Tensor, module: Any, *others: Any) -> Tensor:
            copying = module.register_state_dict_post_hook(_copy_values)
            try:
                return super()._compute_best_scale(x, w_mean, x_mean, module, *others)
            finally:
                copying.remove()

    return Quantizer


def _copy_values(_module: Any, state: dict[str, Tensor], *_others: Any) -> None:
    """A hook that replaces the values in a module's state by copies."""
    for name in state:
        state[name] = state[name].clone()


def _packages() -> tuple[Any, Any, Any]:
    """The modules torch, awq and transformers."""
    with explaining_missing_packages("make awq"):
        import torch

        from clipmill.models.torchvision_ops import declare_missing_operators

        declare_missing_operators()
        with warnings.catch_warnings(record=True):  # awq warns that it is no longer developed: see docs/quantize.md
            import awq.models.auto
            import transformers
    transformers.utils.logging.set_verbosity_error()
    return torch, awq, transformers


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


def _declared(config: Mapping[str, Any], half: str, group_size: int) -> dict[str, Any]:
    """The entries of config.json about the written weights."""
    method = {"quant_method": "awq", "bits": BITS, "group_size": group_size, "zero_point": True, "version": "gemm"}
    name = "dtype" if "dtype" in config else "torch_dtype"  # all versions read the older name
    return {name: half, "quantization_config": {**method, "modules_to_not_convert": None}}


def _check_quantized(checkpoint: Checkpoint, known: set[str], tensors: Mapping[str, Tensor]) -> None:
    """Raise SetupError unless just the linear layers are in 4 bits, no tensor is lost, and all numbers are finite."""
    wanted = {name.removesuffix(".weight") for name in linear_shapes(checkpoint)}
    done = {name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")}
    lost = {name for name in known - tensors.keys() if name.removesuffix(".weight") not in done}
    if wrong := sorted((wanted ^ done) | lost):
        raise SetupError(
            f"{checkpoint.model}: AutoAWQ left {len(wrong)} of its layers out, as {wrong[0]}; name another model"
        )
    if broken := [
        name for name, values in tensors.items() if values.is_floating_point() and not values.isfinite().all()
    ]:
        raise SetupError(
            f"{checkpoint.model}: {broken[0]} came out with numbers that are not finite; nothing is written"
        )


def _save(tensors: Mapping[str, Tensor], half: Any, folder: Path) -> None:
    """Write the weights as safetensors: those in 4 bits as they are, all others in half precision."""
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    done = {name.rpartition(".")[0] for name in tensors if name.endswith(".qweight")}
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
