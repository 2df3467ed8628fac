"""Threads that read clips ahead, each by frames that it has opened itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from clipmill.base.errors import item_error
from clipmill.base.readers import Readers
from clipmill.captions import Clip
from clipmill.decode.reading import KeptFrames

Work = Callable[[Clip], Sequence[Any]]


def reading_ahead(clips: Sequence[Clip], work: Work, threads: int) -> Readers:
    """`Readers` of `clips`: they give the units of `work` for each clip, or the ItemError that it ends in."""
    return Readers(clips, partial(_with_own_frames, work), threads)


@contextmanager
def _with_own_frames(work: Work) -> Iterator[Callable[[Clip], Sequence[Any] | Exception]]:
    """What one thread does: `work` on clips whose frames are read by a `KeptFrames` of this thread."""
    with ExitStack() as opened:
        kept_frames: KeptFrames | None = None

        def read(clip: Clip) -> Sequence[Any] | Exception:
            nonlocal kept_frames
            if kept_frames is None or kept_frames.shard != clip.samples.shard:
                opened.close()
                kept_frames = opened.enter_context(KeptFrames(clip.samples.outdir, clip.samples.shard))
            try:
                return work(replace(clip, samples=kept_frames))
            except Exception as error:
                if (failed := item_error(error)) is None:
                    raise
                return failed.with_traceback(None)  # a traceback would keep the frames in memory

        yield read
