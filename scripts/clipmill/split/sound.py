"""The scores of a clip's sound, from the signals that decoding left. Nothing is decoded again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from clipmill.decode.looks import CLOCK
from clipmill.decode.reading import read_sound_signals
from clipmill.decode.sound_signals import BAND, BANDS, HALF_DECIBEL, PER_SECOND, SPEECH_RATE, SPEECH_WINDOW, STEPS
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo

BLOCK = 4  # tenths of a second over which R 128 takes the mean, for each tenth anew
OFFSET = -0.691  # LUFS of the weighed power 1
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS; LU below the mean of what is above the first one
LOWEST_PEAK = -120.0  # dBFS
SILENT = 60.0  # dB below full scale: less is silence
NOTHING, NOTHING_BELOW = 110.0, 60.0  # dB below full scale, and below the strongest band: a band with less has nothing
NO_POWER = 1e-12  # of which no width can be told
SPOKEN = 0.5  # how sure it must be that a window holds speech, as Silero's own functions have it
SLACK = 1e-6  # of a step
BACK = 5  # tenths of a second by which the clock must step back to have leapt


@dataclass(frozen=True)
class HeardVideo:
    """The sound signals of a video, and their column `hop`.

    `starts`: the rows with which runs of the container's clock begin. `pictures`: how many pictures come before each.
    """

    table: pa.Table
    hop: np.ndarray
    starts: list[int]
    pictures: list[int]

    @staticmethod
    def of(table: pa.Table) -> HeardVideo:
        hop = table["hop"].to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(hop) < -BACK) + 1).tolist()] if len(hop) else []
        return HeardVideo(table, hop, starts, table["picture"].to_numpy()[starts].tolist())

    def rows(self, start: float, end: float, middle: int | None = None) -> pa.Table:
        """The rows from `start` to `end`, in seconds after the container's start.

        `middle`: for a clock that leaps, the number of a picture in the middle: the rows are those of its run.
        """
        first, stop = 0, len(self.hop)
        if middle is not None and self.starts:
            run = max(0, int(np.searchsorted(self.pictures, middle, side="right")) - 1)
            first, stop = self.starts[run], [*self.starts, stop][run + 1]
        inside = slice(first, stop)
        places = np.searchsorted(self.hop[inside], [math.floor(start * PER_SECOND), math.ceil(end * PER_SECOND)])
        return self.table.slice(first + int(places[0]), int(places[1] - places[0]))


def middle_of(video: DecodedVideo, start_frame: int, end_frame: int) -> int | None:
    """The picture in the middle of some frames, for `HeardVideo.rows`; None if the video's clock does not leap."""
    return (start_frame + end_frame) // 2 if CLOCK in (video["changes"] or "") else None


def heard_video(outdir: Path, shard: str, video: DecodedVideo) -> HeardVideo:
    """The sound of a video that was measured. Raises ItemError if its signals are missing or damaged."""
    return HeardVideo.of(read_sound_signals(outdir, shard, video["video_id"], video["decode_key"]))


def sound_score(clip: Clip, video: DecodedVideo, heard: HeardVideo | None) -> Row:
    """SOUND row of one clip. `video`: with the facts of the clip's part. `heard`: None if sound is not measured."""
    row: Row = {"clip_id": clip["clip_id"], "has_sound": None if video["has_audio"] else False}
    if heard is None:
        return row
    start, end = clip["start"] + video["offset"], clip["end"] + video["offset"]
    rows = heard.rows(start, end, middle_of(video, clip["start_frame"], clip["end_frame"]))
    centres = (rows["hop"].to_numpy() + 0.5) / PER_SECOND
    inside = rows.filter(pa.array((start <= centres) & (centres < end)))
    if not inside.num_rows:
        return {**row, "has_sound": False}
    weight = inside["filled"].to_numpy()
    mid, side = float(inside["mid"].to_numpy().sum()), float(inside["side"].to_numpy().sum())
    return {
        **row,
        "has_sound": True,
        "loudness": _loudness(rows, start, end),
        "silence_share": _silence(rows, start, end),
        "clipping_share": float((inside["clipped"].to_numpy() * weight).sum() / weight.sum()),
        "audio_peak": max(LOWEST_PEAK, 20 * math.log10(max(1e-9, float(inside["peak"].to_numpy().max())))),
        "audio_bandwidth": _bandwidth(inside),
        "stereo_width": side / (mid + side) if mid + side > NO_POWER * inside.num_rows else None,
        "speech_share": _speech(rows, start, end),
    }


