"""Rewrites captions by a language model: empty phrases are removed, and nothing may be added."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from clipmill.base.errors import ItemError
from clipmill.base.human import counted
from clipmill.captions import Answers, Caption
from clipmill.captions.fields import read_fields, schema
from clipmill.captions.language_step import Asking
from clipmill.chat import PASSING, REFUSED, Answer, ChatModel, Request, Task
from clipmill.texts.checks import is_refusal, words_of
from clipmill.texts.prompts import PLACES
from clipmill.texts.thoughts import has_thoughts

# The answer's one field, and its most characters: not 2000, which llama.cpp refuses of all numbers.
FIELD = {"text": 1900}
RETRY_TEMPERATURE = 0.7  # the most likely answer was refused: draw another one
SLACK = 5  # words that every text may be longer than `max_growth` allows
SHORT = 4  # letters: shorter words do not count as content words
COMMON = frozenset(
    re.findall(
        r"\w+",
        "about above after along also among around away back before behind being below beside between clip down during "
        "each from have into just like more most near next onto other over scene seen shows some such than that their "
        "them then there these they this those through under very video what when where which while with would",
    )
)


class Rewriter(Asking):
    """Rewrites by a chat model, with up to `max_tries` tries per caption.

    An answer is refused if it is longer than `max_growth` times its source, has none of its content words, or is a
    refusal. `on_failure`: `keep` the caption as it is, or `drop` it.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        prompt: str,
        system: str | None,
        template: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
        max_tries: int,
        max_growth: float,
        on_failure: str,
    ):
        super().__init__(
            "rewrite",
            chat_model,
            prompt,
            Task(max_tokens, system, schema(FIELD), template=template),
            sampling=[temperature, seed],
            max_tries=max_tries,
            max_growth=max_growth,
            on_failure=on_failure,
        )
        self._temperature, self._seed = temperature, seed
        self._max_tries, self._max_growth, self._on_failure = max_tries, max_growth, on_failure

    def rewrite(self, captions: list[Caption]) -> Answers:
        """See `RewriteBackend`. All captions are tried once, then those whose answers were refused again, and so on."""
        todo = {caption.clip_id: caption.text for caption in captions}
        why: dict[str, str] = {}
        for attempt in range(self._max_tries):
            asked, todo = todo, {}
            for outcome in self.chat.answers((self._request(*item, attempt) for item in asked.items()), self.task):
                if outcome is None:
                    yield None
                    continue
                clip_id, answer = outcome
                text, fault = self._judge(asked[clip_id], answer)
                if isinstance(fault, ItemError):
                    yield clip_id, fault
                elif not fault:
                    yield clip_id, {"text": text, "rewrite_model": self.model, "rewritten": True}
                elif isinstance(answer, ItemError) and answer.kind == REFUSED:  # as it would be the next time
                    yield clip_id, self._failed(asked[clip_id], fault, attempt + 1)
                else:
                    todo[clip_id], why[clip_id] = asked[clip_id], fault
        for clip_id, caption in todo.items():
            yield clip_id, self._failed(caption, why[clip_id], self._max_tries)

    def _request(self, clip_id: str, caption: str, attempt: int) -> Request:
        temperature = max(self._temperature, RETRY_TEMPERATURE) if attempt else self._temperature
        drawn = hashlib.sha256(f"{self._seed} {clip_id} {attempt}".encode()).digest()
        text = self.question(dict.fromkeys(PLACES["rewrite"], lambda: caption))
        return Request(clip_id, text, temperature=temperature, seed=int.from_bytes(drawn[:3], "big"))

    def _judge(self, caption: str, answer: Answer | ItemError) -> tuple[str, str | ItemError | None]:
        """The text of an answer, and its fault: an ItemError if the fault does not depend on the caption."""
        if isinstance(answer, ItemError):
            return "", answer if answer.kind in PASSING else str(answer)
        try:
            text = read_fields(answer.text, FIELD)["text"]
        except ItemError as error:
            return "", str(error)
        return text, loss(caption, text, self._max_growth)

    def _failed(self, caption: str, why: str, tries: int) -> dict[str, Any] | ItemError:
        if self._on_failure == "drop":
            return ItemError(
                "not_rewritten", f"no good answer in {counted(tries, 'try', 'tries')}; the last one: {why}"
            )
        return {
            "text": " ".join(caption.split()),
            "rewrite_model": self.model,
            "rewritten": False,
            "refused_since": why,
        }


def loss(source: str, text: str, max_growth: float) -> str | None:
    """Why `text` cannot replace its `source`; None if it can."""
    before, after = words_of(source.lower()), words_of(text.lower())
    if not after:
        return "it is empty"
    if has_thoughts(text) and not has_thoughts(source):
        return "it holds thoughts about the answer"
    if is_refusal(text) and not is_refusal(source):
        return "it is a refusal"
    if len(after) > max_growth * len(before) + SLACK:
        return f"it has {counted(len(after), 'word')}, the caption {len(before)}"
    about = content_words(before)
    if about and not about & content_words(after):
        return "it has none of the caption's content words"
    return None


def content_words(words: list[str]) -> set[str]:
    """The words that say what a text is about, without their endings; of Chinese and the like, single characters."""
    wide = {word for word in words if len(word) == 1 and ord(word) > 0x2FFF}
    long = {word for word in words if len(word) >= SHORT and word not in COMMON}
    return wide | {word[: max(SHORT, len(word) - 2)] for word in long}
