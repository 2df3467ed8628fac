"""Every table of the workflow, defined once: reading, writing, checking and `docs/tables.md` follow from here.

Run `python scripts/describe_tables.py > docs/tables.md` after a change.
"""

from __future__ import annotations

import importlib.abc
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.errors import SetupError
from clipmill.files import atomic, clean_text

TEXT, INTEGER, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
SMALL, SMALL_INTEGER = pa.float32(), pa.int32()
THUMBNAIL = pa.binary(64)
REALS = pa.list_(pa.float64())


@dataclass(frozen=True)
class Column:
    """One column: `decimals` is where its numbers are rounded, once, when the table is written."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    decimals: int | None = None


@dataclass(frozen=True)
class Table:
    """One table: where it lives below the output folder, what a row is, and its columns in order."""

    name: str
    path: str
    row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(column.name, column.type) for column in self.columns])

    def of(self, outdir: Path, shard: str) -> Path:
        """Where the table of a shard lies."""
        return outdir / self.path.replace("<shard>", shard).replace("<first shard>", shard)

    def from_rows(self, rows: Iterable[dict[str, Any]]) -> pa.Table:
        """Rows (dicts; a missing key is a missing value, an unknown key an error) as an Arrow table, rounded."""
        rows = list(rows)
        names = {column.name for column in self.columns}
        for row in rows:
            if unknown := row.keys() - names:
                raise KeyError(f"table {self.name} has no column {sorted(unknown)}")
        return pa.table([self._array(column, rows) for column in self.columns], schema=self.schema)

    @staticmethod
    def _array(column: Column, rows: list[dict[str, Any]]) -> pa.Array:
        values = [row.get(column.name) for row in rows]
        if column.decimals is not None:
            values = [_rounded(value, column.decimals) for value in values]
        elif column.type == TEXT:
            values = [None if value is None else clean_text(value) for value in values]
        return pa.array(values, column.type)

    def write(self, path: Path, rows: Iterable[dict[str, Any]], about: dict[str, Any] | None = None) -> None:
        """Write `rows` to `path` as Parquet, atomically; `about` (model, parameters…) goes into its metadata."""
        self.write_parts(path, [self.from_rows(rows)], about)

    def write_parts(self, path: Path, parts: Iterable[pa.Table], about: dict[str, Any] | None = None) -> None:
        """Write a table piece by piece, a row group each, holding one piece in memory."""
        schema = self.schema
        if about is not None:
            schema = schema.with_metadata({"clipmill": json.dumps(about, sort_keys=True)})
        with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(part.cast(schema))

    def read(self, path: Path, columns: list[str] | None = None) -> pa.Table:
        """Read `path`; raises SetupError naming the file where it is no table of this kind."""
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(self.schema):
                    raise SetupError(
                        f"{path}: not a table `{self.name}` of this version of clipmill; "
                        "delete the file and run again, it will be made anew"
                    )
                return file.read(columns, use_threads=False)  # workers are forked, and forks and threads do not mix
        except pa.ArrowInvalid as error:
            raise SetupError(f"{path}: unreadable ({error}); delete the file and run again") from error

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """All rows of `path` as dicts. For tables a row a clip or video; use `read` for those a row a frame."""
        return self.read(path).to_pylist()

    def batches(self, path: Path, size: int = 4096) -> Iterator[pa.RecordBatch]:
        """The rows of `path` in batches."""
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(size)


def _rounded(value: Any, decimals: int) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [_rounded(item, decimals) for item in value]
    return round(float(value), decimals) + 0.0  # +0.0 turns -0.0 into 0.0


def about(path: Path) -> dict[str, Any]:
    """What a table's metadata says of how it was made."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(b"clipmill", b"{}"))


class _NoPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError("not wanted here")


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas, which takes longer than most jobs. Where pandas is in use this does nothing.

    It looks for pandas once, at the first array that it makes, in order to know pandas' types when it meets them.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)


