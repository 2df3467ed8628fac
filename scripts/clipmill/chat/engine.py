"""vLLM in this process: its engine batches requests continuously, so new ones join while others are answered."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import pybase64

from clipmill.base.errors import ItemError, SetupError, in_line
from clipmill.base.processes import children_die_with_us
from clipmill.base.usage import starting
from clipmill.chat import IDLE_SECONDS, REFUSED, Answer, Outcome, Request, Task, answer_of, media_kwargs, messages
from clipmill.models import leases
from clipmill.models.checkpoints import Checkpoint, find_language_model

log = logging.getLogger("clipmill")

# vLLM reads sounds by PyAV, which is there, before it complains of other packages that are not.
SOUND_KWARGS = {"audio": {"audio_backend": "pyav"}}


class Engine:
    """A model in vLLM, spread over the job's GPUs. Without a GPU it needs a build of vLLM that runs on the CPU.

    Settings that are null are left to vLLM. `stop_token_ids`: tokens that end an answer, besides those that the model's
    tokenizer and its generation_config.json name. `options`: more arguments of `vllm.LLM`.

    What generation_config.json says of drawing (`repetition_penalty`, `top_p`, …) is not followed, as in `local`:
    vLLM's server does follow it.
    """

    batch = 256

    def __init__(
        self,
        model: str,
        revision: str | None,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        dtype: str,
        quantization: str | None,
        trust_remote_code: bool,
        stop_token_ids: list[int],
        options: dict[str, Any],
    ):
        self._stops = stop_token_ids
        self._model, self._revision, self._trust = model, revision, trust_remote_code
        self.where = model
        self._arguments = {
            "max_model_len": max_model_len,
            "gpu_memory_utilization": gpu_memory_utilization,
            "dtype": dtype,
            "quantization": quantization,
            **options,
        }
        self._engine: Any = None

    @property
    def about(self) -> dict[str, Any]:
        """See `ChatModel`. Finds the files."""
        chosen = {name: value for name, value in self._arguments.items() if name != "gpu_memory_utilization"}
        stops = {"stop_token_ids": sorted(self._stops)} if self._stops else {}  # earlier journals know no such key
        return {"backend": "vllm", **self._checkpoint.identity(), **chosen, **stops}

    def checkpoints(self) -> list[Checkpoint]:
        """See `ChatModel`."""
        return [self._checkpoint]

    def servers(self) -> Iterator[Engine]:
        """There is one."""
        yield self

    def answers(self, requests: Iterable[Request], task: Task) -> Iterator[Outcome | None]:
        """See `ChatModel`. The engine starts with the first request; without requests it does not start."""
        todo, last = iter(requests), time.monotonic()
        under_way: set[str] = set()
        while True:
            while len(under_way) < self.batch and (request := next(todo, None)) is not None:
                fault = self._add(request, task)
                if fault:
                    yield request.id, fault
                else:
                    under_way.add(request.id)
                del request
            if not under_way:
                return
            for output in self._engine.llm_engine.step():
                if output.finished and output.request_id in under_way:
                    under_way.remove(output.request_id)
                    yield output.request_id, self._answer(output.outputs[0])
                    last = time.monotonic()
            if time.monotonic() - last > IDLE_SECONDS:
                last = time.monotonic()
                yield None

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return find_language_model(self._model, self._revision, self._trust)

    @starting()
    def _start(self, task: Task) -> None:
        """Load the model, which takes minutes. vLLM reserves memory for the most media that a request may have."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        import vllm

        arguments = {name: value for name, value in self._arguments.items() if value is not None}
        if task.images:
            limits = {"image": 0, "video": 1} if task.as_video else {"image": task.images, "video": 0}
            limits |= {"audio": int(task.sound)}
            arguments.setdefault("limit_mm_per_prompt", limits)
        log.info("vLLM %s starts with %s", vllm.__version__, self._model)
        started = time.monotonic()
        try:
            with children_die_with_us():  # vLLM's process would outlive a killed job and keep the GPU's memory
                self._engine = vllm.LLM(
                    model=str(self._checkpoint.path),
                    tensor_parallel_size=max(len(leases.leased_devices()), 1),
                    trust_remote_code=self._trust,
                    max_num_seqs=self.batch,
                    seed=0,
                    disable_log_stats=True,
                    structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
                    **arguments,
                )
        except (ImportError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise SetupError(f"{self._model}: vLLM does not start it: {_with_advice(error)}") from error
        log.info("vLLM started in %.0f s", time.monotonic() - started)

    def _add(self, request: Request, task: Task) -> ItemError | None:
        """Give a request to the engine. Returns an ItemError if the request is at fault."""
        if self._engine is None:
            self._start(task)
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.renderers import ChatParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        params = SamplingParams(
            max_tokens=task.max_tokens,
            temperature=request.temperature,
            seed=request.seed if request.temperature else None,
            stop_token_ids=self._stops,
            structured_outputs=StructuredOutputsParams(json=task.schema) if task.schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        chat = ChatParams(
            chat_template_kwargs={"add_generation_prompt": True, **(task.template or {})},
            media_io_kwargs=(media_kwargs(request) if task.as_video else {}) | SOUND_KWARGS,
        )
        renderer = self._engine.renderer
        tokens = renderer.default_chat_tok_params.with_kwargs(add_special_tokens=False)  # the template adds them
        try:
            _, (prompt,) = renderer.render_chat([messages(request, task, _base64)], chat, tokens)
            self._engine.llm_engine.add_request(request.id, prompt, params)
        except (VLLMClientError, ValueError, TypeError) as error:
            # too long for the model, more pictures than it takes, or a sound to one without ears
            return ItemError(REFUSED, f"{self._model}: vLLM refuses the request: {in_line(error, 300)}")
        except AttributeError as error:  # mostly of a processor that comes with the model, for other versions
            raise SetupError(
                f"{self._model}: its processor does not fit this vLLM ({in_line(error)}); name another revision or "
                "model"
            ) from error
        return None

    def _answer(self, output: Any) -> Answer | ItemError:
        ended = output.finish_reason
        return answer_of(output.text, ended != "length", self.where, f" (finish_reason {ended!r})")


def _base64(medium: bytes) -> str:
    return pybase64.b64encode(medium).decode()


def _with_advice(error: BaseException) -> str:
    """vLLM's message, with advice if the memory is too small."""
    text = in_line(error, 300)
    if "memory" in text.lower():
        return f"{text}; give the step more GPUs, a smaller or quantized model, or a smaller max_model_len"
    return text
