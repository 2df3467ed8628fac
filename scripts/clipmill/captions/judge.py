"""Questions about a clip to a vision-language model, answered by yes, no or unsure: one request per clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clipmill.captions import Clip
from clipmill.captions.fields import read_fields, schema
from clipmill.captions.looking import Looking
from clipmill.chat import Answer, ChatModel, Task
from clipmill.texts.questions import asking


class Judge(Looking):
    """Answers by a chat model, in a JSON object. `questions`: column and text of each; for the rest see `Looking`."""

    def __init__(
        self,
        chat_model: ChatModel,
        prompt: str,
        system: str | None,
        template: dict[str, Any] | None,
        questions: Sequence[Sequence[str]],
        frames: int,
        frames_per_second: float | None,
        max_side: int | None,
        send: str,
        max_tokens: int,
    ):
        self._asked_columns = [column for column, _ in questions]
        task = Task(max_tokens, system, schema({}, self._asked_columns), frames, send == "video", template)
        super().__init__("judge", chat_model, asking(prompt, questions), task, frames_per_second, max_side)

    def _values(self, clip: Clip, heard: bool) -> Mapping[str, Callable[[], str]]:
        return {}

    def _columns(self, answer: Answer, heard: bool) -> dict[str, Any]:
        return {"judge_model": self.model, **read_fields(answer.text, {}, self._asked_columns)}
