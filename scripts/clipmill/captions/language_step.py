"""The base of captioner and rewriter: a language model, its prompt, and what tables and journals say about both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clipmill import chat
from clipmill.chat import ChatModel, Task
from clipmill.texts.prompts import PLACES, fill, places

NO_THINKING = {"enable_thinking": False}


class Asking:
    """A `chat` model and the `task` of its answers.

    `step`: the step that the prompt is for. `more`: everything else that an answer depends on, besides the model, the
    prompt and the task.
    """

    def __init__(self, step: str, chat_model: ChatModel, prompt: str, task: Task, **more: Any):
        self.step, self.chat, self.task = step, chat_model, task
        self._prompt, self._places = prompt, places(prompt, PLACES[step], f"{step}.prompt")
        self._asked = {"prompt": prompt, "system": task.system, "max_tokens": task.max_tokens, **more}
        # Left out, so that journals of before the setting keep their keys: only a model that thinks answers otherwise
        # now, and `shard.answers_are_clean` tells its old answers.
        if task.template != NO_THINKING:
            self._asked["template"] = task.template

    @property
    def about(self) -> dict[str, Any]:
        """Everything that a result depends on, besides the clip or caption."""
        return {**self.chat.about, **self._asked}

    @property
    def model(self) -> str:
        """The model's name in tables."""
        return chat.name(self.chat)

    def question(self, values: Mapping[str, Callable[[], str]]) -> str:
        """The prompt, with its places filled by the functions in `values`."""
        return fill(self._prompt, self._places, values)
