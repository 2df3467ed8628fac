"""Small models before and after AWQ scales their weights: what is scaled up in one layer is scaled down before it.

    python tests/with_vllm/scaled_models.py

In the environment of llm-compressor, this scales a model of each type that it can quantize. It prints a line of JSON
per model, with the fields of `Scaled`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

PROMPT = list(range(40, 120))
READ = PROMPT[:32]  # what a model reads while it is scaled
SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 64}
SIZES |= {"vocab_size": 512, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
HEADS = (1, 2)  # of keys, with two of queries


@dataclass(frozen=True)
class Scaled:
    """`changed`: whether weights have changed. `difference`: of the logits, as a share of the largest one."""

    kind: str
    heads: int
    changed: bool
    difference: float


def scaled(kind: str, heads: int, scale: Callable[[Any], Any]) -> Scaled:
    """What `scale` does to a small model. Its channels have different sizes, as those of trained models."""
    import transformers

    experts = EXPERTS if kind.endswith("_moe") else {}
    config = transformers.AutoConfig.for_model(kind, **SIZES, **experts, num_key_value_heads=heads)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
        for values in model.parameters():
            if values.dim() > 1:
                values.normal_(0, 0.1).mul_(torch.rand(values.shape[-1]).add(0.1))
            else:
                values.add_(0.1 * torch.randn(values.shape))
    model.config.use_cache = False
    before = {name: values.clone() for name, values in model.state_dict().items()}
    expected = logits(model).clone()
    scale(model)
    after = model.state_dict()
    changed = any(not torch.equal(values, before[name]) for name, values in after.items() if name in before)
    return Scaled(kind, heads, changed, ((logits(model) - expected).abs().max() / expected.abs().max()).item())


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([PROMPT])).logits


def by_llm_compressor(model: Any) -> None:
    """Scale by llm-compressor, and leave it at that: the model does not round."""
    from compressed_tensors.quantization import QuantizationArgs, disable_quantization

    from clipmill.extras.llm_compressor import calibrate

    weights = QuantizationArgs(num_bits=4, type="int", strategy="group", group_size=64, symmetric=False)
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)  # llm-compressor looks there whether the model is quantized already
        model.config._name_or_path = folder
        calibrate(model, object(), [READ], weights)
    model.apply(disable_quantization)


def main() -> None:
    from clipmill.extras.quantize import BACKENDS

    for kind in BACKENDS["llm-compressor"].model_types:
        for heads in HEADS:
            print(json.dumps(asdict(scaled(kind, heads, by_llm_compressor))), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
    main()
