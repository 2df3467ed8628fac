"""What a sheet says of scenes: where they lie, their captions, and its further columns.

`inputs.discovery` writes it, with the index of videos, into one table per shard. Splitting takes the scenes as they
are, a captioner may take the captions, and the further columns reach the metadata.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError
from clipmill.store import tables
from clipmill.store.table import Column, Row
from clipmill.store.tables import DecodedVideo, GivenScene, Part

GIVEN = "given"  # the value of `split.detector`
SLACK_FRAMES = 0.5  # by which times may be wrong: a scene begins and ends at the frames nearest to its times
SLACK_SECONDS = 0.1  # by which a scene may end after the video: players count a last frame or the sound differently

OWN = frozenset(column.name for column in tables.GIVEN.columns)


def further_columns(outdir: Path, shard: str) -> tuple[Column, ...]:
    """The further columns of the sheet. Those of all shards are the same."""
    import pyarrow.parquet as pq

    found = pq.read_schema(tables.GIVEN.of(outdir, shard))
    return tuple(Column(one.name, str(one.type), "", "as the sheet gives it") for one in found if one.name not in OWN)


def given_rows(outdir: Path, shard: str) -> dict[str, list[GivenScene]]:
    """The GIVEN rows of a shard by video, in the order of the sheet."""
    return tables.by_video(tables.GIVEN.rows(tables.GIVEN.of(outdir, shard)))


class OfClips:
    """What is given to the clips of a shard: the row of a clip's scene, or else that of its whole video."""

    def __init__(self, outdir: Path, shard: str):
        import pyarrow.parquet as pq

        path = tables.GIVEN.of(outdir, shard)
        rows = pq.read_table(path, use_threads=False).to_pylist()
        self._rows: dict[tuple[str, int | None], Row] = {(row["video_id"], row["scene"]): row for row in rows}

    def of(self, clip: Row) -> Row:
        """All columns of GIVEN and of the sheet; empty if nothing is given. `clip`: with its `video_id` and `scene`."""
        of_scene = self._rows.get((clip["video_id"], clip["scene"]))
        return of_scene or self._rows.get((clip["video_id"], None)) or {}

    @property
    def scenes(self) -> dict[str, list[Row]]:
        """The rows by video, in the order of the sheet."""
        return tables.by_video(self._rows.values())

    def caption(self, clip: Row) -> str | None:
        return self.of(clip).get("caption")

    def further(self, clip: Row) -> Row:
        """The sheet's further columns."""
        return {name: value for name, value in self.of(clip).items() if name not in OWN}


def problems(rows: Sequence[GivenScene], video: DecodedVideo, parts: Sequence[Part]) -> dict[int, ItemError]:
    """What is wrong with the scenes of one video, by the number of the scene: these make no clips.

    A scene must lie within the video and, where something changes midway, within one of its `parts`. Of two scenes that
    overlap, the one that stands first in the sheet counts. All scenes of a sheet are given in the same unit.
    """
    found: dict[int, ItemError] = {}
    frame = 1 / video["fps"]
    good = _Apart(frame)
    for row in rows:
        if row["scene"] is None:
            continue
        try:
            _check_place(row, video, parts, frame)
            good.add(row)
        except ItemError as error:
            found[row["scene"]] = error
    return found


def _check_place(row: GivenScene, video: DecodedVideo, parts: Sequence[Part], frame: float) -> None:
    start, end = _span(row)
    by_frames = row["start"] is None
    most = video["frames"] if by_frames else video["seconds"] + max(SLACK_SECONDS, SLACK_FRAMES * frame)
    if end > most or start >= (video["frames"] if by_frames else video["seconds"]):
        has = f"{video['frames']} frames" if by_frames else f"{video['seconds']:.3f} s"
        raise ItemError("outside", f"{_words(row)} lies outside the video, which has {has}; correct the sheet")
    slack = 0.0 if by_frames else SLACK_FRAMES * frame
    for part in parts[1:]:
        place = part["start_frame"] if by_frames else part["start"]
        if start + slack < place < end - slack:
            raise ItemError(
                "changes_midway",
                f"{_words(row)} goes over a place where the video itself changes ({video['changes']}), and a clip "
                "cannot; give the sheet one scene before it and one after it",
            )


class _Apart:
    """Scenes of one video that do not overlap. A video may have tens of thousands."""

    def __init__(self, frame: float):
        self._frame = frame
        self._starts: list[float] = []  # rising, as those of the scenes
        self._scenes: list[GivenScene] = []

    def add(self, row: GivenScene) -> None:
        """Raises ItemError (overlap) if there is a scene that `row` overlaps with."""
        start, end = _span(row)
        slack = 0.0 if row["start"] is None else SLACK_FRAMES * self._frame
        for place in range(bisect_left(self._starts, end - slack) - 1, -1, -1):
            other = self._scenes[place]
            other_start, other_end = _span(other)
            if start < other_end - slack:
                what = f"{_words(row)} overlaps with {_words(other)}"
                raise ItemError("overlap", f"{what}; correct one of them, or remove it")
            if other_end - other_start > slack:
                break  # scenes before this one end before it, since they do not overlap with it
        place = bisect_left(self._starts, start)
        self._starts.insert(place, start)
        self._scenes.insert(place, row)


def _span(row: GivenScene) -> tuple[float, float]:
    """Where a scene begins and ends, in its own unit."""
    start, end = (row["start"], row["end"]) if row["start"] is not None else (row["start_frame"], row["end_frame"])
    assert start is not None and end is not None  # since the sheet's rows were checked
    return start, end


def _words(row: GivenScene) -> str:
    start, end = _span(row)
    span = f"frames {start} to {end}" if row["start"] is None else f"{start:g} to {end:g} s"
    return f"row {row['row']} of the sheet ({span})"


def scene_errors(
    scenes: Mapping[str, Sequence[Any]], videos: Iterable[Any], parts: Iterable[Part], clips: Iterable[Any]
) -> Iterator[Row]:
    """ERRORS rows of the scenes that make no clips.

    `scenes`: the shard's GIVEN rows by video. `videos`, `parts`, `clips`: its rows of VIDEOS, PARTS and CLIPS.
    """
    made = {(clip["video_id"], clip["scene"]) for clip in clips}
    parts_of = tables.by_video(parts)
    for video in videos:
        if video["error_kind"]:
            continue
        rows = scenes.get(video["video_id"], ())
        wrong = problems(rows, video, parts_of[video["video_id"]])
        for row in rows:
            number = row["scene"]
            if number is None or (number not in wrong and (video["video_id"], number) in made):
                continue
            error = wrong.get(number) or ItemError("no_frame", f"{_words(row)} has no frame of its own; correct it")
            yield {
                "video": video["name"],
                "video_id": video["video_id"],
                "clip_id": None,
                "step": "split",
                "kind": error.kind,
                "message": str(error),
            }