CLIP_ID = Column("clip_id", TEXT, "", "identity of the clip: its video, then its start and end in milliseconds")
VIDEO_ID = Column("video_id", TEXT, "", "identity of the video: a readable form of its path and a hash of it")
ERROR = (
    Column("error_kind", TEXT, "", "one fixed word for what went wrong; missing where nothing did"),
    Column("error", TEXT, "", "the message: what, where, what to do"),
)

VIDEOS = Table(
    "videos",
    "work/videos/<shard>.parquet",
    "a video",
    (
        VIDEO_ID,
        Column("name", TEXT, "", "path below the input folder, or the sheet's path, as given"),
        Column("path", TEXT, "", "absolute path when it was decoded"),
        Column("size_bytes", INTEGER, "byte", "size of the file"),
        Column("source_key", TEXT, "", "hash of the file's size and time and of the decode settings"),
        Column("container", TEXT, "", "container format, FFmpeg's name"),
        Column("codec", TEXT, "", "video codec, FFmpeg's name"),
        Column("pixel_format", TEXT, "", "pixel format, FFmpeg's name"),
        Column("coded_width", INTEGER, "pixel", "width as stored, before rotation and pixel shape"),
        Column("coded_height", INTEGER, "pixel", "height as stored"),
        Column("rotation", INTEGER, "degree", "turn the player must make, counter-clockwise: 0, 90, 180, 270"),
        Column("pixel_aspect", REAL, "ratio", "width of a stored pixel over its height", 6),
        Column("width", INTEGER, "pixel", "width as shown, after rotation and pixel shape"),
        Column("height", INTEGER, "pixel", "height as shown"),
        Column("seconds", REAL, "second", "from the first frame's presentation to the end of the last frame", 6),
        Column("frames", INTEGER, "frame", "frames decoded"),
        Column("fps", REAL, "frame/second", "frames over seconds", 6),
        Column("bits_per_pixel", REAL, "bit", "bits of the whole file over (coded pixels × frames)", 6),
        Column("offset", REAL, "second", "the first frame's presentation time after the container's start", 6),
        Column("has_audio", FLAG, "", "whether there is a sound track"),
        Column("repaired_times", INTEGER, "frame", "frames without a usable time stamp, given one by the mean rate"),
        Column("samples", INTEGER, "frame", "frames kept in the archive"),
        *ERROR,
    ),
)

SIGNALS = Table(
    "signals",
    "work/signals/<shard>/<video>.parquet",
    "a frame, in order of presentation; columns from `sample` on are filled for the sampled frames alone",
    (
        Column("frame", SMALL_INTEGER, "frame", "number of the frame, from 0"),
        Column("time", REAL, "second", "presentation time after the first frame's", 6),
        Column("is_key", FLAG, "", "whether it is a key frame"),
        Column("is_clean", FLAG, "", "whether packets can be copied up to (not including) this frame and lose nothing"),
        Column("content", SMALL, "0–255", "PySceneDetect's content value: mean of the three differences below"),
        Column("delta_hue", SMALL, "0–255", "mean absolute difference of hue to the frame before (0–179 scale)"),
        Column("delta_sat", SMALL, "0–255", "mean absolute difference of saturation to the frame before"),
        Column("delta_lum", SMALL, "0–255", "mean absolute difference of HSV value to the frame before"),
        Column("difference", SMALL, "0–255", "mean absolute difference of grey levels to the frame before"),
        Column("luma_mean", SMALL, "0–255", "mean grey level"),
        Column("luma_spread", SMALL, "0–255", "standard deviation of grey levels"),
        Column(
            "thumbnail", THUMBNAIL, "8×8 bytes", "grey thumbnail, by which clip files are checked against the source"
        ),
        Column("sample", SMALL_INTEGER, "", "number of the sample: the archive's member `<sample as 6 digits>.jpg`"),
        Column("sharpness", SMALL, "grey levels", "standard deviation of the Laplacian of the kept sample", 4),
        Column("colourfulness", SMALL, "0–~150", "Hasler and Süsstrunk's M3 (2003), from opponent colours", 4),
        Column("border_left", SMALL, "share", "share of the width that is a black border at the left", 4),
        Column("border_top", SMALL, "share", "share of the height that is a black border at the top", 4),
        Column("border_right", SMALL, "share", "the same at the right", 4),
        Column("border_bottom", SMALL, "share", "the same at the bottom", 4),
        Column("motion", SMALL, "% short side/second", "mean length of the Farneback flow from the sample before", 4),
    ),
)

