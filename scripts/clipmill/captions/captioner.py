"""Captions by a vision-language model: frames, maybe a sound, and a prompt go out, a text comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clipmill.captions import Clip
from clipmill.captions.camera import camera_phrase
from clipmill.captions.fields import CAPTION, FIELDS, OF_SOUND, read_fields, schema
from clipmill.captions.looking import Looking
from clipmill.chat import Answer, ChatModel, Task
from clipmill.texts.heard import NONE, said
from clipmill.texts.questions import asking

WHOLE = "caption"  # the field of an answer that has a caption beside other fields
# What a prompt says of the sound, in place of {sound}.
WITH_SOUND = "You also hear the sound of the whole clip."
WITHOUT_SOUND = f"The clip has no sound: answer {NONE} where it is asked for."


class Captioner(Looking):
    """Captions by a chat model.

    `frames`: uniform ones per clip; or `frames_per_second`, if it is given and yields no more than `frames`.
    `max_side`: pixels; larger pictures are made smaller to this; None sends the kept frames as they are. `send`:
    `images`, or `video` at the true rate of the frames. `structured` asks for FIELDS, of which one is the caption.
    `judge`: the `prompt` and the `questions` of a judge, if the same request shall answer these too. `audio` sends the
    clip's sound too, and asks for OF_SOUND.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        prompt: str,
        system: str | None,
        template: dict[str, Any] | None,
        frames: int,
        frames_per_second: float | None,
        max_side: int | None,
        send: str,
        structured: bool,
        max_tokens: int,
        temperature: float,
        seed: int,
        judge: Mapping[str, Any] | None = None,
        audio: bool = False,
    ):
        self._structured = structured
        self._texts = FIELDS if structured else {}
        self._answers: list[str] = []
        if judge is not None:
            prompt = f"{prompt}\n\n{asking(**judge)}"
            self._answers = [column for column, _ in judge["questions"]]
        if audio or judge is not None:
            self._texts = self._texts or {WHOLE: FIELDS[CAPTION]}
        if audio:
            self._texts = {**self._texts, **OF_SOUND}
        task = Task(
            max_tokens,
            system,
            schema(self._texts, self._answers) if self._texts else None,
            frames,
            send == "video",
            template,
            audio,
        )
        super().__init__(
            "caption",
            chat_model,
            prompt,
            task,
            frames_per_second,
            max_side,
            temperature,
            seed,
            structured=structured,
        )
        if "{camera}" in prompt:
            self.reads = ("camera", "camera_speed")

    def _values(self, clip: Clip, heard: bool) -> Mapping[str, Callable[[], str]]:
        return {**measured(clip), "sound": lambda: WITH_SOUND if heard else WITHOUT_SOUND}

    def _columns(self, answer: Answer, heard: bool) -> dict[str, Any]:
        columns = {"caption": answer.text, "caption_model": self.model, "caption_whole": answer.whole}
        if not self._texts:
            return columns
        fields = read_fields(answer.text, self._texts, self._answers)
        columns["caption"] = fields.pop(CAPTION if self._structured else WHOLE)
        columns |= {name: fields.pop(name) for name in self._answers}
        if self.task.sound:
            # A model cannot tell of a sound that it was not sent.
            fields |= {name: said(fields[name]) if heard else NONE for name in OF_SOUND}
            columns["caption_heard"] = heard
        return {**columns, **{f"caption_{name}": text for name, text in fields.items()}}


def measured(clip: Clip) -> dict[str, Callable[[], str]]:
    """Functions that compute the values for a prompt's places; each is called only if its place is in the prompt."""
    return {
        "seconds": lambda: f"{clip.facts.seconds:.1f}",
        "width": lambda: str(clip.facts.width),
        "height": lambda: str(clip.facts.height),
        "fps": lambda: f"{clip.facts.fps:.2f}",
        "camera": lambda: camera_phrase(clip.facts) or "moves in a way that was not measured",
    }
