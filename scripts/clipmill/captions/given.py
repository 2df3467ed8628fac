"""Captions that the sheet or a file beside the video gives: no model writes them."""

from __future__ import annotations

from collections.abc import Iterable

from clipmill.base.errors import ItemError
from clipmill.captions import Answers, Clip

GIVEN_CAPTION = "given_caption"  # the value of a clip's row that holds its caption
MISSING = (
    "it is given no caption; fill the column `caption` of its row, write a .txt file beside the video, or choose "
    "another caption.backend"
)


class Given:
    """Takes the captions as they are. A clip without one is an error."""

    model = "given"
    about = {"backend": "given", "model": None, "revision": None}
    reads = (GIVEN_CAPTION,)

    def caption(self, clips: Iterable[Clip]) -> Answers:
        """See `CaptionBackend`. In the order of the clips."""
        for clip in clips:
            if caption := clip.row[GIVEN_CAPTION]:
                yield clip.clip_id, {"caption": caption, "caption_model": self.model}
            else:
                yield clip.clip_id, ItemError("no_caption", MISSING)