CLIPS = Table(
    "clips",
    "work/clips/<shard>.parquet",
    "a clip: a scene, or a piece of a long one",
    (
        CLIP_ID,
        VIDEO_ID,
        Column("source_key", TEXT, "", "as in `videos`"),
        Column("scene", INTEGER, "", "number of the scene in its video, from 0"),
        Column("piece", INTEGER, "", "number of the piece in its scene, from 0"),
        Column("start", REAL, "second", "first frame's presentation time after the video's first frame", 6),
        Column("end", REAL, "second", "end of the last frame on the same clock", 6),
        Column("seconds", REAL, "second", "end − start", 6),
        Column("start_frame", INTEGER, "frame", "first frame"),
        Column("end_frame", INTEGER, "frame", "first frame after the clip"),
        Column("too_short", FLAG, "", "whether it is shorter than split.min_seconds: never kept, never scored"),
    ),
)

MOTION = Table(
    "motion",
    "work/scores/motion/<shard>.parquet",
    "a clip",
    (
        CLIP_ID,
        Column(
            "motion",
            REAL,
            "% short side/second",
            "mean speed of the picture's points: 10 is a tenth of the frame's short side a second, at any resolution",
            4,
        ),
        Column(
            "motion_pixels",
            REAL,
            "pixel",
            "the same as pixels of the full frame from one sample to the next at 2 a second (EasyAnimate's unit)",
            4,
        ),
        Column("motion_pairs", INTEGER, "", "pairs of neighbouring samples that were measured"),
        *ERROR,
    ),
)

TECHNICAL = Table(
    "technical",
    "work/scores/technical/<shard>.parquet",
    "a clip",
    (
        CLIP_ID,
        Column("sharpness", REAL, "grey levels", "mean over the samples of the Laplacian's standard deviation", 4),
        Column("brightness", REAL, "0–255", "mean grey level over all frames", 4),
        Column("contrast", REAL, "0–255", "mean over all frames of the grey levels' standard deviation", 4),
        Column("colourfulness", REAL, "0–~150", "mean over the samples of Hasler and Süsstrunk's M3", 4),
        Column(
            "border_area", REAL, "share", "share of the frame under black borders that stand through the whole clip", 4
        ),
        Column("frozen_share", REAL, "share", "share of the time in which nothing changes from frame to frame", 4),
        *ERROR,
    ),
)

TEXT_SCORES = Table(
    "text",
    "work/scores/text/<shard>.parquet",
    "a clip",
    (
        CLIP_ID,
        Column("text_area", REAL, "share", "area of the union of text boxes over the frame's; mean over the frames", 6),
        Column("text_area_frames", REALS, "share", "the same for each frame looked at", 6),
        Column(
            "text_static_area",
            REAL,
            "share",
            "the same of text that stands still in the outer quarter of a side (subtitle, logo); "
            "missing where too few frames were looked at",
            6,
        ),
        Column("text_scene_area", REAL, "share", "the same of all other text", 6),
        *ERROR,
    ),
)

AESTHETIC = Table(
    "aesthetic",
    "work/scores/aesthetic/<shard>.parquet",
    "a clip",
    (
        CLIP_ID,
        Column("aesthetic", REAL, "by backend", "mean over the frames looked at; `classic`: 0 to 10", 4),
        Column("aesthetic_frames", REALS, "by backend", "the score of each frame looked at", 4),
        *ERROR,
    ),
)

CONSISTENCY = Table(
    "consistency",
    "work/scores/consistency/<shard>.parquet",
    "a clip",
    (
        CLIP_ID,
        Column("consistency", REAL, "0–1", "least likeness of neighbouring samples: 1 is the same picture", 6),
        *ERROR,
    ),
)


