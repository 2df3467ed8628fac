"""Captions by a vision-language model: frames and a prompt go out, a text comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, item_error
from clipmill.base.opencv import cv2
from clipmill.captions import Answered, Answers, Clip
from clipmill.captions.describe import camera_phrase
from clipmill.captions.fields import CAPTION, FIELDS, read_fields, schema
from clipmill.captions.language_step import Asking
from clipmill.chat import Answer, ChatModel, Request, Task
from clipmill.decode.frames import LOST_FRAMES, jpeg_size
from clipmill.decode.reading import FrameChoice

QUALITY = 90  # JPEG quality of pictures that are made smaller


class Captioner(Asking):
    """Captions by a chat model.

    `frames`: uniform ones per clip; or `frames_per_second`, if it is given and yields no more than `frames`.
    `max_side`: pixels; larger pictures are made smaller to this; None sends the kept frames as they are. `send`:
    `images`, or `video` at the true rate of the frames. `structured` asks for FIELDS, of which one is the caption.
    """

    reads: tuple[str, ...] = ()  # facts that the prompt names

    def __init__(
        self,
        chat_model: ChatModel,
        prompt: str,
        system: str | None,
        frames: int,
        frames_per_second: float | None,
        max_side: int | None,
        send: str,
        structured: bool,
        max_tokens: int,
        temperature: float,
        seed: int,
    ):
        task = Task(max_tokens, system, schema(FIELDS) if structured else None, frames, send == "video")
        super().__init__(
            "caption",
            chat_model,
            prompt,
            task,
            frames=[frames, frames_per_second],
            max_side=max_side,
            send=send,
            structured=structured,
            sampling=[temperature, seed] if temperature else [0],
        )
        if "{camera}" in prompt:
            self.reads = ("camera", "camera_speed")
        self._frame_choice, self._max_side = FrameChoice(frames, frames_per_second), max_side
        self._structured, self._temperature, self._seed = structured, temperature, seed

    def caption(self, clips: Iterable[Clip]) -> Answers:
        """See `CaptionBackend`. A clip whose frames cannot be read is reported before the next outcome."""
        unread: list[Answered] = []

        def requests() -> Iterator[Request]:
            for clip in clips:
                try:
                    yield self._request(clip)
                except Exception as error:
                    if (failed := item_error(error)) is None:
                        raise
                    unread.append((clip.clip_id, failed))

        for outcome in self.chat.answers(requests(), self.task):
            yield from unread
            unread.clear()
            yield outcome and (outcome[0], self._columns(outcome[1]))
        yield from unread

    def _request(self, clip: Clip) -> Request:
        images, times = clip.jpegs(self._frame_choice)
        if self._max_side:
            images = [smaller(image, self._max_side) for image in images]
        span = times[-1] - times[0]
        fps = (len(times) - 1) / span if span > 0 else 1.0
        text = self.question(measured(clip))
        return Request(clip.clip_id, text, tuple(images), fps, self._temperature, self._seed)

    def _columns(self, answer: Answer | ItemError) -> dict[str, Any] | ItemError:
        if isinstance(answer, ItemError):
            return answer
        columns = {"caption": answer.text, "caption_model": self.model, "caption_whole": answer.whole}
        if not self._structured:
            return columns
        if not answer.whole:
            return ItemError(
                "cut_off", "the answer was cut off before its end; raise caption.max_tokens", lasting=False
            )
        try:
            fields = read_fields(answer.text, FIELDS)
        except ItemError as error:
            return error
        columns["caption"] = fields.pop(CAPTION)
        return {**columns, **{f"caption_{name}": text for name, text in fields.items()}}


def smaller(image: bytes, max_side: int) -> bytes:
    """A JPEG whose longer side is at most `max_side` pixels; the same bytes if `image` is small enough already."""
    size = jpeg_size(image)
    if size and max(size) <= max_side:
        return image
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        what = (
            "a kept frame is damaged; remove the video's archive in work/frames and run with `--forcerun decode_videos`"
        )
        raise ItemError(LOST_FRAMES, what, lasting=False)
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    wanted = max(round(width * scale), 1), max(round(height * scale), 1)
    resized = cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def measured(clip: Clip) -> dict[str, Callable[[], str]]:
    """Functions that compute the values for a prompt's places; each is called only if its place is in the prompt."""
    return {
        "seconds": lambda: f"{clip.facts.seconds:.1f}",
        "width": lambda: str(clip.facts.width),
        "height": lambda: str(clip.facts.height),
        "fps": lambda: f"{clip.facts.fps:.2f}",
        "camera": lambda: camera_phrase(clip.facts) or "moves in a way that was not measured",
    }
