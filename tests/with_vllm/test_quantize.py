"""A model in 4 bits, made by the real command: near the original, read by vLLM, made once, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import awq_kernel
import numpy as np
import pytest
import torch
from runs import REPOSITORY, Outcome, call, explain, snakemake, wait_for
from safetensors.torch import load_file
from scaled_models import HEADS, PROMPT, READ, Scaled, scaled

from clipmill.extras.calibration_texts import GENERIC
from clipmill.extras.quantize import BACKENDS
from clipmill.store import tables

ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # where the first, second … number of eight stands in AWQ's 32 bits
# The Python of each backend's environment. `make test-vllm` installs the second one, as users do.
PYTHON = {
    "autoawq": Path(sys.executable),
    "llm-compressor": REPOSITORY / ".venv-llm-compressor" / "bin" / "python",
}


@dataclass(frozen=True)
class Quantizing:
    """The command at work in `place`, on few tokens, with the model in the folder `model`."""

    place: Path
    model: Path
    backend: str = "autoawq"

    def command(self, out: str, *arguments: str) -> list[str]:
        few = {"calibration_samples": 2, "calibration_tokens": 48}
        settings = {"quantize": {"backend": self.backend, **few}, "outdir": "run"}
        (self.place / "my.json").write_text(json.dumps(settings))
        named = ["--configfile", "my.json", "--config", f"model={self.model}", f"out={out}"]
        start = [str(PYTHON[self.backend]), *snakemake()[1:]]
        return [*start, *named, "--set-resources", "quantize:gpu=0", *arguments, "--", "quantize"]

    def run(self, out: str) -> Outcome:
        return call(self.command(out), self.place)

    @property
    def log(self) -> str:
        path = self.place / "run" / "logs" / "quantize" / "quantize.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module", params=BACKENDS)
def done(request, tmp_path_factory, model) -> Quantizing:
    """The folder `small`, made once by each backend, without videos and captions."""
    quantizing = Quantizing(tmp_path_factory.mktemp("quantizing"), model("llama"), request.param)
    outcome = quantizing.run("small")
    assert outcome.code == 0, outcome.output + quantizing.log
    assert outcome.jobs == {"quantize": 1}
    return quantizing


def unpacked(packed: torch.Tensor, order: tuple[int, ...] = tuple(range(8))) -> torch.Tensor:
    """The numbers of 4 bits in the last dimension."""
    shifts = torch.tensor(order, dtype=torch.int32) * 4
    return ((packed.unsqueeze(-1) >> shifts) & 15).flatten(-2)


def weights(folder: Path, group: int = 128) -> dict[str, torch.Tensor]:
    """All weights of a model in 4 bits, as those that are not."""
    found = load_file(folder / "model.safetensors")
    for name in [name.removesuffix(".qweight") for name in found if name.endswith(".qweight")]:  # AWQ's layout
        scales = found.pop(f"{name}.scales").float().repeat_interleave(group, 0)
        zeros = unpacked(found.pop(f"{name}.qzeros"), ORDER).repeat_interleave(group, 0)
        found[f"{name}.weight"] = ((unpacked(found.pop(f"{name}.qweight"), ORDER) - zeros) * scales).T
    for name in [name.removesuffix("_packed") for name in found if name.endswith("_packed")]:  # compressed-tensors
        scales = found.pop(f"{name}_scale").float().repeat_interleave(group, 1)
        zeros = unpacked(found.pop(f"{name}_zero_point").T).T.repeat_interleave(group, 1)
        found[name] = (unpacked(found.pop(f"{name}_packed")) - zeros) * scales
        assert tuple(found.pop(f"{name}_shape")) == found[name].shape
    return {name: values.float() for name, values in found.items()}


def scores(folder: Path, tensors: dict[str, torch.Tensor]) -> np.ndarray:
    """What follows each token of PROMPT, as log probabilities: token × next token. By transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict(tensors)
    with torch.inference_mode():
        return model(torch.tensor([PROMPT])).logits[0].log_softmax(-1).numpy()


LAYOUTS = {
    "autoawq": {
        **{"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
        "modules_to_not_convert": None,
    },
    "llm-compressor": {
        **{"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed"},
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": dict(num_bits=4, type="int", symmetric=False, strategy="group", group_size=128),
            }
        },
        "ignore": ["lm_head", "re:.*mlp.gate$"],
    },
}


def test_what_is_written(done):
    small = done.place / "small"
    assert "calibrates on 2 of the 32 generic texts of clipmill: no caption in run" in done.log
    assert "DeprecationWarning" not in done.log
    same = {path.name for path in done.model.iterdir()} - {"config.json", "model.safetensors"}
    assert {path.name for path in small.iterdir()} == same | {"config.json", "model.safetensors", "clipmill.json"}
    assert all((small / name).read_bytes() == (done.model / name).read_bytes() for name in same)
    config, original = (json.loads((folder / "config.json").read_text()) for folder in (small, done.model))
    assert config.pop("quantization_config") == LAYOUTS[done.backend]
    assert config == original | {"dtype": "float16"}
    assert all(path.stat().st_mode & 0o444 == small.stat().st_mode & 0o444 for path in small.iterdir())
    assert not [path.name for path in done.place.iterdir() if path.name.startswith(".small")]