def embeddings(length: int) -> Table:
    """The table of embeddings of a model that gives `length` numbers."""
    return Table(
        "embeddings",
        "work/embeddings/<backend>/<shard>.parquet",
        "a sample that a model-backed consistency looked at, with `keep_embeddings`",
        (
            CLIP_ID,
            Column("number", SMALL_INTEGER, "", "number of the sample among those looked at in its clip, from 0"),
            Column(
                "embedding",
                pa.list_(pa.float16(), length),
                "length 1",
                "what the model sees in the sample, in as many numbers as it gives",
            ),
        ),
    )


SHARD = Column("shard", TEXT, "", "the shard that the clip's video belongs to")

CAPTIONS = Table(
    "captions",
    "work/captions/<first shard>.parquet",
    "a kept clip of the shards whose captions are made in one job; the file is named after the first of them",
    (
        CLIP_ID,
        SHARD,
        Column("caption", TEXT, "", "the caption as the backend gave it; with `structured` its field `dense`"),
        Column("caption_model", TEXT, "", "what made it: backend, model, version"),
        Column(
            "caption_whole", FLAG, "", "whether it ended before the limit of tokens; missing where no model wrote it"
        ),
        Column("caption_short", TEXT, "", "`structured`: the clip in one short sentence"),
        Column("caption_subject", TEXT, "", "`structured`: who or what is seen"),
        Column("caption_action", TEXT, "", "`structured`: what happens"),
        Column("caption_setting", TEXT, "", "`structured`: where and when"),
        Column("caption_style", TEXT, "", "`structured`: the look"),
        Column("caption_camera", TEXT, "", "`structured`: what the camera does"),
        Column("caption_on_screen_text", TEXT, "", "`structured`: words that are seen"),
        *ERROR,
    ),
)

REWRITES = Table(
    "rewrites",
    "work/rewrites/<first shard>.parquet",
    "a clip with a caption that passed its checks; files as in `captions`",
    (
        CLIP_ID,
        SHARD,
        Column("text", TEXT, "", "the rewritten caption: what the train file says"),
        Column("rewrite_model", TEXT, "", "what made it"),
        Column("rewritten", FLAG, "", "false where no rewriting was good enough, and the caption stands as it was"),
        Column("refused_since", TEXT, "", "what was wrong with the last rewriting where none was good enough"),
        *ERROR,
    ),
)

ALIGNMENT = Table(
    "alignment",
    "work/scores/alignment/<shard>.parquet",
    "a clip with a text",
    (
        CLIP_ID,
        Column("alignment", REAL, "by backend", "how well text and picture agree; missing with the backend `none`", 4),
        Column(
            "alignment_margin",
            REAL,
            "by backend",
            "the same minus its mean for up to 16 texts of other clips in the shard; missing where there are none",
            4,
        ),
        *ERROR,
    ),
)

CUTS = Table(
    "cuts",
    "work/cuts/<shard>.parquet",
    "a clip that passed every filter",
    (
        CLIP_ID,
        Column("file", TEXT, "", "the clip file below `work/clip_files/`"),
        Column("cut_method", TEXT, "", "`copy` (packets as they are) or `reencode`"),
        Column("copy_failed", TEXT, "", "why a copy was tried and given up; missing where none was"),
        Column("cut_start", REAL, "second", "start of the file's first frame on the clip's clock", 6),
        Column("cut_seconds", REAL, "second", "duration of the file", 6),
        Column("cut_frames", INTEGER, "frame", "frames in the file"),
        Column("cut_width", INTEGER, "pixel", "width of the file's frames"),
        Column("cut_height", INTEGER, "pixel", "height of the file's frames"),
        Column("cut_bytes", INTEGER, "byte", "size of the file"),
        *ERROR,
    ),
)

_VIDEO_FACTS = tuple(column for column in VIDEOS.columns if column.name in {"name", "width", "height", "fps"})
_CLIP_FACTS = tuple(column for column in CLIPS.columns if column.name not in {"source_key", "too_short"})
KEPT = Column("kept", FLAG, "", "whether the clip passed")
REASON = Column("reason", TEXT, "", "the first thing in the configured order that spoke against it; missing if kept")