def _loudness(rows: pa.Table, start: float, end: float) -> float | None:
    """Integrated loudness from `start` to `end`, in LUFS; None if that is shorter than a block.

    Source: ITU-R BS.1770-5, annex 1, and EBU R 128.
    """
    steps = int((end - start) * PER_SECOND + SLACK)  # a step of the blocks is as long as a row
    if steps < BLOCK:
        return None
    first = math.floor(start * PER_SECOND)
    power = np.zeros(math.ceil(end * PER_SECOND) + 1 - first)
    np.add.at(power, np.clip(rows["hop"].to_numpy() - first, 0, len(power) - 1), rows["loudness_power"].to_numpy())
    heard = np.append(0, np.cumsum(power))
    edges = np.interp(start * PER_SECOND - first + np.arange(steps + 1), np.arange(len(heard)), heard)
    blocks = (edges[BLOCK:] - edges[:-BLOCK]) / BLOCK
    loud = blocks[blocks > _power(ABSOLUTE_GATE)]
    if not len(loud):
        return ABSOLUTE_GATE
    loud = loud[loud > _power(_lufs(float(loud.mean())) + RELATIVE_GATE)]
    return _lufs(float(loud.mean()))


def _lufs(power: float) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return 10 ** ((lufs - OFFSET) / 10)


def _steps(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The hundredths of a second of the rows: their middles in seconds, and how many dB they are below full scale."""
    levels = np.frombuffer(b"".join(rows["levels"].to_pylist()), np.uint8).astype(float) * HALF_DECIBEL
    begin = rows["hop"].to_numpy()[:, None] / PER_SECOND
    return (begin + (np.arange(STEPS) + 0.5) / (PER_SECOND * STEPS)).ravel(), levels


def _silence(rows: pa.Table, start: float, end: float) -> float:
    """Share of the time from `start` to `end` that is silent."""
    times, levels = _steps(rows)
    loud = np.count_nonzero((levels < SILENT) & (start <= times) & (times < end))
    first, stop = (math.ceil(time * PER_SECOND * STEPS - 0.5) for time in (start, end))
    return max(0.0, 1 - float(loud) / max(1, stop - first))


def _bandwidth(inside: pa.Table) -> float | None:
    """The upper edge of the highest band in which there is something, in Hz; None if there is nothing in any."""
    bands = np.frombuffer(b"".join(inside["spectrum"].to_pylist()), np.uint8).reshape(-1, BANDS)
    power = (10 ** (-bands.astype(float) * HALF_DECIBEL / 10)).mean(axis=0)
    least = max(10 ** (-NOTHING / 10), power.max() * 10 ** (-NOTHING_BELOW / 10))
    found = np.flatnonzero(power > least)
    return float((found[-1] + 1) * BAND) if len(found) else None


def _speech(rows: pa.Table, start: float, end: float) -> float | None:
    """Share of the time from `start` to `end` in which somebody speaks; None if nobody looked for that."""
    found = spoken(rows)
    if found is None:
        return None
    times, sure = found
    inside = (start <= times) & (times < end)
    share = np.count_nonzero(sure[inside] >= SPOKEN) * SPEECH_WINDOW / SPEECH_RATE / (end - start)
    return min(1.0, float(share))


def spoken(rows: pa.Table) -> tuple[np.ndarray, np.ndarray] | None:
    """The windows of the rows: their middles, in seconds, and how surely each holds speech; None if nobody looked."""
    if not rows.num_rows or rows["speech"].null_count:
        return None
    seconds = SPEECH_WINDOW / SPEECH_RATE
    times, sure = [], []
    for hop, windows in zip(rows["hop"].to_pylist(), rows["speech"].to_pylist(), strict=True):
        first = math.ceil(hop * SPEECH_RATE / (PER_SECOND * SPEECH_WINDOW))
        times += [(first + number + 0.5) * seconds for number in range(len(windows))]
        sure += [value / 255 for value in windows]
    return np.array(times), np.array(sure)