def test_its_weights_are_near_the_original_s(done):
    """Those that read a norm are scaled, and the norm the other way."""
    before, after = load_file(done.model / "model.safetensors"), weights(done.place / "small")
    assert before.keys() == after.keys()
    for block in range(2):
        norm, query = (f"model.layers.{block}.{part}.weight" for part in ("input_layernorm", "self_attn.q_proj"))
        scales = before[norm] / after[norm]
        change = (after[query] / scales - before[query]).norm() / before[query].norm()
        assert 0.01 < change < 0.15
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.allclose(after[name], before[name], atol=1e-3)
    original, quantized = scores(done.model, before), scores(done.model, after)
    assert np.corrcoef(original.ravel(), quantized.ravel())[0, 1] > 0.9


def by_autoawq(model):
    """Scale by AutoAWQ, and leave it at that."""
    from clipmill.extras.autoawq import Quantizer, awq

    kind = model.config.model_type
    wrapped = awq.models.auto.AWQ_CAUSAL_LM_MODEL_MAP[kind](
        model, kind, False, model.config, awq.models._config.AwqConfig(), None
    )
    wrapped.quantize(
        None,
        {"w_bit": 4, "q_group_size": 64, "zero_point": True, "version": "GEMM"},
        calib_data=[READ],
        max_calib_samples=1,
        max_calib_seq_len=len(READ),
        export_compatible=True,
        apply_clip=False,
        quantizer_cls=Quantizer,
    )


@cache
def scaled_by_llm_compressor() -> dict[tuple[str, int], Scaled]:
    """Models of all types, in the environment of llm-compressor; by type and number of heads."""
    script = Path(__file__).with_name("scaled_models.py")
    done = subprocess.run([PYTHON["llm-compressor"], script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [Scaled(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(one.kind, one.heads): one for one in found}


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize(
    ("backend", "kind"), [(name, kind) for name, backend in BACKENDS.items() for kind in backend.model_types]
)
def test_but_for_rounding_a_model_stays_the_same(backend, kind, heads):
    """What is scaled up in one layer is scaled down before it, also with fewer heads of keys than of queries."""
    found = scaled(kind, heads, by_autoawq) if backend == "autoawq" else scaled_by_llm_compressor()[kind, heads]
    assert found.changed
    assert found.difference < 1e-4


def test_vllm_reads_it(done):
    import vllm

    awq_kernel.declare_where_missing()
    small = done.place / "small"
    engine = vllm.LLM(
        str(small), dtype="bfloat16", enforce_eager=True, max_model_len=256, max_logprobs=512, max_num_seqs=2
    )
    settings = vllm.SamplingParams(max_tokens=8, temperature=0, ignore_eos=True, prompt_logprobs=512)
    (answer,) = engine.generate([{"prompt_token_ids": PROMPT}], settings, use_tqdm=False)
    assert len(answer.outputs[0].token_ids) == 8
    found = np.array(
        [[value.logprob for _, value in sorted(token.items())] for token in answer.prompt_logprobs[1:]], np.float32
    )
    expected = scores(done.model, weights(small))[:-1]
    assert found.shape == expected.shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999, "what it computes are these weights"


def test_a_second_run_does_nothing(done):
    before = {path.name: path.stat().st_mtime_ns for path in (done.place / "small").iterdir()}
    outcome = done.run("small")
    assert outcome.code == 0, outcome.output
    assert "small is up to date" in done.log and "calibrates" not in done.log
    assert {path.name: path.stat().st_mtime_ns for path in (done.place / "small").iterdir()} == before


def test_a_kill_leaves_nothing_and_the_next_run_takes_the_captions(tmp_path, model):
    quantizing = Quantizing(tmp_path, model("llama"))
    texts = [f"Clip {number} shows {text}" for number, text in enumerate(GENERIC * 2)]
    table = tables.REWRITES.of(tmp_path / "run", "000000")
    tables.REWRITES.write(table, [{"clip_id": text[:8], "text": text} for text in texts])
    process = subprocess.Popen(
        quantizing.command("small"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: " pieces" in quantizing.log, lambda: process.poll() is None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".small.tmp").exists()
    assert not (tmp_path / "small").exists()
    outcome = quantizing.run("small")
    assert outcome.code == 0, outcome.output
    assert f"calibrates on 2 of the {len(texts)} texts of run/work/rewrites" in quantizing.log
    assert not (tmp_path / ".small.tmp").exists()
    assert json.loads((tmp_path / "small" / "clipmill.json").read_text())["calibration"]["texts"] == 2


def test_a_model_that_sees_is_refused(tmp_path, model):
    quantizing = Quantizing(tmp_path, model("qwen2_5_vl"))
    assert explain(quantizing.run("small"), "quantize failed", "is no causal language model that can be quantized here")
    assert not (tmp_path / "small").exists()