def scores(table: Table) -> tuple[Column, ...]:
    """The columns of a table that say something of a clip."""
    return tuple(column for column in table.columns if column not in (CLIP_ID, SHARD, *ERROR))


CLIP_SCORES = (
    Column("area", INTEGER, "pixel", "width × height of the video as shown"),
    Column("aspect_ratio", REAL, "ratio", "width over height as shown", 6),
    Column("bits_per_pixel", REAL, "bit", "bits of the whole file over (coded pixels × frames)", 6),
    Column("video_seconds", REAL, "second", "length of the whole video", 6),
    *scores(MOTION),
    *scores(TECHNICAL),
    *scores(CONSISTENCY),
    *scores(AESTHETIC),
    *scores(TEXT_SCORES),
)

VERDICTS = Table(
    "verdicts",
    "work/verdicts/<shard>.parquet",
    "a clip; scores that were not needed or could not be computed are missing",
    (*_CLIP_FACTS, *_VIDEO_FACTS, KEPT, REASON, *CLIP_SCORES),
)

FINAL_VERDICTS = Table(
    "final verdicts",
    "verdicts.parquet",
    "a clip: the verdicts of the filters, then of captioning, alignment and cutting",
    (*VERDICTS.columns, *scores(CAPTIONS), *scores(REWRITES), *scores(ALIGNMENT), *scores(CUTS)),
)

METADATA = Table(
    "metadata",
    "dataset/metadata.parquet (and .jsonl)",
    "a clip of the dataset",
    (
        Column("file_path", TEXT, "", "the clip file, from the dataset folder on"),
        Column("text", TEXT, "", "the caption to train on"),
        *(column for column in FINAL_VERDICTS.columns if column.name not in {"text", "kept", "reason", "file"}),
        Column("split", TEXT, "", "`train` or `validation`, the same for all clips of a video"),
        Column("bucket_width", INTEGER, "pixel", "the clip's bucket (`export.buckets`); missing where it fits none"),
        Column("bucket_height", INTEGER, "pixel", "the same"),
        Column("bucket_aspect_ratio", REAL, "ratio", "the same, width over height", 6),
        Column("bucket_frames", INTEGER, "frame", "the same: that many of its frames are trained on"),
    ),
)

ERRORS = Table(
    "errors",
    "errors.csv",
    "a video or clip that could not be used",
    (
        Column("video", TEXT, "", "the video as named in the input"),
        Column("video_id", TEXT, "", "its identity; missing where it never got one"),
        Column("clip_id", TEXT, "", "the clip; missing where the whole video is meant"),
        Column("rule", TEXT, "", "the step that found it: index, decode, text …"),
        Column("kind", TEXT, "", "one fixed word"),
        Column("message", TEXT, "", "what, where, what to do"),
    ),
)

ALL = (
    VIDEOS,
    SIGNALS,
    CLIPS,
    MOTION,
    TECHNICAL,
    CONSISTENCY,
    AESTHETIC,
    TEXT_SCORES,
    embeddings(768),
    VERDICTS,
    CAPTIONS,
    REWRITES,
    ALIGNMENT,
    CUTS,
    FINAL_VERDICTS,
    METADATA,
    ERRORS,
)


def lost(outdir: Path, shards: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Tables, below `outdir`, that are missing of shards that have others: a job that failed has taken its own with it.

    `groups`: the shards after which the tables of those are called that share a job.
    """
    names = {"<shard>": shards, "<first shard>": groups}
    wanted: dict[str, str] = {}
    there: set[str] = set()
    for table in ALL:
        folder, _, place = table.path.removesuffix(".parquet").rpartition("/")
        if place in names and "<" not in folder:
            wanted |= {f"{folder}/{name}.parquet": name for name in names[place]}
            there |= {f"{folder}/{path.name}" for path in (outdir / folder).glob("*.parquet")}
    begun = {wanted[path] for path in there & wanted.keys()}
    return sorted(path for path, name in wanted.items() if path not in there and name in begun)
