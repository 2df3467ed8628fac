"""The base of captioner and judge: a vision-language model that looks at the frames of a clip, and may hear it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS
from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.base.readers import Readers
from clipmill.captions import Answered, Answers, Clip
from clipmill.captions.hearing import VERSION, wav_of
from clipmill.captions.language_step import Asking
from clipmill.captions.reading_ahead import reading_ahead
from clipmill.chat import Answer, ChatModel, Request, Task
from clipmill.chat.sounds import RATE
from clipmill.decode.frames import LOST_FRAMES, jpeg_size
from clipmill.decode.reading import FrameChoice

QUALITY = 90  # JPEG quality of pictures that are made smaller


class Looking(Asking):
    """A chat model that gets frames of each clip and a question.

    As many frames as the `task` has images, evenly spaced; or `frames_per_second`, if it is given and yields no more.
    `max_side`: pixels; larger pictures are made smaller to this; None sends the kept frames as they are. With the
    sound of the clip if the `task` says so: then the clips' rows are those of `hearing.with_sources`. `temperature`,
    `seed`: see `chat.Request`. `more`: what an answer depends on besides these.

    `threads` of them read clips ahead.
    """

    threads = 1
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
        sound = {"sound": [RATE, VERSION]} if task.sound else {}  # journals of before know no such key
        super().__init__(
            step,
            chat_model,
            prompt,
            task,
            frames=[task.images, frames_per_second],
            max_side=max_side,
            send="video" if task.as_video else "images",
            sampling=[temperature, seed] if temperature else [0],
            **sound,
            **more,
        )
        self._frame_choice, self._max_side = FrameChoice(task.images, frames_per_second), max_side
        self._temperature, self._seed = temperature, seed

    def caption(self, clips: Iterable[Clip]) -> Answers:
        """See `CaptionBackend`. A clip whose frames or sound cannot be read is reported before the next outcome."""
        clips = list(clips)
        unread: list[Answered] = []
        heard: dict[str, bool] = {}

        def requests(readers: Readers) -> Iterator[Request]:
            for clip in clips:
                while (read := readers.take(timeout=SYNC_SECONDS)) is None:
                    pass
                if isinstance(read, Exception):
                    assert isinstance(read, ItemError)  # `reading_ahead` gives no other
                    unread.append((clip.clip_id, read))
                else:
                    heard[clip.clip_id] = read[0].sound is not None
                    yield read[0]

        with reading_ahead(clips, lambda clip: [self._request(clip)], self.threads) as readers:
            for outcome in self.chat.answers(requests(readers), self.task):
                yield from unread
                unread.clear()
                yield outcome and (outcome[0], self._read(outcome[1], heard.pop(outcome[0])))
            yield from unread

    def _values(self, clip: Clip, heard: bool) -> Mapping[str, Callable[[], str]]:
        """Functions that compute the values for the prompt's places. `heard`: whether a sound goes with them."""
        raise NotImplementedError

    def _columns(self, answer: Answer, heard: bool) -> dict[str, Any]:
        """The columns of a clip from a whole answer. May raise ItemError."""
        raise NotImplementedError

    def _request(self, clip: Clip) -> Request:
        images, times = clip.jpegs(self._frame_choice)
        if self._max_side:
            images = [smaller(image, self._max_side) for image in images]
        span = times[-1] - times[0]
        fps = (len(times) - 1) / span if span > 0 else 1.0
        sound = wav_of(clip.row) if self.task.sound else None
        text = self.question(self._values(clip, sound is not None))
        return Request(clip.clip_id, text, tuple(images), fps, self._temperature, self._seed, sound)

    def _read(self, answer: Answer | ItemError, heard: bool) -> dict[str, Any] | ItemError:
        if isinstance(answer, ItemError):
            return answer
        if self.task.schema and not answer.whole:
            what = f"the answer was cut off before its end; raise {self.step}.max_tokens"
            return ItemError("cut_off", what, lasting=False)
        try:
            return self._columns(answer, heard)
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
