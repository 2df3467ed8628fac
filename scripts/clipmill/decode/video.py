"""Decoding a video once: a table of signals, an archive of kept frames, and a row of facts.

One pass, streaming: memory does not grow with the length of the video. Times are presentation times.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import av
import av.error
import pyarrow.parquet as pq
from av.video.reformatter import Interpolation, VideoReformatter

from clipmill.base.errors import ItemError
from clipmill.base.files import atomic
from clipmill.base.journal import fingerprint
from clipmill.base.opencv import cv2
from clipmill.decode.frames import ArchiveWriter, archive_key
from clipmill.decode.media import best_video_stream, ffmpeg_message, open_video
from clipmill.decode.miniatures import MiniatureWriter, miniature
from clipmill.decode.pictures import analysis_size, orientation, small_bgr
from clipmill.decode.signals import FrameSignals, KeptFrame, kept_frame_signals
from clipmill.store import table, tables
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import DecodedVideo, IndexedVideo, VideoFile

log = logging.getLogger("clipmill")

VERSION = 2  # part of every key: raise it when the same file and settings give other numbers
ROWS_AT_ONCE = 2048
KEPT_IN_FLIGHT = 6  # kept frames per thread that wait to be measured and written
FRAMES_AT_ONCE, PIXELS_IN_FLIGHT = 8, 8_000_000  # a batch is full at whichever is reached first


@dataclass(frozen=True)
class DecodeSettings:
    """The section `decode` of the config."""

    samples_per_second: float
    sample_short_side: int
    sample_quality: int


@dataclass(frozen=True)
class DecodePaths:
    """Where the files of a video go. `miniatures` is None if nobody wants them."""

    frames: Path
    signals: Path
    miniatures: Path | None = None

    @staticmethod
    def of(outdir: Path, shard: str, video_id: str, miniatures: bool = False) -> DecodePaths:
        paths = Paths(outdir)
        small = paths.miniatures(shard, video_id) if miniatures else None
        return DecodePaths(paths.frames(shard, video_id), paths.signals(shard, video_id), small)

    @property
    def tables(self) -> list[Path]:
        """The files that are tables."""
        return [path for path in (self.signals, self.miniatures) if path]

    def hold(self, key: str) -> bool:
        """Whether all files are there, whole, and made under `key`."""
        return archive_key(self.frames) == key and all(_table_key(path) == key for path in self.tables)


def _table_key(path: Path) -> str | None:
    try:
        return table.about(path).get("source_key")
    except (OSError, ValueError):
        return None


def source_key(video: IndexedVideo, settings: DecodeSettings) -> str:
    """A key of everything that a video's measurements depend on: the file's size and time, and the settings."""
    return fingerprint("decode", VERSION, video["size_bytes"], video["mtime_ns"], asdict(settings))


def video_file(video: IndexedVideo, settings: DecodeSettings) -> VideoFile:
    """The columns of VIDEOS that a video has whether it can be decoded or not."""
    return {
        "video_id": video["video_id"],
        "name": video["name"],
        "path": video["path"],
        "size_bytes": video["size_bytes"],
        "source_key": source_key(video, settings),
    }


def decode_video(video: IndexedVideo, paths: DecodePaths, settings: DecodeSettings, threads: int) -> DecodedVideo:
    """Decode one video of the index and return its VIDEOS row. Raises ItemError.

    Miniatures are made if they have a path. All files replace earlier ones when they are whole, so a kill leaves none
    half-written.
    """
    source, key = Path(video["path"]), source_key(video, settings)
    _check_unchanged(source, video)
    with ExitStack() as opened:
        container = opened.enter_context(open_video(source))
        unready = DecodePaths(
            opened.enter_context(atomic(paths.frames)),
            opened.enter_context(atomic(paths.signals)),
            opened.enter_context(atomic(paths.miniatures)) if paths.miniatures else None,
        )
        facts = _Decoding(container, unready, settings, key, threads).run()
        _check_unchanged(source, video)
    bits = video["size_bytes"] * 8 / (facts["coded_width"] * facts["coded_height"] * facts["frames"])
    return {
        **video_file(video, settings),
        "bits_per_pixel": bits,
        **facts,
    }


def _check_unchanged(source: Path, video: IndexedVideo) -> None:
    try:
        status = source.stat()
    except FileNotFoundError as error:
        raise ItemError("vanished", "the file is gone; put it back and run again", lasting=False) from error
    except OSError as error:
        raise ItemError("unreadable", f"cannot be read ({error.strerror})", lasting=False) from error
    if (status.st_size, status.st_mtime_ns) != (video["size_bytes"], video["mtime_ns"]):
        raise ItemError("changed", "the file changed while the run was on; run again", lasting=False)


class _Geometry(TypedDict):
    """Columns of VIDEOS that follow from the first frame."""

    pixel_format: str
    coded_width: int
    coded_height: int
    rotation: int
    pixel_aspect: float
    width: int
    height: int


class _Facts(_Geometry):
    """Columns of VIDEOS that are known when the whole video is decoded."""

    container: str
    codec: str
    seconds: float
    frames: int
    fps: float
    offset: float
    has_audio: bool
    repaired_times: int
    samples: int


class _Decoding:
    """One pass over one open video."""

    def __init__(
        self,
        container: av.container.InputContainer,
        paths: DecodePaths,
        settings: DecodeSettings,
        key: str,
        threads: int,
    ):
        self.container, self.settings, self.key = container, settings, key
        self.stream = best_video_stream(container)
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = threads
        self.archive = ArchiveWriter(paths.frames, settings.sample_quality)
        self.paths = paths
        self.clock = _Clock(self.stream)
        self.clean = _CleanBoundaries()
        self.frame_signals = FrameSignals()
        self.kept_threads = max(1, threads // 2)  # of a small video, kept frames are half of the work
        self.last_kept: KeptFrame | None = None
        self.small_scaler, self.kept_scaler, self.miniature_scaler = (VideoReformatter() for _ in range(3))
        self.geometry: _Geometry | None = None
        self.size = self.kept_size = (0, 0)
        self.turn = (False, False, False)
        self.kept = self.next_kept = 0
        self.waiting: deque[tuple[Future[Row], Future[None]]] = deque()

    def run(self) -> _Facts:
        """Decode in this thread. Meanwhile others measure: one all frames, some the kept ones; and one writes these."""
        with (
            ThreadPoolExecutor(1) as self.of_frames,
            ThreadPoolExecutor(self.kept_threads) as self.of_kept,
            ThreadPoolExecutor(1) as self.of_archive,
        ):
            try:
                self._write(self._frames())
                self.archive.close(self.key)
            except BaseException:
                for pool in (self.of_frames, self.of_kept, self.of_archive):
                    pool.shutdown(wait=True, cancel_futures=True)
                self.archive.abandon()
                raise
        return self._facts()

    def _frames(self) -> Iterator[av.VideoFrame]:
        """Decoded frames in order of presentation. Damage after the first frame is an error."""
        seen = False
        for packet in self._packets():
            self.clean.packet(packet.pts)
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                if not seen:
                    continue  # a recording may begin in the middle of a group of pictures
                raise self._damaged(ffmpeg_message(error)) from error
            for frame in decoded:
                if frame.is_corrupt and seen:
                    raise self._damaged("a damaged frame")
                seen = True
                yield frame

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(self.stream)
        except av.error.FFmpegError as error:
            raise self._damaged(ffmpeg_message(error)) from error

    def _damaged(self, why: str) -> ItemError:
        return ItemError("corrupt", f"cannot be decoded beyond {self.clock.time:.2f} s ({why}); repair or remove it")

    def _write(self, frames: Iterator[av.VideoFrame]) -> None:
        """Measure all frames; write the signals in batches as the numbers come in."""
        schema = tables.SIGNALS.schema_about({"source_key": self.key})
        rows: list[tuple[Row, Future[Row] | None]] = []
        measured: deque[Future[list[tuple[Row, Future[Row] | None]]]] = deque()
        with ExitStack() as opened:
            writer = opened.enter_context(pq.ParquetWriter(self.paths.signals, schema, compression="zstd"))
            miniatures = None
            if self.paths.miniatures:
                miniatures = opened.enter_context(MiniatureWriter(self.paths.miniatures, self.key))

            def flush() -> None:
                if miniatures:
                    miniatures.write([row.pop("miniature") for row, _ in rows])
                done = [row if kept is None else {**row, **kept.result()} for row, kept in rows]
                writer.write_table(tables.SIGNALS.from_rows(done).replace_schema_metadata(schema.metadata))
                rows.clear()

            for batch in self._batches(frames):
                measured.append(self.of_frames.submit(self._measure, batch))
                if len(measured) > 1:
                    rows += measured.popleft().result()
                if len(rows) >= ROWS_AT_ONCE:
                    flush()
            while measured:
                rows += measured.popleft().result()
            self._wait_for_kept(0)
            self._check_complete()
            flush()

    def _batches(self, frames: Iterator[av.VideoFrame]) -> Iterator[list[tuple[av.VideoFrame, Row, float]]]:
        """Frames with the results of `_place`, in batches: handing over one at a time costs as much as measuring it."""
        batch = []
        for frame in frames:
            batch.append((frame, *self._place(frame)))
            if len(batch) * frame.width * frame.height >= PIXELS_IN_FLIGHT or len(batch) == FRAMES_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def _place(self, frame: av.VideoFrame) -> tuple[Row, float]:
        """The SIGNALS columns that follow from the frame's place in the stream, and its time in seconds."""
        if self.geometry is None:
            self._lay_out(frame)
        number, before = self.clock.frames, self.clock.pts
        time = self.clock.tick(frame)
        row: Row = {
            "frame": number,
            "time": time,
            "is_key": bool(frame.key_frame),
            "is_clean": self.clean.before(frame.pts, before),
        }
        if time * self.settings.samples_per_second >= self.next_kept - 1e-6:
            row["sample"] = int(time * self.settings.samples_per_second + 1e-6)
            self.next_kept = row["sample"] + 1
            self.kept += 1
        return row, time

    def _measure(self, batch: list[tuple[av.VideoFrame, Row, float]]) -> list[tuple[Row, Future[Row] | None]]:
        """The frames' rows, each with the future of the further columns if the frame is kept."""
        return [(row, self._measure_frame(frame, row, time)) for frame, row, time in batch]

    def _measure_frame(self, frame: av.VideoFrame, row: Row, time: float) -> Future[Row] | None:
        small = small_bgr(frame, *self.size, self.small_scaler, self.turn)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        row |= self.frame_signals.measure(small, grey)
        if self.paths.miniatures:
            row["miniature"] = miniature(frame, self.miniature_scaler, self.turn)
        if "sample" not in row:
            return None
        picture = small_bgr(frame, *self.kept_size, self.kept_scaler, self.turn, Interpolation.AREA)
        measured = KeptFrame(time, picture, small, grey)
        kept = self.of_kept.submit(kept_frame_signals, self.last_kept, measured)
        self.waiting.append((kept, self.of_archive.submit(self.archive.add, row["sample"], picture)))
        self.last_kept = measured
        self._wait_for_kept(KEPT_IN_FLIGHT * self.kept_threads)
        return kept

    def _wait_for_kept(self, left: int) -> None:
        """Wait until at most `left` kept frames are not measured or not written yet."""
        while len(self.waiting) > left:
            for future in self.waiting.popleft():
                future.result()

    def _lay_out(self, frame: av.VideoFrame) -> None:
        """Set the sizes and facts that follow from the first frame."""
        aspect = float(self.stream.sample_aspect_ratio or 1)
        width, height = max(1, round(frame.width * aspect)), frame.height
        if aspect < 1:  # enlarge the other side instead, so that no detail is lost
            width, height = frame.width, max(1, round(frame.height / aspect))
        self.turn = orientation(frame)
        if self.turn[0]:
            width, height = height, width
        scale = min(1.0, self.settings.sample_short_side / min(width, height))
        self.kept_size = max(1, round(width * scale)), max(1, round(height * scale))
        self.size = analysis_size(width, height)
        self.geometry = {
            "pixel_format": frame.format.name,
            "coded_width": frame.width,
            "coded_height": frame.height,
            "rotation": round(frame.rotation) % 360,
            "pixel_aspect": aspect,
            "width": width,
            "height": height,
        }

    def _check_complete(self) -> None:
        """Raise ItemError if the video is empty, a single picture or cut off: it is not a short video."""
        if self.clock.frames == 0:
            raise ItemError("no_frames", "no frame can be decoded; repair or remove it")
        if self.clock.frames == 1 and not self.stream.duration:
            raise ItemError("still_image", "a single picture, not a video; remove it or name it in `exclude`")
        declared = self._declared_seconds()
        if declared - self.clock.seconds > max(1.0, 0.05 * declared):
            raise ItemError(
                "truncated",
                f"the file ends at {self.clock.seconds:.2f} s of {declared:.2f} s; copy it again or remove it",
            )

    def _declared_seconds(self) -> float:
        if self.stream.duration:
            return float(self.stream.duration * self.clock.unit)
        if self.container.duration and not self.container.streams.audio:
            return self.container.duration / av.time_base
        return 0.0

    def _facts(self) -> _Facts:
        assert self.geometry is not None  # since there are frames
        start = (self.container.start_time or 0) / av.time_base
        return {
            **self.geometry,
            "container": self.container.format.name,
            "codec": self.stream.codec_context.codec.canonical_name,
            "seconds": self.clock.seconds,
            "frames": self.clock.frames,
            "fps": self.clock.frames / self.clock.seconds,
            "offset": self.clock.first_seconds - start,
            "has_audio": bool(self.container.streams.audio),
            "repaired_times": self.clock.repaired,
            "samples": self.kept,
        }


