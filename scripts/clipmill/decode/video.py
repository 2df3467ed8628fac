"""Decoding a video once: a table of signals, an archive of kept frames, and a row of facts.

One pass, streaming: memory does not grow with the length of the video. Times are presentation times.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import av
import pyarrow.parquet as pq

from clipmill.base.errors import ItemError
from clipmill.base.files import atomic
from clipmill.base.journal import fingerprint
from clipmill.base.opencv import cv2
from clipmill.decode import easyanimate, sound_signals
from clipmill.decode.bars import bar_signals
from clipmill.decode.clock import Clock, Rate
from clipmill.decode.complete import Completeness
from clipmill.decode.cropping import Cropping
from clipmill.decode.fields import Fields
from clipmill.decode.frames import ArchiveWriter, archive_key
from clipmill.decode.interlaced import FieldPass, frame_ranges
from clipmill.decode.looks import CLOCK, DAMAGE, Look, Watch
from clipmill.decode.media import best_video_stream, open_video, sound_stream
from clipmill.decode.miniatures import MiniatureWriter
from clipmill.decode.part_pictures import PartPictures
from clipmill.decode.pictures import Grey, rotation_of
from clipmill.decode.signals import FrameSignals, KeptFrame, kept_frame_signals
from clipmill.decode.sound_signals import SoundMeter, Speech
from clipmill.decode.stream import Damage, frames_of
from clipmill.decode.tone import VERSION as TONES_VERSION
from clipmill.decode.tone import tone_map
from clipmill.store import table, tables
from clipmill.store.index import shown_path, state_of
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import DecodedVideo, IndexedVideo, Part, VideoFile
from clipmill.store.tables import Look as LookRow

log = logging.getLogger("clipmill")

VERSION = 8  # part of every key of decoding: raise it when the same file and settings give other results
PICTURES_VERSION = 2  # the same for the pictures alone, on which scores and captions depend
ROWS_AT_ONCE = 2048
KEPT_IN_FLIGHT = 6  # kept frames, and pairs of whole ones, per thread that wait to be measured and written
FRAMES_AT_ONCE, PIXELS_IN_FLIGHT = 8, 8_000_000  # a batch is full at whichever is reached first

# What decoding makes only if a run asks for it: the names of the keys that the rule then adds to its settings. In other
# runs the settings stay what they were, so that Snakemake decodes nothing again.
MINIATURES, EASYANIMATE, SOUND, SPEECH = "miniatures", "motion_easyanimate", "sound", "speech"
LARGE_FRAMES = "large_frames"
EXTRAS = frozenset({MINIATURES, EASYANIMATE, SOUND, SPEECH, LARGE_FRAMES})


@dataclass(frozen=True)
class DecodeSettings:
    """The section `decode` of the config."""

    samples_per_second: float
    sample_short_side: int
    sample_quality: int
    tone_map: bool
    deinterlace: str
    damaged: str


@dataclass(frozen=True)
class DecodePaths:
    """Where the files of a video go. `miniatures` and `sound` are None if nobody wants them.

    `easyanimate`, `speech`: whether somebody wants the columns `easyanimate_…` of the signals, `speech` of the sound's.
    `large`: whether somebody wants large pictures beside the kept frames of large videos.
    """

    frames: Path
    signals: Path
    miniatures: Path | None = None
    easyanimate: bool = False
    sound: Path | None = None
    speech: bool = False
    large: bool = False

    @staticmethod
    def of(outdir: Path, shard: str, video_id: str, extras: Collection[str] = ()) -> DecodePaths:
        """`extras`: those of EXTRAS that are wanted."""
        extras = set(extras)
        paths = Paths(outdir)
        small = paths.miniatures(shard, video_id) if MINIATURES in extras else None
        files = paths.frames(shard, video_id), paths.signals(shard, video_id)
        sound = paths.sound_signals(shard, video_id) if extras & {SOUND, SPEECH} else None
        return DecodePaths(*files, small, EASYANIMATE in extras, sound, SPEECH in extras, LARGE_FRAMES in extras)

    @property
    def tables(self) -> list[Path]:
        """The files that are tables."""
        return [path for path in (self.signals, self.miniatures, self.sound) if path]

    def hold(self, key: str, can_have_large: bool = True) -> bool:
        """Whether all files are there, whole, with all that is wanted, and made under `key`.

        `can_have_large`: whether the video is large enough for large pictures.
        """
        if archive_key(self.frames) != key or any(_about(path).get("source_key") != key for path in self.tables):
            return False
        if self.easyanimate and _about(self.signals).get(EASYANIMATE) != easyanimate.VERSION:
            return False
        if self.large and can_have_large and LARGE_FRAMES not in _about(self.signals):
            return False
        made = _about(self.sound) if self.sound else {}
        return not self.sound or (made.get(SOUND) == sound_signals.VERSION and (SPEECH in made or not self.speech))


def _about(path: Path) -> dict[str, Any]:
    """How a table was made; nothing if it cannot be read."""
    try:
        return table.about(path)
    except (OSError, ValueError):
        return {}


def decode_key(video: IndexedVideo, settings: DecodeSettings) -> str:
    """A key of everything that a video's measurements depend on: the state of its file, and the settings."""
    return fingerprint("decode", VERSION, *state_of(video), asdict(settings))


