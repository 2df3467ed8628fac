"""The base of captioner and judge: a vision-language model that looks at the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, item_error
from clipmill.base.opencv import cv2
from clipmill.captions import Answered, Answers, Clip
from clipmill.captions.language_step import Asking
from clipmill.chat import Answer, ChatModel, Request, Task
from clipmill.decode.frames import LOST_FRAMES, jpeg_size
from clipmill.decode.reading import FrameChoice

QUALITY = 90  # JPEG quality of pictures that are made smaller


class Looking(Asking):
    """A chat model that gets frames of each clip and a question.

    As many frames as the `task` has images, evenly spaced; or `frames_per_second`, if it is given and yields no more.
    `max_side`: pixels; larger pictures are made smaller to this; None sends the kept frames as they are. `temperature`,
    `seed`: see `chat.Request`. `more`: what an answer depends on besides these.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        step: str,
        chat_model: ChatModel,
        prompt: str,
        task: Task,
        frames_per_second: float | None,
        max_side: int | None,
        temperature: float = 0,
        seed: int = 0,
        **more: Any,
    ):
        super().__init__(
            step,
            chat_model,
            prompt,
            task,
            frames=[task.images, frames_per_second],
            max_side=max_side,
            send="video" if task.as_video else "images",
            sampling=[temperature, seed] if temperature else [0],
            **more,
        )
        self._frame_choice, self._max_side = FrameChoice(task.images, frames_per_second), max_side
        self._temperature, self._seed = temperature, seed

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
            yield outcome and (outcome[0], self._read(outcome[1]))
        yield from unread

    def _values(self, clip: Clip) -> Mapping[str, Callable[[], str]]:
        """Functions that compute the values for the prompt's places."""
        raise NotImplementedError

    def _columns(self, answer: Answer) -> dict[str, Any]:
        """The columns of a clip from a whole answer. May raise ItemError."""
        raise NotImplementedError

    def _request(self, clip: Clip) -> Request:
        images, times = clip.jpegs(self._frame_choice)
        if self._max_side:
            images = [smaller(image, self._max_side) for image in images]
        span = times[-1] - times[0]
        fps = (len(times) - 1) / span if span > 0 else 1.0
        text = self.question(self._values(clip))
        return Request(clip.clip_id, text, tuple(images), fps, self._temperature, self._seed)

    def _read(self, answer: Answer | ItemError) -> dict[str, Any] | ItemError:
        if isinstance(answer, ItemError):
            return answer
        if self.task.schema and not answer.whole:
            what = f"the answer was cut off before its end; raise {self.step}.max_tokens"
            return ItemError("cut_off", what, lasting=False)
        try:
            return self._columns(answer)
        except ItemError as error:
            return error


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
