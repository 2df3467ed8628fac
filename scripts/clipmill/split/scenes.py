"""From transitions to clips: scenes between the transitions, then pieces.

Nothing is decoded here, so a change of the `split` settings costs only the reading of a few numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from clipmill.decode.clock import HELD_AFTER, is_held
from clipmill.decode.parts import as_of_part, field_order_of, footage_of
from clipmill.decode.reading import frame_times
from clipmill.shapes.counts import between
from clipmill.shapes.sizes import stored_size
from clipmill.split.exact import ExactFrames
from clipmill.split.pauses import Pauses, in_pauses
from clipmill.split.settings import SplitSettings
from clipmill.split.sound import HeardVideo
from clipmill.split.transitions import CHANGE, Transition
from clipmill.store.tables import (
    FROZEN,
    INTERLACED,
    PROGRESSIVE,
    TELECINED,
    TOO_FEW_FRAMES,
    TOO_SHORT,
    Clip,
    DecodedVideo,
    Part,
)

SLACK = 1e-6  # seconds by which rounding may exceed a limit


def divide(
    times: np.ndarray, start: int, end: int, settings: SplitSettings, key_frames: Sequence[int] = ()
) -> Iterator[tuple[int, int]]:
    """Divide the scene `start`–`end` into pieces (first frame, first frame after).

    `times`: presentation times of all frames and the end of the video, in seconds. `settings.pieces` is one of:

    `key_frames`: the fewest and then the most even pieces that begin at `key_frames`, so that they can be cut without
    loss. If there are no such pieces, as few pieces as `equal` makes, with the least time in pieces that must be
    re-encoded. `equal`: the fewest equal pieces that max_seconds allows; if these would be shorter than min_seconds,
    pieces of max_seconds and a rest. `fixed`: pieces of max_seconds and a rest, as EasyAnimate does.
    """
    total = times[end] - times[start]
    longest = settings.max_seconds + SLACK
    if total <= longest:
        yield start, end
        return
    edges = None
    if settings.pieces != "fixed":
        edges = _equal_edges(times, start, end, settings)
    if settings.pieces == "key_frames":
        keys = set(key_frames)
        stops = sorted({start, *keys, end})
        edges = _best_edges(times, stops, keys | {start}, settings) or _best_edges(
            times, _more_stops(times, stops, edges or [], settings), keys, settings
        )
    if edges is None:
        edges = [start]
        while times[end] - times[edges[-1]] > longest:
            latest = np.searchsorted(times, times[edges[-1]] + longest, side="right") - 1
            edges.append(min(max(int(latest), edges[-1] + 1), end))
        edges += [end] if edges[-1] < end else []
    yield from zip(edges[:-1], edges[1:], strict=True)


def _best_edges(times: np.ndarray, stops: list[int], free: set[int], settings: SplitSettings) -> list[int] | None:
    """The frames of `stops` that divide the scene into the fewest pieces of allowed length; None if that is impossible.

    Of several ways: the one with the least time in pieces that do not begin at a frame of `free`; then the most even.
    """
    # stop -> pieces, seconds in pieces that are not free, sum of squared lengths, stop before
    best: dict[int, tuple[int, float, float, int]] = {0: (0, 0.0, 0.0, 0)}
    for stop in range(1, len(stops)):
        ways = []
        for before in range(stop - 1, -1, -1):
            length = float(times[stops[stop]] - times[stops[before]])
            if length > settings.max_seconds + SLACK:
                break
            if before in best and length >= settings.min_seconds - SLACK:
                pieces, costly, squares, _ = best[before]
                costly += 0.0 if stops[before] in free else round(length, 6)
                ways.append((pieces + 1, costly, squares + length**2, before))
        if ways:
            best[stop] = min(ways)
    if len(stops) - 1 not in best:
        return None
    edges = [len(stops) - 1]
    while edges[-1] > 0:
        edges.append(best[edges[-1]][-1])
    return [stops[edge] for edge in reversed(edges)]


def _more_stops(times: np.ndarray, stops: list[int], equal: list[int], settings: SplitSettings) -> list[int]:
    """`stops`, the edges of `equal` pieces, and for each stop the start of the shortest piece that ends there and the
    end of the longest piece that begins there.
    """
    begins = times[stops[1:]] - settings.min_seconds + SLACK
    ends = times[stops[:-1]] + settings.max_seconds + SLACK
    frames = (np.searchsorted(times, np.append(begins, ends), side="right") - 1).tolist()
    return sorted({*stops, *equal, *(frame for frame in frames if stops[0] < frame < stops[-1])})


def _equal_edges(times: np.ndarray, start: int, end: int, settings: SplitSettings) -> list[int] | None:
    """Edges of equal pieces, rounded to frames; None if the pieces would be too short, or if one frame is too long."""
    longest = settings.max_seconds + SLACK
    if np.diff(times[start : end + 1]).max() > longest:
        return None
    total = times[end] - times[start]
    count = math.ceil(total / settings.max_seconds - SLACK)
    while total / count >= settings.min_seconds:
        edges = _edges(times, start, end, [total / count * k for k in range(1, count)])
        if np.diff(times[edges]).max() <= longest:
            return edges
        count += 1  # rounding to frames made a piece too long
    return None


def _edges(times: np.ndarray, start: int, end: int, offsets: list[float]) -> list[int]:
    """`start`, the frames nearest to `offsets` seconds after it, and `end`."""
    inner = []
    for offset in offsets:
        wanted = times[start] + offset
        after = int(np.searchsorted(times, wanted))
        nearest = after if times[after] - wanted <= wanted - times[after - 1] else after - 1
        inner.append(nearest)
    return sorted({start, end, *(edge for edge in inner if start < edge < end)})


def video_clips(
    video: DecodedVideo,
    parts: Sequence[Part],
    signals: pa.Table,
    transitions: Sequence[Transition],
    settings: SplitSettings,
    heard: HeardVideo | None = None,
) -> list[Clip]:
    """CLIPS rows of one video, in order of time. `transitions`: in order of time; their frames belong to no clip.

    `heard`: the sound of the video, if it was measured; with `keep_speech` pieces end where nobody speaks.
    """
    times = frame_times(video, signals)
    is_clean = signals["is_clean"].to_numpy()
    clean_keys = np.flatnonzero(signals["is_key"].to_numpy() & is_clean)
    # A clean key frame on the cut: the encoder saw the same cut, so the frame belongs wholly to the new scene.
    unguarded = {one.start for one in transitions if one.start == one.end} & set(clean_keys.tolist())
    rows: list[Clip] = []
    scene = 0
    for part in parts:
        own = as_of_part(video, part)
        exact = exact_frames(own, times, clean_keys, is_clean, settings)
        pauses = Pauses(heard, own, times) if heard and settings.keep_speech else None
        first_frame, end_frame = part["start_frame"], part["end_frame"]
        inside = [one for one in transitions if first_frame <= one.start < end_frame and one.kind != CHANGE]
        edges = [first_frame, *(frame for one in inside for frame in (one.start, one.end)), end_frame]
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if first >= last:
                continue
            guarded = first > first_frame and first not in unguarded
            start = first + (settings.guard_frames if guarded else 0)
            end = last - (settings.guard_frames if last < end_frame else 0)
            if start >= end:
                start, end = first, last  # a scene of a few frames: too short in any case, but it is counted
            pieces = _pieces_of_scene(times, start, end, clean_keys, exact, own["fps"], settings, pauses)
            for piece, (begin, stop, count, stands) in enumerate(pieces):
                own["field_order"] = field_order_of(part, begin, stop)
                clip = clip_row(own, part["part"], times, scene, piece, begin, stop, count, settings)
                rows.append({**clip, "unfit": FROZEN} if stands else clip)
            scene += 1
    return rows


def _pieces_of_scene(
    times: np.ndarray,
    start: int,
    end: int,
    clean_keys: np.ndarray,
    exact: ExactFrames | None,
    fps: float,
    settings: SplitSettings,
    pauses: Pauses | None,
) -> Iterator[tuple[int, int, int | None, bool]]:
    """The same as `_pieces`, and whether a piece is one frame that stands for long: nothing else is in it."""
    for begin, stop, stands in _without_held(times, start, end, fps):
        if stands:
            yield begin, stop, None, True
        else:
            yield from ((*piece, False) for piece in _pieces(times, begin, stop, clean_keys, exact, settings, pauses))


def _without_held(times: np.ndarray, start: int, end: int, fps: float) -> Iterator[tuple[int, int, bool]]:
    """The frames that stand for long, each alone, and what lies between them: first frame, first after, which it is."""
    place = start
    for frame in (start + np.flatnonzero(np.diff(times[start : end + 1]) > HELD_AFTER)).tolist():
        if not is_held(float(times[frame + 1] - times[frame]), 1 / fps):
            continue
        if place < frame:
            yield place, frame, False
        yield frame, frame + 1, True
        place = frame + 1
    if place < end:
        yield place, end, False


def exact_frames(
    video: DecodedVideo, times: np.ndarray, clean_keys: np.ndarray, is_clean: np.ndarray, settings: SplitSettings
) -> ExactFrames | None:
    """What finds clips with exact numbers of frames, if the config wants such."""
    if settings.frames is None:
        return None
    counts = settings.frames
    if settings.pieces == "exact":
        fps = settings.fps or video["fps"]
        counts = between(counts, settings.min_seconds * fps - SLACK, settings.max_seconds * fps + SLACK)
    return ExactFrames(times, clean_keys, is_clean, counts, settings.fps)


def _pieces(
    times: np.ndarray,
    start: int,
    end: int,
    clean_keys: np.ndarray,
    exact: ExactFrames | None,
    settings: SplitSettings,
    pauses: Pauses | None,
) -> Iterator[tuple[int, int, int | None]]:
    """The pieces of a scene: first frame, first frame after, and the number of frames of the file.

    The number is None if any will do, and 0 if the piece has too few frames.
    """
    if exact and settings.pieces == "exact":
        yield from list(exact.pieces(start, end)) or [(start, end, 0)]
        return
    key_frames = clean_keys[np.searchsorted(clean_keys, start) : np.searchsorted(clean_keys, end)]
    pieces = list(divide(times, start, end, settings, key_frames.tolist()))
    if pauses and len(pieces) > 1 and (is_pause := pauses.at(start, end)) is not None:
        edges = in_pauses(times, [start, *(stop for _, stop in pieces)], is_pause, settings)
        pieces = list(pairwise(edges))
    for begin, stop in pieces:
        if exact is None:
            yield begin, stop, None
        elif times[stop] - times[begin] < settings.min_seconds - SLACK:
            yield begin, stop, 0
        else:
            yield exact.piece(begin, stop) or (begin, stop, 0)


def clip_row(
    video: DecodedVideo,
    part: int,
    times: np.ndarray,
    scene: int,
    piece: int,
    begin: int,
    stop: int,
    target_frames: int | None,
    settings: SplitSettings,
) -> Clip:
    """A CLIPS row. `video`: with the facts of the clip's part, and with its field order.

    `target_frames`: frames that its file must have; None if any number will do, 0 if the clip has too few.
    """
    start, end = float(times[begin]), float(times[stop])
    unfit: str | None
    if target_frames == 0:
        unfit = TOO_FEW_FRAMES
    elif target_frames is None and end - start < settings.min_seconds - SLACK:
        unfit = TOO_SHORT
    else:
        unfit = _unfit_fields(video["field_order"], settings.deinterlace)
    width, height = stored_size(video)
    return {
        "clip_id": f"{video['video_id']}_{round(start * 1000):08d}-{round(end * 1000):08d}",
        "video_id": video["video_id"],
        "source_key": video["source_key"],
        "part": part,
        "scene": scene,
        "piece": piece,
        "start": start,
        "end": end,
        "seconds": end - start,
        "start_frame": begin,
        "end_frame": stop,
        "unfit": unfit,
        "target_frames": target_frames,
        "width": width,
        "height": height,
        "crop_x": None,
        "crop_y": None,
        "crop_width": None,
        "crop_height": None,
        "whole_width": None,
        "whole_height": None,
        "masked": None,
        "fps": (stop - begin) / (end - start) if video["variable_rate"] else video["fps"],
        **footage_of(video),
    }


def _unfit_fields(field_order: str, deinterlace: str) -> str | None:
    """Why a clip is unfit by its field order; None if it is fit. `deinterlace`: as in the config."""
    if field_order == PROGRESSIVE or deinterlace == "off":
        return None
    if field_order == TELECINED:
        return TELECINED
    return INTERLACED if deinterlace == "drop" else None