def pictures_key(video: IndexedVideo, settings: DecodeSettings, treatments: Sequence[Any] = ()) -> str:
    """A key of what a video's pictures depend on.

    `treatments`: what was done with them beyond scaling. Without any they are as older versions made them, and the key
    is theirs: so it also stands for what an older version decoded.
    """
    kept = {name: value for name, value in asdict(settings).items() if name.startswith("sample")}
    return fingerprint("decode", PICTURES_VERSION, *state_of(video), kept, *treatments)


def video_file(video: IndexedVideo, settings: DecodeSettings) -> VideoFile:
    """The columns of VIDEOS that a video has whether it can be decoded or not."""
    return {
        "video_id": video["video_id"],
        "name": video["name"],
        "path": shown_path(video),
        "size_bytes": video["size_bytes"],
        "etag": video.get("etag"),
        "decode_key": decode_key(video, settings),
        "source_key": pictures_key(video, settings),
    }


def decode_video(
    video: IndexedVideo, paths: DecodePaths, settings: DecodeSettings, threads: int, speech: Speech | None = None
) -> tuple[DecodedVideo, list[Part]]:
    """Decode one video of the index and return its VIDEOS row and its PARTS rows. Raises ItemError.

    Miniatures and the signals of sound are made if they have a path. `speech` finds speech, if it is wanted. All files
    replace earlier ones when they are whole, so a kill leaves none half-written.
    """
    source, key = Path(video["path"]), decode_key(video, settings)
    _check_unchanged(source, video)
    with ExitStack() as opened:
        unready = DecodePaths(
            signals=opened.enter_context(atomic(paths.signals)),  # first in, last out: they say what the frames hold
            frames=opened.enter_context(atomic(paths.frames)),
            miniatures=opened.enter_context(atomic(paths.miniatures)) if paths.miniatures else None,
            easyanimate=paths.easyanimate,
            sound=opened.enter_context(atomic(paths.sound)) if paths.sound else None,
            speech=paths.speech,
            large=paths.large,
        )
        try:
            decoding, facts = _decoded(source, unready, settings, key, threads, speech)
            fields = [decoding.fields.found(part.start_frame, part.end_frame) for part in decoding.parts]
            wanted = decoding.fields.wanted(fields)
            if wanted != decoding.fields.made:
                decoding, facts = _decoded(source, unready, settings, key, threads, speech, wanted)
        except Exception:
            _check_unchanged(source, video)  # whatever failed: if the file is another one by now, that is why
            raise
        _check_unchanged(source, video)
    for part, of_part in zip(decoding.parts, fields, strict=True):
        part.fields = of_part
    parts = [part.row(video["video_id"]) for part in decoding.parts]
    longest = max(decoding.parts, key=lambda part: part.end_frame - part.start_frame)
    look = longest.look_row()
    bits = source.stat().st_size * 8 / (look["coded_width"] * look["coded_height"] * decoding.clock.frames)
    row: DecodedVideo = {**video_file(video, settings), **look, **facts, "bits_per_pixel": bits}
    row["source_key"] = pictures_key(video, settings, _treatments(decoding))
    return row, parts


