"""A made language model that answers as a test says, and clips and a captioner to ask it by."""

from __future__ import annotations

import random

from made_shards import Shard

from clipmill.captions.captioner import Captioner
from clipmill.captions.language_step import NO_THINKING
from clipmill.chat import Answer

FACTS = dict.fromkeys(
    ("fps", "brightness", "contrast", "colourfulness", "sharpness", "motion", "consistency", "text_area"), 1.0
) | {"width": 16, "height": 16, "frozen_share": 0.0, "camera": "static", "camera_speed": 0.0}


class Chat:
    """A model that answers out of order, `say(request)`: a text, an Answer or an ItemError; keeps what it was asked."""

    batch, where = 5, "made"

    def __init__(self, say, revision="1"):
        self.say, self.asked, self.most = say, [], 0
        self.about = {"backend": "made", "model": "m", "revision": revision}

    def checkpoints(self):
        return []

    def servers(self):
        yield self

    def answers(self, requests, task):
        self.task, held, chance = task, [], random.Random(1)
        for request in requests:
            self.asked.append(request)
            held.append(request)
            self.most = max(self.most, len(held))
            if len(held) == self.batch:
                yield self._answer(held.pop(chance.randrange(len(held))))
                yield None
        while held:
            yield self._answer(held.pop(chance.randrange(len(held))))

    def _answer(self, request):
        said = self.say(request)
        return request.id, Answer(said) if isinstance(said, str) else said


def captioner(chat, **changes) -> Captioner:
    settings = {"prompt": "Say {seconds}.", "system": None, "template": NO_THINKING, "frames": 2, "max_side": None}
    settings |= {"frames_per_second": None, "send": "images", "structured": False}
    settings |= {"max_tokens": 9, "temperature": 0, "seed": 0}
    return Captioner(chat, **{**settings, **changes})


def kept(made: Shard) -> list[dict]:
    return [{**clip, **FACTS} for clip in made.clips]
