"""Which clips stay: the best of each group of clips that are alike, and no more of a video than the limit allows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipmill.filters import reasons
from clipmill.filters.reasons import Reason, words
from clipmill.store.table import Row


@dataclass(frozen=True)
class Limits:
    """The config's `limits`: the most clips of a video and of a group that stay, and the seed of the draw."""

    per_video: int | None
    per_group: int | None
    seed: int

    @property
    def of_group(self) -> int:
        return self.per_group or 1

    @property
    def beyond_group(self) -> Reason:
        """The reason against the clips of a group that do not stay."""
        return reasons.DUPLICATE if self.of_group == 1 else reasons.PER_GROUP

    def lot(self, clip_id: str) -> bytes:
        """The place of a clip in a draw: clips with a smaller one stay. It depends on the clip and the seed alone."""
        return hashlib.sha256(f"{self.seed}:{clip_id}".encode()).digest()[:8]


@dataclass(frozen=True)
class Candidates:
    """The clips that the filters keep, by rising id. `scores`: the greater, the better; NaN where missing."""

    ids: Sequence[str]
    videos: Sequence[str]
    scores: np.ndarray


class Likeness:
    """Which clips are alike, and how much."""

    def __init__(self, count: int, pairs: np.ndarray, similarity: np.ndarray):
        """`pairs`: n × 2 numbers below `count`, each pair once."""
        first, second = np.concatenate([pairs, pairs[:, ::-1]]).T if len(pairs) else (np.empty(0, np.int64),) * 2
        order = np.lexsort((second, first))
        self._others = second[order]
        self._similarity = np.concatenate([similarity, similarity])[order]
        self._starts = np.searchsorted(first[order], np.arange(count + 1))

    def of(self, clip: int) -> tuple[np.ndarray, np.ndarray]:
        """The clips that are like a clip, and how much."""
        here = slice(self._starts[clip], self._starts[clip + 1])
        return self._others[here], self._similarity[here]

    @property
    def matched(self) -> np.ndarray:
        """Which clips are like another one."""
        return np.diff(self._starts) > 0


def decide(clips: Candidates, likeness: Likeness, limits: Limits) -> list[Row]:
    """DUPLICATES rows of the clips that are in a group or do not stay, by rising id.

    The best clip forms a group with all that are like it, then the best of the rest, and so on: so each clip that is
    dropped is like the one that stays, and of those that stay no two are alike.
    """
    order = best_first(clips)
    is_in = np.ones(len(clips.ids), bool)
    while True:
        groups = _groups(order[is_in[order]], is_in, likeness)
        dropped = set(_beyond(groups, clips, limits))
        over = list(_over_video(np.flatnonzero(is_in), dropped, clips, limits))
        if not over:
            break
        is_in[over] = False  # others of their groups may stay for them: the groups are formed once more
    rows: dict[int, Row] = {}
    for best, group in groups.items():
        others, similarity = likeness.of(best)
        alike = dict(zip(others.tolist(), similarity.tolist(), strict=True)) | {best: 1.0}
        for clip in group:
            rows[clip] = {
                "duplicate_group": clips.ids[best],
                "group_size": len(group),
                "similarity": alike[clip],
                "duplicate_of": clips.ids[best] if clip in dropped else None,
                "reason": words(limits.beyond_group if clip in dropped else None),
            }
    rows |= {clip: {"reason": words(reasons.PER_VIDEO)} for clip in np.flatnonzero(~is_in).tolist()}
    return [{"clip_id": clips.ids[clip], "video_id": clips.videos[clip], **rows[clip]} for clip in sorted(rows)]


def best_first(clips: Candidates) -> np.ndarray:
    """The numbers of the clips, by falling score; ties and missing scores by id."""
    return np.argsort(-clips.scores, kind="stable")  # NaN comes last


def _groups(order: np.ndarray, is_in: np.ndarray, likeness: Likeness) -> dict[int, list[int]]:
    """The groups of two clips or more, by their best clip, with which each begins. `order`: the clips, best first."""
    is_free = is_in.copy()
    groups = {}
    for best in order[likeness.matched[order]].tolist():
        if not is_free[best]:
            continue
        others = likeness.of(best)[0]
        others = others[is_free[others]]
        is_free[others] = is_free[best] = False
        if len(others):
            groups[best] = [best, *others.tolist()]
    return groups


def _beyond(groups: Mapping[int, Sequence[int]], clips: Candidates, limits: Limits) -> Iterator[int]:
    """The clips of groups that do not stay: the best always does, the others are drawn."""
    for _, *others in groups.values():
        if limits.of_group > 1:
            others.sort(key=lambda clip: limits.lot(clips.ids[clip]))
        yield from others[limits.of_group - 1 :]


def _over_video(is_in: np.ndarray, dropped: set[int], clips: Candidates, limits: Limits) -> Iterator[int]:
    """The clips that would stay, beyond the limit of their video: they are drawn."""
    if limits.per_video is None:
        return
    of_video: defaultdict[str, list[int]] = defaultdict(list)
    for clip in is_in.tolist():
        if clip not in dropped:
            of_video[clips.videos[clip]].append(clip)
    for staying in of_video.values():
        if len(staying) > limits.per_video:
            yield from sorted(staying, key=lambda clip: limits.lot(clips.ids[clip]))[limits.per_video :]