def _decoded(
    source: Path,
    paths: DecodePaths,
    settings: DecodeSettings,
    key: str,
    threads: int,
    speech: Speech | None,
    orders: bytes | None = None,
) -> tuple[_Decoding, _Facts]:
    """Decode a video once. `orders`: the `known` of FieldPass."""
    with open_video(source) as container:
        decoding = _Decoding(container, paths, settings, key, threads, orders)
        if not paths.sound:
            return decoding, decoding.run()
        about = {"source_key": key, SOUND: sound_signals.VERSION, **({SPEECH: True} if paths.speech else {})}
        with SoundMeter(container, source, paths.sound, about, speech if paths.speech else None) as decoding.sound:
            return decoding, decoding.run()


def _treatments(decoding: _Decoding) -> list[Any]:
    """What is done with the pictures of a video beyond scaling; nothing with those of most."""
    parts, whole = decoding.parts, decoding.fields.made_ranges()
    treatments: list[Any] = []
    if len(parts) > 1:
        treatments.append(["parts", [part.start_frame for part in parts]])
    if parts[0].cropping.is_any:
        treatments.append(["cropping", asdict(parts[0].cropping)])
    if any(part.pictures.tones for part in parts):
        treatments.append(["tone_map", TONES_VERSION])
    if whole:
        treatments.append(["whole", whole])
    return treatments


def _check_unchanged(source: Path, video: IndexedVideo) -> None:
    try:
        status = source.stat()
    except FileNotFoundError as error:
        raise ItemError("vanished", "the file is gone; put it back and run again", lasting=False) from error
    except OSError as error:
        raise ItemError("unreadable", f"cannot be read ({error.strerror})", lasting=False) from error
    if (status.st_size, status.st_mtime_ns) != (video["size_bytes"], video["mtime_ns"]):
        raise ItemError("changed", "the file changed while the run was on; run again", lasting=False)


class _Facts(TypedDict):
    """Columns of VIDEOS that are known when the whole video is decoded, beyond its look."""

    container: str
    codec: str
    seconds: float
    frames: int
    has_audio: bool
    repaired_times: int
    samples: int
    changes: str | None


@dataclass
class OpenPart:
    """A part of the video while it is decoded."""

    number: int
    look: Look
    start_frame: int
    offset: float  # seconds to add to its times to have the container's, less its start
    begun_by: list[str]  # what changed before it, in words
    rate: Rate
    pictures: PartPictures
    cropping: Cropping
    fields: Fields | None = None  # known when all frames have been looked at

    @property
    def end_frame(self) -> int:
        """The first frame after those that have come and ended."""
        return self.start_frame + self.rate.frames

    def look_row(self) -> LookRow:
        """The columns of PARTS that VIDEOS has too."""
        assert self.fields is not None  # since it is asked for when all is decoded
        rotation, mirrored = rotation_of(self.look.rotation)
        return {
            "pixel_format": self.look.pixel_format,
            "bit_depth": self.look.bit_depth,
            "transfer": self.look.transfer,
            "primaries": self.look.primaries,
            "color_range": self.look.color_range,
            "field_order": self.fields.order,
            "coded_width": self.look.size[0],
            "coded_height": self.look.size[1],
            "rotation": rotation,
            "mirrored": mirrored,
            "pixel_aspect": self.look.pixel_shape,
            "width": self.look.shown[0],
            "height": self.look.shown[1],
            "cropped": self.cropping.is_any,
            "fps": self.rate.fps,
            "variable_rate": self.rate.is_variable,
            "offset": self.offset,
        }

    def row(self, video_id: str) -> Part:
        """The PARTS row."""
        assert self.fields is not None  # as above
        return {
            **self.look_row(),
            "video_id": video_id,
            "part": self.number,
            "start": self.rate.start,
            "end": self.rate.end,
            "start_frame": self.start_frame,
            "end_frame": self.end_frame,
            "interlaced_frames": frame_ranges(self.fields.is_woven, self.start_frame),
        }


