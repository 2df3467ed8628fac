"""Splitting the videos of a shard into clips, with the scores that follow from their signals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from clipmill.base.errors import ItemError, naming
from clipmill.decode.parts import as_of_part
from clipmill.decode.reading import KeptFrames, raise_if_lost, read_signals
from clipmill.split.crop.clips import ClipCropper
from clipmill.split.detectors import Finder
from clipmill.split.given import given_clips
from clipmill.split.scenes import video_clips
from clipmill.split.settings import SplitSettings
from clipmill.split.sound import HeardVideo, heard_video, sound_score
from clipmill.split.transitions import transition_rows
from clipmill.split.transnetv2 import Shots
from clipmill.store import tables
from clipmill.store.given import GIVEN, given_rows
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo, Part, TransitionRow, Video, by_video, without_error


@dataclass
class Split:
    """Rows of the tables TRANSITIONS, CLIPS, MOTION, CAMERA, TECHNICAL and SOUND."""

    transitions: list[TransitionRow] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    motion: list[Row] = field(default_factory=list)
    camera: list[Row] = field(default_factory=list)
    technical: list[Row] = field(default_factory=list)
    sound: list[Row] = field(default_factory=list)


def split_shard(
    videos: Iterable[Video],
    parts: Iterable[Part],
    outdir: Path,
    shard: str,
    settings: SplitSettings,
    shots: Path | None = None,
) -> Split:
    """The clips of all videos that were decoded, and their scores. `shots`: the table SHOTS, if there is one.

    With the detector `given` the clips are the scenes that the sheet gives, and there are no transitions.
    Raises SetupError if the signals of a video are missing or damaged.
    """
    split = Split()
    lost = []
    parts_of = by_video(parts)
    of_network = read_shots(shots) if shots else {}
    scenes = given_rows(outdir, shard) if settings.detector == GIVEN else None
    with KeptFrames(outdir, shard) as kept_frames:
        for video in videos:
            if video["error_kind"]:
                continue
            try:
                signals = read_signals(outdir, shard, video["video_id"], key=video["decode_key"])
                heard = heard_video(outdir, shard, video) if settings.sound else None
            except ItemError as error:
                lost.append(error)
                continue
            with naming(f"in the video {video['name']}"):
                parts = parts_of[video["video_id"]]
                if scenes is None:
                    transitions = Finder(signals, parts, of_network.get(video["video_id"])).find(settings)
                    split.transitions += transition_rows(video, signals, transitions)
                    clips = video_clips(video, parts, signals, transitions, settings, heard)
                else:
                    clips = given_clips(video, parts, signals, scenes.get(video["video_id"], []), settings)
                _add_clips(split, clips, video, parts, signals, kept_frames, settings)
                split.sound += _sound_rows(clips, video, parts, heard)
    raise_if_lost(lost)
    return split


def _add_clips(
    split: Split,
    clips: Sequence[Clip],
    video: DecodedVideo,
    parts: Sequence[Part],
    signals: pa.Table,
    kept_frames: KeptFrames,
    settings: SplitSettings,
) -> None:
    """Add clips of one video, with their scores."""
    for number, of_part in groupby(clips, key=lambda clip: clip["part"]):
        part = parts[number]
        cropper = ClipCropper(as_of_part(video, part), part, signals, kept_frames, settings.crop)
        for cropped in cropper.crop(list(of_part)):
            split.clips.append(cropped.clip)
            split.motion.append(_without_needless_error(cropped.clip, cropped.motion(signals)))
            split.camera.append(_without_needless_error(cropped.clip, cropped.camera(signals)))
            split.technical.append(_without_needless_error(cropped.clip, cropped.technical(signals)))


def _sound_rows(
    clips: Sequence[Clip], video: DecodedVideo, parts: Sequence[Part], heard: HeardVideo | None
) -> Iterator[Row]:
    """SOUND rows of clips of one video."""
    return (sound_score(clip, as_of_part(video, parts[clip["part"]]), heard) for clip in clips)


def read_shots(path: Path) -> dict[str, Shots]:
    """By video, what the network says of each frame: two arrays, nan where it did not look."""
    table = tables.SHOTS.read(path)
    columns = ([row.values.to_numpy(zero_copy_only=False) for row in table[name]] for name in ("single", "many"))
    return dict(zip(table["video_id"].to_pylist(), zip(*columns, strict=True), strict=True))


def _without_needless_error(clip: Clip, row: Row) -> Row:
    """A row of scores. A clip that is unfit is dropped anyway, so a missing score of it is no error."""
    if clip["unfit"] is None:
        return row
    return without_error(row)
