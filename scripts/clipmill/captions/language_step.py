"""What captioner and rewriter share: a language model, what it is asked, and how tables and journals know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clipmill import chat
from clipmill.chat import ChatModel, Task
from clipmill.texts.prompts import PLACES, fill, places


class Asking:
    """A `chat` model and the `task` of its answers.

    `step`: whose prompt it is. `more`: what else an answer depends on, beside the model, the prompt and the task.
    """

    def __init__(self, step: str, chat_model: ChatModel, prompt: str, task: Task, **more: Any):
        self.chat, self.task = chat_model, task
        self._prompt, self._places = prompt, places(prompt, PLACES[step], f"{step}.prompt")
        self._asked = {"prompt": prompt, "system": task.system, "max_tokens": task.max_tokens, **more}

    @property
    def about(self) -> dict[str, Any]:
        """All that a result depends on, beside the clip or caption."""
        return {**self.chat.about, **self._asked}

    @property
    def model(self) -> str:
        """How tables call the model."""
        return chat.name(self.chat)

    def question(self, values: Mapping[str, Callable[[], str]]) -> str:
        """The prompt with what `values` give for its places."""
        return fill(self._prompt, self._places, values)