class _Decoding:
    """One pass over one open video."""

    def __init__(
        self,
        container: av.container.InputContainer,
        paths: DecodePaths,
        settings: DecodeSettings,
        key: str,
        threads: int,
        orders: bytes | None,
    ):
        self.container, self.settings, self.key = container, settings, key
        self.stream = best_video_stream(container)
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = threads
        self.start = (container.start_time or 0) / av.time_base
        self.archive = ArchiveWriter(paths.frames, settings.sample_quality)
        self.paths = paths
        self.clock = Clock(self.stream, container.format.name)
        self.watch = Watch(container, self.stream)
        self.complete = Completeness(container, self.stream)
        self.fields = FieldPass(settings.deinterlace == "auto", orders)
        self.clean = _CleanBoundaries()
        self.parts: list[OpenPart] = []
        self.measured_part: OpenPart | None = None
        self.frame_signals = FrameSignals()
        self.kept_threads = max(1, threads // 2)  # of a small video, kept frames are half of the work
        self.last_kept: KeptFrame | None = None
        self.kept = self.next_kept = 0
        self.whole_frames: easyanimate.Pairs | None = None
        self.waiting: deque[tuple[Future[Any], ...]] = deque()
        self.sound: SoundMeter | None = None

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
        keeps_rest = self.settings.damaged == "keep"
        try:
            yield from frames_of(self.container, self.stream, self.watch, self._packet, keeps_rest)
        except Damage as error:
            message = f"cannot be decoded beyond {self.clock.time:.2f} s ({error}); repair or remove it"
            raise ItemError("corrupt", message) from error

    def _packet(self, packet: av.Packet) -> None:
        self.complete.packet(packet)
        if self.sound:
            self.sound.packet(packet, packet.stream.index == self.stream.index)
        if packet.stream.index == self.stream.index:
            self.clean.packet(packet.pts)

    def _write(self, frames: Iterator[av.VideoFrame]) -> None:
        """Measure all frames; write the signals in batches as the numbers come in."""
        extras: dict[str, Any] = {EASYANIMATE: easyanimate.VERSION} if self.paths.easyanimate else {}
        if self.paths.large:
            extras[LARGE_FRAMES] = True
        schema = tables.SIGNALS.schema_about({"source_key": self.key, **extras})
        rows: list[_Measured] = []
        measured: deque[Future[list[_Measured]]] = deque()
        with ExitStack() as opened:
            writer = opened.enter_context(pq.ParquetWriter(self.paths.signals, schema, compression="zstd"))
            miniatures = None
            if self.paths.miniatures:
                miniatures = opened.enter_context(MiniatureWriter(self.paths.miniatures, self.key))

            def flush() -> None:
                if miniatures:
                    miniatures.write([row.pop("miniature") for row, _ in rows])
                for row, further in rows:
                    for columns in further:
                        row.update(columns.result())
                done = [row for row, _ in rows]
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
            self.parts[-1].rate.add(self.clock.seconds, self.clock.usual)
            flush()

    def _batches(self, frames: Iterator[av.VideoFrame]) -> Iterator[list[_Placed]]:
        """Frames with their places, in batches: handing over one at a time costs as much as measuring it."""
        batch = []
        for placed in self._placed(frames):
            batch.append(placed)
            frame = placed.frame
            if len(batch) * frame.width * frame.height >= PIXELS_IN_FLIGHT or len(batch) == FRAMES_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def _placed(self, frames: Iterator[av.VideoFrame]) -> Iterator[_Placed]:
        """Frames with their places, and whole if they are interlaced."""
        waiting: deque[_Placed] = deque()
        for frame in frames:
            placed = self._place(frame)
            waiting.append(placed)
            for whole in self.fields.put(frame, placed.part.number):
                yield waiting.popleft()._replace(shown=whole)
        for whole in self.fields.rest():
            yield waiting.popleft()._replace(shown=whole)

    def _place(self, frame: av.VideoFrame) -> _Placed:
        """Find out where in the stream a frame stands."""
        number, before = self.clock.frames, self.clock.pts
        leaps = self.clock.leaps_at(frame)
        changes = self.watch.see(frame, leaps)
        if DAMAGE in changes:  # what was left out is not there
            leaps = True
        if changes and not leaps and self.clock.holds_at(frame):
            leaps, changes = True, [*changes, CLOCK]
        usual = self.clock.usual
        self.clock.tick(frame, leaps)
        time = self.clock.time
        if self.parts:
            self.parts[-1].rate.add(time, usual)
        if changes or not self.parts:
            self._begin_part(number, time, changes)
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
        return _Placed(frame, frame, row, time, self.parts[-1])

    def _begin_part(self, number: int, time: float, begun_by: list[str]) -> None:
        """A frame is the first of a part. `begun_by`: what changed before it, in words."""
        look = self.watch.look
        assert look is not None  # since there is a frame
        tones = tone_map(look.transfer, look.primaries) if self.settings.tone_map else None
        self.parts.append(
            OpenPart(
                number=len(self.parts),
                look=look,
                start_frame=number,
                offset=self.clock.offset - self.start,
                begun_by=begun_by,
                rate=Rate(time),
                pictures=PartPictures(look.shown, look.rotation, self.settings.sample_short_side, tones),
                cropping=self.watch.cropping,
            )
        )

    def _measure(self, batch: list[_Placed]) -> list[_Measured]:
        """The frames' rows, each with the futures of further columns."""
        return [(placed.row, self._measure_frame(placed)) for placed in batch]

    def _measure_frame(self, placed: _Placed) -> list[Future[Row]]:
        frame, row, part = placed.shown, placed.row, placed.part
        self.fields.look(placed.frame, row["frame"])
        if part is not self.measured_part:  # no frame is compared with one of another part
            self.measured_part, self.last_kept = part, None
            self.frame_signals = FrameSignals()
            if self.paths.easyanimate:
                self.whole_frames = easyanimate.Pairs(float(self.clock.rate))
        small = part.pictures.analysis(frame)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        row |= self.frame_signals.measure(small, grey, part.pictures.luma(frame))
        if self.paths.miniatures:
            row["miniature"] = part.pictures.miniature(frame)
        further = []
        if "sample" in row:
            picture = part.pictures.kept(frame)
            large = part.pictures.large(frame) if self.paths.large else None
            measured = KeptFrame(placed.time, picture, small, grey)
            further.append(self.of_kept.submit(_kept_frame_row, self.last_kept, measured, part.pictures.grey(frame)))
            self.waiting.append((further[-1], self.of_archive.submit(self.archive.add, row["sample"], picture, large)))
            self.last_kept = measured
        if self.whole_frames is not None:
            pair = self.whole_frames.put(row["frame"], row["content"], partial(part.pictures.whole, frame))
            if pair is not None:
                further.append(self.of_kept.submit(easyanimate.whole_frame_signals, *pair))
                self.waiting.append((further[-1],))
        self._wait_for_kept(KEPT_IN_FLIGHT * self.kept_threads)
        return further

    def _wait_for_kept(self, left: int) -> None:
        """Wait until at most `left` kept frames are not measured or not written yet."""
        while len(self.waiting) > left:
            for future in self.waiting.popleft():
                future.result()

    def _check_complete(self) -> None:
        """Raise ItemError if the video is empty, a single picture or cut off: it is not a short video."""
        if self.clock.frames == 0:
            raise ItemError("no_frames", "no frame can be decoded; repair or remove it")
        if self.clock.frames == 1 and not self.stream.duration:
            raise ItemError("still_image", "a single picture, not a video; remove it or name it in `exclude`")
        gaps = [DAMAGE in part.begun_by for part in self.parts[1:]]
        self.complete.check(
            self.parts[0].offset + self.start,
            self.clock.offset + self.clock.seconds,
            leaps=self.clock.leaps > sum(gaps),
            keeps_rest=self.settings.damaged == "keep",
        )

    def _facts(self) -> _Facts:
        """What is known when the whole video is decoded."""
        changes = [f"{', '.join(part.begun_by)} at {part.rate.start:.3f} s" for part in self.parts[1:]]
        if self.watch.is_gap:
            changes.append(f"{DAMAGE} at {self.clock.seconds:.3f} s")
        return {
            "container": self.container.format.name,
            "codec": self.stream.codec_context.codec.canonical_name,
            "seconds": self.clock.seconds,
            "frames": self.clock.frames,
            "has_audio": sound_stream(self.container) is not None,
            "repaired_times": self.clock.repaired,
            "samples": self.kept,
            "changes": "; ".join(changes) or None,
        }


def _kept_frame_row(before: KeptFrame | None, frame: KeptFrame, full: Grey) -> Row:
    """The SIGNALS columns that only kept frames have. `full`: all pixels of the frame in grey."""
    return {**kept_frame_signals(before, frame), **bar_signals(full, frame.small)}


_Measured = tuple[Row, list[Future[Row]]]
"""The row of a frame, and its further columns, which take longer."""


class _Placed(NamedTuple):
    """A decoded frame, as it is shown, and its place: its SIGNALS row so far, its time in seconds, its part."""

    frame: av.VideoFrame
    shown: av.VideoFrame
    row: Row
    time: float
    part: OpenPart


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
