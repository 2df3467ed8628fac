"""A model in transformers, in this process: slower than vLLM, but runs wherever torch does, also without a GPU."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image

from clipmill.base.errors import ItemError, SetupError, in_line
from clipmill.base.usage import starting
from clipmill.chat import REFUSED, Answer, Outcome, Request, Task, answer_of
from clipmill.chat.grammar import Grammar
from clipmill.chat.sounds import RATE, samples_of
from clipmill.models import batches, gpu
from clipmill.models.checkpoints import Checkpoint, find_language_model, load_transformers
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.texts.thoughts import opened_thoughts

declare_missing_operators()  # before transformers, which imports torchvision, is imported below

log = logging.getLogger("clipmill")

TAIL = 8  # tokens at the end of a prompt in which a template may open thoughts

# Errors of tokenizers and processors for a request that they refuse; StopIteration: a picture's mark without a picture.
REFUSALS = (ValueError, TypeError, LookupError, StopIteration)


class Local:
    """A model of transformers: a vision-language model if transformers lists its type as one, else a text model.

    `model` and `revision`: see `checkpoints.find_model`. `dtype`: see `gpu.precision`. `trust_remote_code` lets the
    model's own code run. The model is loaded with the first request, onto one GPU or the CPU.
    """

    batch = 4

    def __init__(self, model: str, revision: str | None, dtype: str, trust_remote_code: bool):
        self._model, self._revision, self._dtype, self._trust = model, revision, dtype, trust_remote_code
        self.where = model
        self._grammars: dict[str, Grammar] = {}

    @property
    def about(self) -> dict[str, Any]:
        """See `ChatModel`. Finds the files."""
        return {"backend": "transformers", **self._checkpoint.identity(), "dtype": self._dtype}

    def checkpoints(self) -> list[Checkpoint]:
        """See `ChatModel`."""
        return [self._checkpoint]

    def servers(self) -> Iterator[Local]:
        """There is one."""
        yield self

    def answers(self, requests: Iterable[Request], task: Task) -> Iterator[Outcome | None]:
        """See `ChatModel`. Answers come one batch at a time."""
        todo = iter(requests)
        while asked := list(islice(todo, self.batch)):
            yield None  # earlier answers are written down before this batch, which takes long
            outcomes = batches.in_batches(self._answer, [(request, task) for request in asked], self.batch)
            yield from zip((request.id for request in asked), outcomes, strict=True)

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return find_language_model(self._model, self._revision, self._trust)

    @cached_property
    @starting()
    def _loaded(self) -> _Loaded:
        started = time.monotonic()
        loaded = _load(self._checkpoint, gpu.precision(self._dtype), self._trust)
        log.info("%s loaded onto %s in %.0f s", self._model, gpu.device(), time.monotonic() - started)
        return loaded

    def _answer(self, asked: list[tuple[Request, Task]]) -> list[Answer | ItemError]:
        """One outcome per request; all requests have the same task."""
        requests, task = [request for request, _ in asked], asked[0][1]
        loaded = self._loaded
        loaded.check(task)
        grammar = self._grammar(task.schema) if task.schema else None
        fault = None
        try:
            inputs = loaded.inputs(requests, task)
        except AttributeError as error:
            raise _other_version(self._model, error) from error
        except REFUSALS as error:
            why = "its text has a mark of a picture in it" if isinstance(error, StopIteration) else in_line(error)
            fault = ItemError(REFUSED, f"{self._model}: the request is refused: {why}")
        if fault is None:
            return loaded.generate(inputs, requests, task, grammar)
        if len(asked) == 1:
            return [fault]
        return [outcome for alone in asked for outcome in self._answer([alone])]  # only those at fault are refused

    def _grammar(self, schema: dict[str, Any]) -> Grammar:
        name = repr(schema)
        if name not in self._grammars:
            try:
                self._grammars[name] = Grammar(schema, self._loaded.tokenizer, self._loaded.ends)
            except ValueError as error:
                raise SetupError(
                    f"{self._model}: its answers cannot be held to a JSON schema ({in_line(error)}); name another "
                    "model or backend"
                ) from error
        return self._grammars[name]


@dataclass(frozen=True)
class _Loaded:
    """A loaded model. `processor`: of texts and pictures; for a text model it is the tokenizer itself.

    `ends`: the tokens that end an answer.
    """

    name: str
    model: Any
    processor: Any
    tokenizer: Any
    ends: list[int]

    @property
    def sees(self) -> bool:
        return self.processor is not self.tokenizer

    @property
    def hears(self) -> bool:
        """Whether it takes sounds, at the rate at which they are sent."""
        ears = getattr(self.processor, "feature_extractor", None)
        encoder = getattr(self.model.config, "audio_config", None)
        return encoder is not None and getattr(ears, "sampling_rate", None) == RATE

    def check(self, task: Task) -> None:
        """Raise SetupError if the model cannot do this task."""
        if task.images and not self.sees:
            raise SetupError(f"{self.name}: takes no pictures; name a vision-language model")
        if task.images and task.as_video and getattr(self.processor, "video_processor", None) is None:
            raise SetupError(f"{self.name}: takes no videos; set caption.send: images, or name another model")
        if task.sound and not self.hears:
            raise SetupError(f"{self.name}: takes no sound; set caption.audio: false, or name a model that hears")

    def inputs(self, requests: list[Request], task: Task) -> dict[str, torch.Tensor]:
        """The model's input, padded on the left. Raises one of REFUSALS if a request is refused."""
        prompts = [self._prompt(request, task) for request in requests]
        pictures = [_pictures(request.images) for request in requests]
        options: dict[str, Any] = {}
        if not self.sees:
            options["return_token_type_ids"] = False
        elif any(pictures) and task.as_video:
            options["videos"] = [[np.stack(frames)] for frames in pictures]
            options["video_metadata"] = [[_metadata(request)] for request in requests]
            options["do_sample_frames"] = False  # use all of them
        elif any(pictures):
            options["images"] = [[Image.fromarray(picture) for picture in row] for row in pictures]
        if sounds := [samples_of(request.sound) for request in requests if request.sound is not None]:
            options["audio"] = sounds
            options["audio_kwargs"] = {"sampling_rate": RATE, "truncation": False}  # else some hear the beginning alone
        begin = self.tokenizer.bos_token
        if not self.sees or (begin and prompts[0].startswith(begin)):
            options["add_special_tokens"] = False  # the template adds them
        made = self.processor(text=prompts, padding=True, return_tensors="pt", **options)
        longest = int(made["attention_mask"].sum(dim=1).max())
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if room and longest + task.max_tokens > room:
            raise ValueError(
                f"{longest} tokens and an answer of {task.max_tokens} are more than the {room} that it takes; send "
                "fewer or smaller frames, or ask for a shorter answer"
            )
        return {name: self._placed(name, value) for name, value in made.items()}

    def generate(
        self, inputs: dict[str, torch.Tensor], requests: list[Request], task: Task, grammar: Grammar | None
    ) -> list[Answer | ItemError]:
        """An answer for each row."""
        processors: list[Any] = [grammar.guide(len(requests))] if grammar else []
        if any(request.temperature for request in requests):
            processors.append(_Draw(requests, self.model.device))
        with torch.inference_mode():
            rows = self.model.generate(
                **inputs,
                max_new_tokens=task.max_tokens,
                do_sample=False,  # _Draw draws
                logits_processor=processors,
            )
        asked, answered = rows.tensor_split([inputs["input_ids"].shape[1]], dim=1)
        opened = opened_thoughts(self.tokenizer.decode(asked[0, -TAIL:]))  # by the template, which all rows have
        return [self._read(row, opened) for row in answered.tolist()]

    def _prompt(self, request: Request, task: Task) -> str:
        """The request in the form of the model's own chat template, with a mark for each picture and the sound."""
        kinds = ["video"] if task.as_video and request.images else ["image"] * len(request.images)
        kinds += [] if request.sound is None else ["audio"]
        said = [("system", task.system)] * bool(task.system) + [("user", request.text)]
        conversation: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in said]
        if self.sees:
            for message in conversation:
                message["content"] = [{"type": "text", "text": message["content"]}]
            conversation[-1]["content"] = [{"type": kind} for kind in kinds] + conversation[-1]["content"]
        # transformers warns, once per request, of values that the template does not use.
        values = {
            name: value for name, value in (task.template or {}).items() if name in str(self.processor.chat_template)
        }
        try:
            return self.processor.apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=True, **values
            )
        except Exception as error:  # a template is a program, and can raise any error
            raise SetupError(
                f"{self.name}: its chat template does not take the conversation ({in_line(error)}); leave the step's "
                "`system` at null, or name a model that is made for chat"
            ) from error

    def _placed(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """`value` on the model's device; media in its precision, which not all models convert by themselves."""
        is_medium = name.startswith(("pixel_values", "input_features")) and value.is_floating_point()
        return value.to(self.model.device, self.model.dtype if is_medium else None)

    def _read(self, tokens: list[int], opened: str = "") -> Answer | ItemError:
        """The answer in `tokens`. `opened`: the mark at the end of the prompt that opens thoughts, if there is one."""
        end = next((number for number, token in enumerate(tokens) if token in self.ends), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return answer_of(opened + text, end is not None, self.name)


class _Draw:
    """A logits processor that draws each row by its own seed, so that no answer depends on the others of the batch.

    It adds Gumbel noise to the scores: the largest sum is a draw from their distribution, so greedy decoding draws.
    """

    def __init__(self, requests: list[Request], device: torch.device):
        self._rows = [
            (row, request.temperature, torch.Generator(device).manual_seed(request.seed))
            for row, request in enumerate(requests)
            if request.temperature
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores`: rows × vocabulary."""
        drawn = scores.clone()
        for row, temperature, generator in self._rows:
            waits = torch.empty_like(scores[row]).exponential_(generator=generator).clamp_min_(1e-30)
            drawn[row] = scores[row] / temperature - waits.log()
        return drawn


def _load(checkpoint: Checkpoint, precision: torch.dtype, trust: bool) -> _Loaded:
    """Load a model. Raises SetupError if the files are no chat model."""
    import transformers

    name, options = checkpoint.model, {"local_files_only": True, "trust_remote_code": trust}
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.path, **options)
        config = getattr(config, "thinker_config", config)  # of a model that also speaks: the part that writes
        cls = _class(config)
        sees = cls is transformers.AutoModelForImageTextToText
        auto = transformers.AutoProcessor if sees else transformers.AutoTokenizer
        processor: Any = auto.from_pretrained(checkpoint.path, **options) if cls else None
    except (ValueError, OSError, ImportError, LookupError) as error:
        code = "; set trust_remote_code to true if you trust it" if "trust_remote_code" in str(error) else ""
        raise SetupError(f"{name}: transformers does not read it: {in_line(error)}{code}") from error
    except (AttributeError, TypeError) as error:
        raise _other_version(name, error) from error
    if cls is None:
        raise SetupError(
            f"{name}: a {config.model_type} writes no texts; name a vision-language model or a language model"
        )
    try:
        model = gpu.placed(
            load_transformers(cls, checkpoint, config=config, dtype=precision, trust_remote_code=trust), name
        )
    except (AttributeError, TypeError) as error:
        raise _other_version(name, error) from error
    tokenizer = getattr(processor, "tokenizer", processor)
    if not (processor.chat_template or tokenizer.chat_template):
        raise SetupError(f"{name}: has no chat template; name a model that is made for chat, an -Instruct one mostly")
    processor.chat_template = processor.chat_template or tokenizer.chat_template
    ends = _ends(model.generation_config.eos_token_id, tokenizer.eos_token_id)
    if not ends:
        raise SetupError(f"{name}: has no token that ends an answer; name a model that is made for chat")
    tokenizer.padding_side = "left"  # answers begin in the same column
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = ends[0]
    # Nothing else: a checkpoint may ask for sampling and penalties that the config of the run does not mention.
    model.generation_config = transformers.GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    return _Loaded(name, model, processor, tokenizer, ends)


def _other_version(name: str, error: Exception) -> SetupError:
    """A processor or model that looks for what is not there: mostly its own code, made for other versions."""
    import transformers

    return SetupError(
        f"{name}: its code or its files do not fit transformers {transformers.__version__} ({in_line(error)}); name "
        "another revision or model, or its form for transformers (often named -hf)"
    )


def _class(config: Any) -> Any:
    """The class of transformers that loads a model of this type; None if it writes no texts."""
    import transformers

    kinds = {
        transformers.AutoModelForImageTextToText: transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        transformers.AutoModelForCausalLM: transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
    }
    own = getattr(config, "auto_map", None) or {}
    return next((cls for cls, known in kinds.items() if type(config) in known or cls.__name__ in own), None)


def _ends(*tokens: int | list[int] | None) -> list[int]:
    listed = [token if isinstance(token, list) else [token] for token in tokens if token is not None]
    return list(dict.fromkeys(token for part in listed for token in part))


def _pictures(images: tuple[bytes, ...]) -> list[np.ndarray]:
    """RGB, height × width × 3, uint8. Raises ValueError."""
    try:
        return [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]
    except OSError as error:  # its text contains an address in memory
        raise ValueError("an image is no picture, or only a part of one") from error


def _metadata(request: Request) -> Any:
    """Tells the processor that these frames are the whole video, and their rate."""
    from transformers.video_utils import VideoMetadata

    count = len(request.images)
    return VideoMetadata(count, request.fps, duration=count / request.fps, frames_indices=list(range(count)))