class _Clock:
    """Presentation times after the first frame's, in seconds; repairs frames without a usable time stamp."""

    def __init__(self, stream: av.VideoStream):
        assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
        self.unit = stream.time_base
        self._numerator, self._denominator = self.unit.numerator, self.unit.denominator
        rate = stream.average_rate or stream.guessed_rate or 25
        self.usual = max(1, round(1 / rate / self.unit))
        self.first: int | None = None
        self.pts: int | None = None
        self.last = 0
        self.frames = self.repaired = 0

    def tick(self, frame: av.VideoFrame) -> float:
        pts = frame.pts
        if self.pts is not None and (pts is None or pts <= self.pts):
            pts = self.pts + self.usual
            self.repaired += 1
        pts = pts or 0
        if self.first is None:
            self.first = pts
        self.pts, self.last = pts, frame.duration or self.usual
        self.frames += 1
        return self.time

    @property
    def time(self) -> float:
        return ((self.pts or 0) - (self.first or 0)) * self._numerator / self._denominator

    @property
    def seconds(self) -> float:
        """End of the last frame."""
        return self.time + float(self.last * self.unit)

    @property
    def first_seconds(self) -> float:
        return float((self.first or 0) * self.unit)


class _CleanBoundaries:
    """Finds the frames up to which packets may be copied: those that in decode order come after all earlier frames.

    The boundary after the time stamp `m` stays open as long as no later packet has a time stamp of `m` or less.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._latest: int | None = None

    def packet(self, pts: int | None) -> None:
        """Note the next packet in decode order."""
        if pts is None:
            return
        while self._open and self._open[-1] >= pts:
            self._open.pop()
        if self._latest is not None and pts > self._latest:
            self._open.append(self._latest)
        self._latest = pts if self._latest is None else max(self._latest, pts)

    def before(self, pts: int | None, previous: int | None) -> bool:
        """Whether the boundary before the frame at `pts` is clean; `previous` is the frame before it."""
        if previous is None:
            return True
        while self._open and self._open[0] < previous:
            self._open.popleft()
        return pts is not None and bool(self._open) and self._open[0] == previous
