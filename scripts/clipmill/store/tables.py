"""Every table of the workflow, defined once: reading, writing, checking and `docs/tables.md` follow from here.

Run `python scripts/describe.py` after a change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypedDict

from clipmill.store import layout
from clipmill.store.layout import CLASSIFIER, GROUP, SHARD, is_classifier
from clipmill.store.table import (
    BYTES,
    FLAG,
    INTEGER,
    MINIATURE,
    REAL,
    REALS,
    SMALL,
    SMALL_INTEGER,
    SMALL_REALS,
    TEXT,
    THUMBNAIL,
    Column,
    Field,
    Row,
    RowType,
    Table,
    columns_of,
    vector,
)

VideoId = Annotated[str, Field("", "identity of the video: a readable form of its path and a hash of it")]
VideoName = Annotated[str, Field("", "path below the input folder, or the path as the sheet gives it")]


# Values of `origin`: each has a module of its name in `fetch`.
TAR, PARQUET, REMOTE = "tar", "parquet", "remote"


class IndexedVideo(TypedDict):
    """A video of the index: a row of INDEX. A shard's list holds all its columns but `shard` and `present`.

    `path` is that of the archive if `origin` names one, or an address: the file of the video itself must be fetched.
    """

    video_id: VideoId
    name: VideoName
    path: Annotated[str, Field("", "absolute path of the file, or of the archive that holds it; or an address")]
    size_bytes: Annotated[int | None, Field("byte", "size of the file; missing for an address of a sheet")]
    mtime_ns: Annotated[
        int, Field("nanosecond", "time of the last change of the file, or of the archive; 0 for an address of a sheet")
    ]
    shard: Annotated[int, Field("", "number of the shard; it never changes")]
    present: Annotated[bool, Field("", "whether the file was there when the index was last updated")]
    returns: Annotated[int, Field("", "how often it came back after it was gone, or became readable again")]
    origin: Annotated[
        str | None, Field("", "what holds the video: `tar`, `parquet`, `remote`; missing for a file of its own")
    ]
    member: Annotated[str | None, Field("", "its name in the archive; missing for a file of its own")]
    offset: Annotated[
        int | None, Field("", "`tar`: the byte at which it begins; `parquet`: its row, from 0; missing for a file")
    ]
    etag: Annotated[
        str | None, Field("", "`remote`: what the server calls this state of the file; missing where it is not asked")
    ]
    checksum: Annotated[
        str | None, Field("", "`remote`: `sha256:…` or `md5:…`, if the sheet or the hub names it, in hex")
    ]


class VideoFile(TypedDict):
    """The file of a video, as it was when the video was decoded or failed to be: the first columns of VIDEOS."""

    video_id: VideoId
    name: VideoName
    path: Annotated[str, Field("", "absolute path when it was decoded, or address")]
    size_bytes: Annotated[int | None, Field("byte", "size of the file; missing if it could not be fetched")]
    etag: Annotated[str | None, Field("", "what its server called this state of the file; missing for a local file")]
    decode_key: Annotated[str, Field("", "hash of the file's size and time and of the decode settings")]
    source_key: Annotated[
        str, Field("", "hash of what its pictures depend on; scores and captions of the same pictures stay valid")
    ]


# Values of `transfer` and of `field_order`.
SDR, HLG, PQ = "sdr", "hlg", "pq"
PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST, TELECINED = "progressive", "tff", "bff", "telecined"


class Footage(TypedDict):
    """What frames are like: columns of videos, of their parts, and of clips."""

    bit_depth: Annotated[int, Field("bit", "bits per colour of a pixel of the video", filter=35)]
    transfer: Annotated[
        str,
        Field("", "transfer curve: `sdr`, `hlg` or `pq`", filter=36, words=(SDR, HLG, PQ)),
    ]
    primaries: Annotated[str, Field("", "colour primaries, FFmpeg's name; `unknown` if the file names none", filter=37)]
    color_range: Annotated[
        str,
        Field(
            "",
            "range of the colours: `full`, `limited`, or `unknown` (read as limited)",
            filter=38,
            words=("full", "limited", "unknown"),
        ),
    ]
    field_order: Annotated[
        str,
        Field(
            "",
            "`progressive`; interlaced: `tff` or `bff`, the top or bottom field first; or `telecined`",
            filter=39,
            words=(PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST, TELECINED),
        ),
    ]
    variable_rate: Annotated[bool, Field("", "whether some frames stand longer than others", filter=41)]


class Look(Footage):
    """How the frames of a part of a video are stored and shown. In VIDEOS: those of its longest part."""

    pixel_format: Annotated[str, Field("", "pixel format, FFmpeg's name")]
    coded_width: Annotated[int, Field("pixel", "width as stored, before rotation and pixel shape")]
    coded_height: Annotated[int, Field("pixel", "height as stored")]
    rotation: Annotated[
        int, Field("degree", "turn the player must make, counter-clockwise: 0, 90, 180, 270, the nearest of them")
    ]
    mirrored: Annotated[bool, Field("", "whether the player must mirror the picture too")]
    cropped: Annotated[
        bool,
        Field("", "whether the container says to show only a part of the stored picture; all sizes are that part's"),
    ]
    pixel_aspect: Annotated[float, Field("ratio", "width of a stored pixel over its height", 6)]
    width: Annotated[int, Field("pixel", "width as shown, after rotation and pixel shape")]
    height: Annotated[int, Field("pixel", "height as shown")]
    fps: Annotated[float, Field("frame/second", "frames over seconds, without frames that stand for long", 6)]
    offset: Annotated[
        float, Field("second", "what must be added to its times to have the container's, less its start", 6)
    ]


class DecodedVideo(VideoFile, Look):
    """A video that was decoded: the columns of VIDEOS that it fills."""

    container: Annotated[str, Field("", "container format, FFmpeg's name")]
    codec: Annotated[str, Field("", "video codec, FFmpeg's name")]
    seconds: Annotated[float, Field("second", "length of the film that is there, to the end of the last frame", 6)]
    frames: Annotated[int, Field("frame", "frames decoded")]
    bits_per_pixel: Annotated[float, Field("bit", "bits of the whole file over (coded pixels × frames)", 6)]
    has_audio: Annotated[bool, Field("", "whether there is a sound track that can be decoded")]
    repaired_times: Annotated[int, Field("frame", "frames without a usable time stamp, given one by the mean rate")]
    samples: Annotated[int, Field("frame", "frames kept in the archive")]
    changes: Annotated[
        str | None,
        Field("", "what changes midway, and when: `size at 5.000 s`; missing if nothing does. See the table `parts`"),
    ]


class Part(Look):
    """A part of a video within which nothing changes but the picture: a row of PARTS."""

    video_id: VideoId
    part: Annotated[int, Field("", "number of the part in its video, from 0")]
    start: Annotated[float, Field("second", "its first frame's presentation on the video's clock", 6)]
    end: Annotated[float, Field("second", "end of its last frame", 6)]
    start_frame: Annotated[int, Field("frame", "first frame")]
    end_frame: Annotated[int, Field("frame", "first frame after the part")]
    interlaced_frames: Annotated[
        str | None,
        Field(
            "", "which of its frames are interlaced or telecined: `0-250 400-900`, each first frame and first after it"
        ),
    ]


class Video(DecodedVideo):
    """A row of VIDEOS. A video with an `error_kind` could not be decoded: all facts of its pictures are missing."""

    not_fetched: Annotated[bool | None, Field("", "whether the error is that its file could not be fetched")]
    error_kind: Annotated[str | None, Field("", "one fixed word for the error; missing if there was none")]
    error: Annotated[str | None, Field("", "the message: what is wrong, where, and what to do")]


class FailedVideo(VideoFile):
    """A video that could not be decoded: the columns of VIDEOS that it fills."""

    not_fetched: bool
    error_kind: str
    error: str


# Why a clip is unfit, whatever its scores are.
TOO_SHORT = "too_short"  # for split.min_seconds
TOO_FEW_FRAMES = "too_few_frames"  # for cut.frames
FROZEN = "frozen"  # one frame that stands for long
INTERLACED = "interlaced"  # for decode.deinterlace, as the next one
OVERLAYS = "overlays"  # text and logos, without which less than crop.min_area would be left
UNFIT = (TOO_SHORT, TOO_FEW_FRAMES, FROZEN, INTERLACED, TELECINED, OVERLAYS)


class ClipPlace(TypedDict):
    """Where a clip lies in its video, and its size."""

    clip_id: Annotated[str, Field("", "identity of the clip: its video, then its start and end in milliseconds")]
    video_id: VideoId
    source_key: Annotated[str, Field("", "as in `videos`; of a cropped clip also of the crop")]
    part: Annotated[int, Field("", "number of the part of its video, from 0")]
    scene: Annotated[int, Field("", "number of the scene in its video, from 0")]
    piece: Annotated[int, Field("", "number of the piece in its scene, from 0")]
    start: Annotated[float, Field("second", "first frame's presentation time after the video's first frame", 6)]
    end: Annotated[float, Field("second", "end of the last frame on the same clock", 6)]
    seconds: Annotated[float, Field("second", "end − start", 6)]
    start_frame: Annotated[int, Field("frame", "first frame")]
    end_frame: Annotated[int, Field("frame", "first frame after the clip")]
    unfit: Annotated[
        str | None,
        Field(
            "",
            "why it is never kept and never scored: `too_short`, `too_few_frames`, `frozen`, `interlaced`, "
            "`telecined`, `overlays`; missing if it is fit",
        ),
    ]
    target_frames: Annotated[
        int | None,
        Field("frame", "frames that its file must have by cut.fps and cut.frames; missing: as many as the video has"),
    ]
    width: Annotated[int, Field("pixel", "width as shown, cropped")]
    height: Annotated[int, Field("pixel", "height as shown, cropped")]
    crop_x: Annotated[
        int | None,
        Field("pixel", "columns that are cut away at the left of the picture as shown; missing if nothing is"),
    ]
    crop_y: Annotated[int | None, Field("pixel", "rows that are cut away at the top")]
    crop_width: Annotated[int | None, Field("pixel", "width of what is left")]
    crop_height: Annotated[int | None, Field("pixel", "height of what is left")]
    whole_width: Annotated[int | None, Field("pixel", "width as shown before cropping; missing if nothing is cropped")]
    whole_height: Annotated[int | None, Field("pixel", "height as shown before cropping")]
    masked: Annotated[
        list[float] | None,
        Field(
            "pixel",
            "boxes that masks hide (`crop.masks`): left, top, right and bottom edge of each, one box after the other; "
            "missing if there are none",
            2,
        ),
    ]
    fps: Annotated[
        float, Field("frame/second", "of its part; at a variable rate its own frames over seconds", 6, filter=30)
    ]


class Clip(ClipPlace, Footage):
    """A clip as splitting found it: a row of CLIPS. Its footage is as the video was, before it is cut."""


class TransitionRow(TypedDict):
    """A transition between two shots: a row of TRANSITIONS."""

    video_id: VideoId
    start: Annotated[float, Field("second", "when it begins: first frame that belongs to both shots", 6)]
    end: Annotated[float, Field("second", "when the new shot stands alone; of a cut the same as `start`", 6)]
    start_frame: Annotated[int, Field("frame", "first frame that belongs to both shots; of a cut the new shot's first")]
    end_frame: Annotated[int, Field("frame", "first frame of the new shot alone")]
    kind: Annotated[str, Field("", "`cut`, `fade`, `dissolve`, `wipe`, or `change`: the video changes here")]
    strength: Annotated[
        float, Field("ratio", "0 to 1: how sure it is; of content and adaptive the content value over 255", 4)
    ]


class ClipWithText(Clip):
    """A clip that has a text to train on."""

    text: Annotated[str, Field("", "the rewritten caption")]


CLIP_ID = columns_of(Clip)[0]
ERROR = columns_of(Video)[-2:]
_OF_ERROR = frozenset(column.name for column in ERROR)


def without_error(row: Mapping[str, Any]) -> Row:
    """A row without the columns of its error."""
    return {name: value for name, value in row.items() if name not in _OF_ERROR}


def by_video(rows: Iterable[RowType]) -> dict[str, list[RowType]]:
    """Rows with a `video_id` by it, in order; an empty list for a video without rows."""
    found: dict[str, list[RowType]] = defaultdict(list)
    for row in rows:
        found[row["video_id"]].append(row)
    return found


INDEX: Table[IndexedVideo] = Table(
    "index", layout.INDEX, "video of the input", columns_of(IndexedVideo), "restore it, or use a new outdir"
)


class GivenScene(TypedDict):
    """A scene that a sheet gives, or a whole video that is given a caption alone: a row of GIVEN."""

    video_id: VideoId
    row: Annotated[int | None, Field("", "number of its row in the sheet, from 1; missing if a file gives the caption")]
    scene: Annotated[int | None, Field("", "number of the scene in its video, from 0; missing for the whole video")]
    start: Annotated[float | None, Field("second", "when it begins; missing if frames are given")]
    end: Annotated[float | None, Field("second", "when it ends")]
    start_frame: Annotated[int | None, Field("frame", "its first frame; missing if times are given")]
    end_frame: Annotated[int | None, Field("frame", "the first frame after it")]
    caption: Annotated[str | None, Field("", "its caption; missing if it is given none")]


GIVEN: Table[GivenScene] = Table(
    "given",
    layout.GIVEN,
    "scene or caption that a sheet or a file beside the video gives; the sheet's further columns follow",
    columns_of(GivenScene),
)

FETCHES: Table[Row] = Table(
    "fetch",
    layout.FETCHES,
    "video that a job of its own fetches: in an archive, or at an address with `fetch.own_jobs`; of shards with any",
    (
        columns_of(VideoFile)[0],
        Column("file", TEXT, "", "its file below the folder of fetched files; it may have been removed since"),
        Column("bytes", INTEGER, "byte", "size of the file"),
        *columns_of(Video)[-2:],
        Column("may_pass", FLAG, "", "whether the next start tries again, since the error may have passed by then"),
    ),
)

VIDEOS: Table[Video] = Table("videos", layout.VIDEOS, "video", columns_of(Video))

PARTS: Table[Part] = Table(
    "parts", layout.PARTS, "part of a video that was decoded; most videos have one", columns_of(Part)
)

SIGNALS: Table[Row] = Table(
    "signals",
    layout.SIGNALS,
    "frame, in order of presentation; columns from `sample` on are filled only for the kept frames",
    (
        Column("frame", SMALL_INTEGER, "frame", "number of the frame, from 0"),
        Column("time", REAL, "second", "presentation time after the first frame's", 6),
        Column("is_key", FLAG, "", "whether it is a key frame"),
        Column("is_clean", FLAG, "", "whether packets can be copied up to this frame (not included) without a loss"),
        Column("content", SMALL, "0–255", "PySceneDetect's content value: mean of the three differences below"),
        Column("delta_hue", SMALL, "0–255", "mean absolute difference of hue to the frame before (0–179 scale)"),
        Column("delta_sat", SMALL, "0–255", "mean absolute difference of saturation to the frame before"),
        Column("delta_lum", SMALL, "0–255", "mean absolute difference of HSV value to the frame before"),
        Column("difference", SMALL, "0–255", "mean absolute difference of grey levels to the frame before"),
        Column(
            "change",
            SMALL,
            "0–255",
            "the same of luma (of HDR: of grey), in the square of a thirtieth of the long side where it is greatest",
        ),
        Column("luma_mean", SMALL, "0–255", "mean grey level"),
        Column("luma_spread", SMALL, "0–255", "standard deviation of grey levels"),
        Column(
            "thumbnail", THUMBNAIL, "8×8 bytes", "grey thumbnail, by which clip files are checked against the source"
        ),
        Column("sample", SMALL_INTEGER, "", "number of the kept frame; its file in the archive is `<6 digits>.jpg`"),
        Column("sharpness", SMALL, "grey levels", "strength of the fine detail of the kept frame, at any size", 4),
        Column("colourfulness", SMALL, "0–~150", "Hasler and Süsstrunk's M3 (2003), from opponent colours", 4),
        Column("border_left", SMALL, "share", "share of the width that is a black border at the left", 4),
        Column("border_top", SMALL, "share", "share of the height that is a black border at the top", 4),
        Column("border_right", SMALL, "share", "the same at the right", 4),
        Column("border_bottom", SMALL, "share", "the same at the bottom", 4),
        Column("motion", SMALL, "% short side/second", "mean length of the flow from the last kept frame", 4),
        Column("subject_motion", SMALL, "% short side/second", "the same without the camera's part", 4),
        Column("camera_right", SMALL, "% short side/second", "how far the camera moves to the right", 4),
        Column("camera_down", SMALL, "% short side/second", "how far it moves down", 4),
        Column("camera_zoom", SMALL, "1/second", "logarithm of the change of scale; positive inwards", 6),
        Column("camera_roll", SMALL, "degree/second", "how far the camera turns clockwise", 4),
        Column("camera_certainty", SMALL, "0–1", "share of the texture that the camera's move explains", 4),
        Column(
            "easyanimate_since",
            SMALL_INTEGER,
            "frame",
            "the frame with which this one is compared for `motion_easyanimate`; missing if there is none, and in all "
            "frames if that score has no bound",
        ),
        Column("easyanimate_flow", SMALL, "pixel", "mean length of Farnebäck's flow of the full frame between them", 4),
        Column(
            "bars",
            SMALL_REALS,
            "share",
            "of the width or height at the left, top, right and bottom that is even, be it a bar or not; missing if "
            "the whole frame is even",
            6,
        ),
        Column("bars_seen", SMALL_REALS, "bits", "at which of 16 parts of its end there is a straight edge"),
        Column("bars_spread", SMALL_REALS, "grey levels", "standard deviation of the picture along its end", 4),
        Column("bars_luma", SMALL_REALS, "0–255", "its mean grey level", 4),
        Column("bars_blue", SMALL_REALS, "0–255", "its blue, less its grey level", 4),
        Column("bars_red", SMALL_REALS, "0–255", "its red, less its grey level", 4),
        Column("soft_bars", SMALL_REALS, "share", "the same as `bars` of what is soft, as a blurred picture is", 6),
        Column("soft_bars_seen", SMALL_REALS, "bits", "at which of 16 parts of its end there is a straight edge"),
    ),
)

MINIATURES: Table[Row] = Table(
    "miniatures",
    layout.MINIATURES,
    "frame, in order of presentation; only if `split.detector` is `transnetv2`",
    (
        Column("frame", SMALL_INTEGER, "frame", "number of the frame, from 0"),
        Column("miniature", MINIATURE, "27×48×3 bytes", "the frame as shown, in 48 × 27 pixels of red, green and blue"),
    ),
    "delete the file and run with `--forcerun decode_videos`, which rebuilds it",
)

SOUND_SIGNALS: Table[Row] = Table(
    "sound signals",
    layout.SOUND_SIGNALS,
    "tenth of a second in which there is sound, in the order of the file; only if sound is measured (`audio.backend`)",
    (
        Column("hop", SMALL_INTEGER, "0.1 second", "its number, on the container's clock after its start"),
        Column("picture", SMALL_INTEGER, "frame", "packets of the picture that stand before it in the file"),
        Column("filled", SMALL, "share", "share of it that has samples", 4),
        Column("loudness_power", SMALL, "1²", "mean square of the samples, weighed as BS.1770 does, of all channels"),
        Column("peak", SMALL, "1", "greatest magnitude of a sample; 1 is full scale", 6),
        Column("clipped", SMALL, "share", "share of its samples that are clipped in any channel", 6),
        Column("mid", SMALL, "1²", "mean square of what left and right have in common, half of their sum"),
        Column("side", SMALL, "1²", "mean square of what they have not, half of their difference"),
        Column("levels", BYTES, "−0.5 dB", "10 bytes: mean square of each hundredth of a second, below full scale"),
        Column("spectrum", BYTES, "−0.5 dB", "96 bytes: power in bands of 250 Hz, from 0 on, below full scale"),
        Column(
            "speech",
            BYTES,
            "1/255",
            "how surely each window of 32 ms that begins in it holds speech; missing if speech is not looked for",
        ),
    ),
    "delete the file and run with `--forcerun decode_videos`, which rebuilds it",
)

SHOTS: Table[Row] = Table(
    "shots",
    layout.SHOTS,
    "video that was decoded; only if `split.detector` is `transnetv2`. Values of frames that were not looked at are "
    "missing",
    (
        columns_of(VideoFile)[0],  # its id
        Column("single", SMALL_REALS, "0–1", "of each frame: how surely it is the one in the middle of a transition"),
        Column("many", SMALL_REALS, "0–1", "of each frame: how surely it belongs to a transition"),
    ),
)

TRANSITIONS: Table[TransitionRow] = Table(
    "transitions",
    layout.TRANSITIONS,
    "transition between two shots; its frames belong to no clip",
    columns_of(TransitionRow),
)

CLIPS: Table[Clip] = Table("clips", layout.CLIPS, "clip: a scene, or a piece of a long one", columns_of(Clip))

MOTION: Table[Row] = Table(
    "motion",
    layout.scores("motion"),
    "clip",
    (
        CLIP_ID,
        Column(
            "motion",
            REAL,
            "% short side/second",
            "mean speed of the picture's points: 10 is a tenth of the frame's short side per second, at any resolution",
            4,
            filter=110,
        ),
        Column(
            "motion_pixels",
            REAL,
            "pixel",
            "the same in pixels of the full frame, from one frame to the next at 2 per second (EasyAnimate's unit)",
            4,
            filter=115,
        ),
        Column(
            "motion_easyanimate",
            REAL,
            "pixel",
            "what EasyAnimate measures, for its thresholds: mean length of Farnebäck's flow of the full frame, 2 per "
            "second; missing if it has no bound, since it costs more than all else of decoding",
            4,
            filter=120,
        ),
        Column("motion_pairs", INTEGER, "", "pairs of neighbouring kept frames that were measured"),
        *ERROR,
    ),
)

# Values of `camera`.
STATIC, MIXED, UNKNOWN = "static", "mixed", "unknown"
PANS, TILTS = ("pan_left", "pan_right"), ("tilt_up", "tilt_down")
ZOOMS, ROLLS = ("zoom_out", "zoom_in"), ("roll_ccw", "roll_cw")
CAMERAS = (STATIC, *PANS, *TILTS, *ZOOMS, *ROLLS, MIXED, UNKNOWN)

CAMERA: Table[Row] = Table(
    "camera",
    layout.scores("camera"),
    "clip",
    (
        CLIP_ID,
        Column(
            "camera",
            TEXT,
            "",
            f"what the camera does: {', '.join(f'`{name}`' for name in CAMERAS)}",
            filter=121,
            words=CAMERAS,
        ),
        Column(
            "camera_speed",
            REAL,
            "% short side/second",
            "mean length of the flow that the camera's moves alone give: of a pan its speed",
            4,
            filter=122,
        ),
        Column(
            "camera_zoom", REAL, "1/second", "mean change of scale: 0.1 is a tenth larger after a second", 6, filter=124
        ),
        Column("camera_roll", REAL, "degree/second", "mean turn of the camera, clockwise", 4, filter=125),
        Column(
            "camera_shake",
            REAL,
            "% short side/second",
            "how far the shifts between kept frames lie from their mean (standard deviation)",
            4,
            filter=126,
        ),
        Column(
            "subject_motion",
            REAL,
            "% short side/second",
            "mean speed of the picture's points without the camera's part",
            4,
            filter=127,
        ),
        Column(
            "camera_certainty",
            REAL,
            "0–1",
            "mean share of the picture's texture that the camera's moves explain",
            4,
            filter=128,
        ),
        *ERROR,
    ),
)

TECHNICAL: Table[Row] = Table(
    "technical",
    layout.scores("technical"),
    "clip",
    (
        CLIP_ID,
        Column(
            "sharpness",
            REAL,
            "grey levels",
            "mean strength of the fine detail of the kept frames, at any size",
            4,
            filter=80,
        ),
        Column("brightness", REAL, "0–255", "mean grey level over all frames", 4, filter=60),
        Column("contrast", REAL, "0–255", "mean over all frames of the grey levels' standard deviation", 4, filter=70),
        Column("colourfulness", REAL, "0–~150", "mean over the kept frames of Hasler and Süsstrunk's M3", 4, filter=85),
        Column(
            "border_area",
            REAL,
            "share",
            "share of the frame under borders that last through the whole clip; 0 after they are cut away",
            4,
            filter=90,
        ),
        Column(
            "frozen_share",
            REAL,
            "share",
            "share of the time in which nothing changes from frame to frame",
            4,
            filter=100,
        ),
        *ERROR,
    ),
)

SOUND: Table[Row] = Table(
    "sound",
    layout.scores("sound"),
    "clip; all scores are missing if there is no sound, or if it is not measured (`audio.backend`)",
    (
        CLIP_ID,
        Column(
            "has_sound",
            FLAG,
            "",
            "whether there is sound in the clip, be it silence; missing if the video has some and it is not measured",
            filter=101,
        ),
        Column("loudness", REAL, "LUFS", "integrated loudness by EBU R 128; −70 if nothing is louder", 2, filter=102),
        Column(
            "silence_share",
            REAL,
            "share",
            "share of the time that is silent: below −60 dBFS, or without sound",
            4,
            filter=103,
        ),
        Column(
            "clipping_share",
            REAL,
            "share",
            "share of the samples that are clipped: three or more in a row at full scale",
            6,
            filter=104,
        ),
        Column("audio_peak", REAL, "dBFS", "greatest magnitude of a sample; −120 if there is nothing", 2, filter=105),
        Column("audio_bandwidth", REAL, "Hz", "frequency above which there is nothing, in steps of 250", filter=106),
        Column(
            "stereo_width",
            REAL,
            "0–1",
            "share of the power that left and right do not have in common; 0 is mono",
            4,
            filter=107,
        ),
        Column(
            "speech_share",
            REAL,
            "share",
            "share of the time in which somebody speaks; missing if it is not asked for",
            4,
            filter=108,
        ),
        *ERROR,
    ),
)

TEXT_SCORES: Table[Row] = Table(
    "text",
    layout.scores("text"),
    "clip",
    (
        CLIP_ID,
        Column(
            "text_area",
            REAL,
            "share",
            "area of the union of text boxes, as a share of the frame's; mean over the frames looked at",
            6,
            filter=150,
        ),
        Column("text_area_frames", REALS, "share", "the same for each frame looked at", 6),
        Column(
            "text_static_area",
            REAL,
            "share",
            "the same, only of text that stands still in the outer quarter of a side (subtitle, logo); "
            "missing if too few frames were looked at",
            6,
            filter=160,
        ),
        Column("text_scene_area", REAL, "share", "the same, only of all other text", 6, filter=170),
        *ERROR,
    ),
)

AESTHETIC: Table[Row] = Table(
    "aesthetic",
    layout.scores("aesthetic"),
    "clip",
    (
        CLIP_ID,
        Column("aesthetic", REAL, "by backend", "mean over the frames looked at; `classic`: 0 to 10", 4, filter=140),
        Column("aesthetic_frames", REALS, "by backend", "the score of each frame looked at", 4),
        *ERROR,
    ),
)

CONSISTENCY: Table[Row] = Table(
    "consistency",
    layout.scores("consistency"),
    "clip",
    (
        CLIP_ID,
        Column(
            "consistency",
            REAL,
            "0–1",
            "least likeness of neighbouring kept frames: 1 is the same picture",
            6,
            filter=130,
        ),
        *ERROR,
    ),
)


def classifier(name: str) -> Table[Row]:
    """The table of a classifier. Its name, and that of its score, is CLASSIFIER and the name in the config."""
    return Table(
        name,
        layout.scores(name),
        "clip; only with a classifier `<name>` in the config's `classifiers`",
        (
            CLIP_ID,
            Column(
                name, REAL, "0–1", "how surely the frames looked at show it: their greatest value, or their mean", 6
            ),
            Column(f"{name}_frames", REALS, "0–1", "the same for each frame looked at", 6),
            *ERROR,
        ),
    )


def embeddings(length: int) -> Table[Row]:
    """The table of embeddings of a model that gives `length` numbers."""
    return Table(
        "embeddings",
        layout.EMBEDDINGS,
        "kept frame that the model of `consistency` looked at; only with `keep_embeddings`",
        (
            CLIP_ID,
            Column("number", SMALL_INTEGER, "", "number of the frame among those looked at in its clip, from 0"),
            Column(
                "embedding",
                vector(length),
                "length 1",
                "the model's embedding of the frame; the model decides how many numbers it has",
            ),
        ),
    )


OF_SHARD = Column("shard", TEXT, "", "the shard that the clip's video belongs to")

JUDGEMENTS: Table[Row] = Table(
    "judgements",
    layout.JUDGEMENTS,
    "kept clip of a group of shards; only with a `judge.backend`; files as in `captions`",
    (
        CLIP_ID,
        OF_SHARD,
        Column("judge_model", TEXT, "", "what answered the questions: backend, model, version"),
        *ERROR,
    ),
)


def answer(name: str) -> Column:
    """The column of a question that the config asks."""
    return Column(name, TEXT, "", "the answer to a question of `judge.questions`: `yes`, `no` or `unsure`")


def with_answers(table: Table[Row], names: Iterable[str]) -> Table[Row]:
    """`table` with the columns of questions, `judge_<name>` each."""
    return replace(table, columns=(*table.columns, *map(answer, names)))


CAPTIONS: Table[Row] = Table(
    "captions",
    layout.CAPTIONS,
    "kept clip of a group of shards, whose captions are made in one job; the file is named after the first shard",
    (
        CLIP_ID,
        OF_SHARD,
        Column("caption", TEXT, "", "the caption as the backend gave it; with `structured` its field `dense`"),
        Column("caption_model", TEXT, "", "what made it: backend, model, version"),
        Column("caption_whole", FLAG, "", "whether it ended before the limit of tokens; missing if no model wrote it"),
        Column("caption_short", TEXT, "", "`structured`: the clip in one short sentence"),
        Column("caption_subject", TEXT, "", "`structured`: who or what is seen"),
        Column("caption_action", TEXT, "", "`structured`: what happens"),
        Column("caption_setting", TEXT, "", "`structured`: where and when"),
        Column("caption_style", TEXT, "", "`structured`: the look"),
        Column("caption_camera", TEXT, "", "`structured`: what the camera does, as measured if `camera` knows"),
        Column("caption_on_screen_text", TEXT, "", "`structured`: words that are seen"),
        Column("caption_heard", FLAG, "", "`audio`: whether the model got a sound; false if the clip has none"),
        Column("caption_speech", TEXT, "", "`audio`: who speaks, in which language, and the words; or `none`"),
        Column("caption_music", TEXT, "", "`audio`: the music, or `none`"),
        Column("caption_sounds", TEXT, "", "`audio`: other sounds, or `none`"),
        *ERROR,
    ),
)

REWRITES: Table[Row] = Table(
    "rewrites",
    layout.REWRITES,
    "clip with a caption that passed its checks; files as in `captions`",
    (
        CLIP_ID,
        OF_SHARD,
        Column("text", TEXT, "", "the rewritten caption: the text to train on"),
        Column("rewrite_model", TEXT, "", "what made it"),
        Column("rewritten", FLAG, "", "false if no rewriting passed its checks, so that the caption stands unchanged"),
        Column("refused_since", TEXT, "", "why the last rewriting failed its checks, if none passed them"),
        *ERROR,
    ),
)

ALIGNMENT: Table[Row] = Table(
    "alignment",
    layout.scores("alignment"),
    "clip with a text",
    (
        CLIP_ID,
        Column(
            "alignment",
            REAL,
            "by backend",
            "how well text and picture agree; missing with the backend `none`",
            4,
            filter=180,
        ),
        Column(
            "alignment_margin",
            REAL,
            "by backend",
            "the same minus its mean for up to 16 texts of other clips in the shard; missing if there are none",
            4,
            filter=190,
        ),
        *ERROR,
    ),
)

# Who wrote a text: values of `text_source`.
TEMPLATE, GIVEN_BY_USER, BY_MODEL, REWRITTEN, REVIEWED = "template", "given", "model", "rewritten", "reviewed"
SOURCES_OF_CAPTIONS = {"describe": TEMPLATE, "given": GIVEN_BY_USER}  # by `caption.backend`; all others are models
TEXT_SOURCE = Column(
    "text_source",
    TEXT,
    "",
    "who wrote the text: `model`, `given` (your caption), `template` (`describe`), `rewritten` (a language model, from "
    "any of these) or `reviewed` (a person edited it: then nothing of the model's text is here, nor its alignment)",
)

# Its folder is the shard: so it is in no table that must be the same however videos are divided into shards.
FILE = Column("file", TEXT, "", "the clip file below `work/clip_files/`")

# What docs/promise.md promises of each file. Missing for files that an older clipmill checked.
PROMISES = (
    Column("frames_exact", FLAG, "", "whether the file has all frames of its clip: with cut.frames a number it names"),
    Column("constant_rate", FLAG, "", "whether all frames are equally far apart"),
    Column("rising_times", FLAG, "", "whether each frame comes after the one before"),
    Column("starts_at_zero", FLAG, "", "whether the picture starts at 0, with no edit list"),
    Column("upright", FLAG, "", "whether the picture is stored as it is shown, not turned"),
    Column("square_pixels", FLAG, "", "whether pixels are square"),
    Column("even_size", FLAG, "", "whether width and height are even"),
    Column("eight_bit_420", FLAG, "", "whether the pixels are 8-bit 4:2:0"),
    Column("sdr", FLAG, "", "whether the colours are not those of HDR (HLG, PQ)"),
    Column("progressive", FLAG, "", "whether no frame is interlaced"),
)

# By which a clip file is known again: see `clip_files`. In no table of the dataset, since times differ between runs.
CUT_STATE = (
    Column("cut_time", INTEGER, "ns", "time of the file's last change; missing in files of older versions"),
    Column("cut_digest", TEXT, "", "SHA-256 of the file"),
)

CUTS: Table[Row] = Table(
    "cuts",
    layout.CUTS,
    "clip that passed every filter",
    (
        CLIP_ID,
        FILE,
        Column("cut_method", TEXT, "", "`copy` (packets as they are) or `reencode`"),
        Column("copy_failed", TEXT, "", "why copying was tried and given up; missing if it was not"),
        Column("cut_start", REAL, "second", "start of the file's first frame on the clip's clock", 6),
        Column("cut_seconds", REAL, "second", "duration of the file", 6),
        Column("cut_frames", INTEGER, "frame", "frames in the file"),
        Column("cut_width", INTEGER, "pixel", "width of the file's frames"),
        Column("cut_height", INTEGER, "pixel", "height of the file's frames"),
        Column("cut_bytes", INTEGER, "byte", "size of the file"),
        Column("cut_fps", REAL, "frame/second", "frame rate of the file: frames over duration", 6),
        Column("cut_codec", TEXT, "", "video codec of the file, FFmpeg's name"),
        Column("cut_sound", FLAG, "", "whether the file has a sound track"),
        *PROMISES,
        *CUT_STATE,
        *ERROR,
    ),
)

VIDEO_FACTS = tuple(column for column in VIDEOS.columns if column.name == "name")
CLIP_FACTS = tuple(column for column in CLIPS.columns if column.name not in {"source_key", "unfit"})
KEPT = Column("kept", FLAG, "", "whether the clip passed")
REASON = Column("reason", TEXT, "", "the first failure in the configured order; missing if kept")


def scores(table: Table[Any]) -> tuple[Column, ...]:
    """The columns of a table that say something about a clip: all but ids, shard and errors."""
    return tuple(column for column in table.columns if column not in (CLIP_ID, OF_SHARD, *ERROR))


VIDEO_SCORES = (
    Column("area", INTEGER, "pixel", "width × height as shown", filter=10),
    Column("aspect_ratio", REAL, "ratio", "width over height as shown", 6, filter=20),
    Column("bits_per_pixel", REAL, "bit", "bits of the whole file over (coded pixels × frames)", 6, filter=50),
    Column("video_seconds", REAL, "second", "length of the whole video", 6, filter=40),
    Column(
        "video_changes",
        FLAG,
        "",
        "whether something changes midway in its video; `changes` of videos says what",
        filter=42,
    ),
)

# Scores that splitting computes from the signals, and scores of frames, each of which is a step of its own. A new score
# is added here. Its columns are those of verdicts and metadata too, in this order.
SIGNAL_SCORES = (MOTION, CAMERA, TECHNICAL, SOUND)
FRAME_SCORES = (CONSISTENCY, AESTHETIC, TEXT_SCORES)
CLIP_SCORES = (*VIDEO_SCORES, *(column for table in (*SIGNAL_SCORES, *FRAME_SCORES) for column in scores(table)))

VERDICTS: Table[Row] = Table(
    "verdicts",
    layout.VERDICTS,
    "clip; scores that were not needed or could not be computed are missing",
    (*CLIP_FACTS, *VIDEO_FACTS, KEPT, REASON, *CLIP_SCORES),
)

FINGERPRINTS: Table[Row] = Table(
    "fingerprints",
    layout.FINGERPRINTS,
    "clip that is fit; only with a `duplicates.backend`. The rest is missing if there is nothing to recognize it by",
    (
        CLIP_ID,
        Column("digest", INTEGER, "", "hash of the clip's id and of all that follows"),
        Column(
            "sketch",
            BYTES,
            "1/1024",
            "numbers of 2 bytes, by which clips that may be alike are found: 64, or of each half",
        ),
        Column(
            "mean_embedding", BYTES, "1/16384", "`embeddings`: mean embedding of its frames, 2 bytes for each number"
        ),
        Column("moves", BYTES, "grey levels", "`pictures`: thumbnails, 8 per second; a byte per cell, 8 × 8 or fewer"),
        Column("edges_down", REALS, "share", "`pictures`: if bars are cut away, where their rows begin and end"),
        Column("edges_across", REALS, "share", "`pictures`: the same of their columns"),
        *ERROR,
    ),
)

PAIRS: Table[Row] = Table(
    "pairs",
    layout.PAIRS,
    "pair of clips that are alike, and one row per clip that has been compared with all others",
    (
        Column("first", INTEGER, "", "digest of the fingerprint of a clip, with its id"),
        Column("second", INTEGER, "", "that of the other one; the same in the row of a clip that has been compared"),
        Column("similarity", REAL, "0–1", "how alike they are", 4),
    ),
)

DUPLICATE_OF = Column("duplicate_of", TEXT, "", "the clip that stays in its place; missing if it is no duplicate")
DUPLICATE_GROUP = Column(
    "duplicate_group", TEXT, "", "the best clip of its group of clips that are alike; missing if it is in none"
)

DUPLICATES: Table[Row] = Table(
    "duplicates",
    layout.DUPLICATES,
    "clip that passed the filters and is alike to another one or beyond a limit; only with `duplicates` or `limits`",
    (
        CLIP_ID,
        columns_of(VideoFile)[0],
        DUPLICATE_GROUP,
        Column("group_size", INTEGER, "clip", "clips of its group; missing if it is in none"),
        Column("similarity", REAL, "0–1", "how alike it is to the best clip of its group", 4),
        DUPLICATE_OF,
        Column("reason", TEXT, "", "`duplicate`, or the limit that it is beyond; missing if it stays"),
    ),
)

FINAL_VERDICTS: Table[Row] = Table(
    "final verdicts",
    layout.FINAL_VERDICTS,
    "clip: the verdicts of the filters, then of duplicates and limits, captioning, alignment and cutting",
    (
        *VERDICTS.columns,
        DUPLICATE_OF,
        DUPLICATE_GROUP,
        *(column for table in (CAPTIONS, REWRITES, ALIGNMENT) for column in scores(table)),
        TEXT_SOURCE,
        *(column for column in scores(CUTS) if column not in (FILE, *CUT_STATE)),
    ),
)

_OF_VERDICT = {"text", "kept", "reason", "duplicate_of"}

METADATA: Table[Row] = Table(
    "metadata",
    layout.METADATA,
    "clip of the dataset",
    (
        Column("file_path", TEXT, "", "path of the clip file from the dataset folder"),
        Column("file_name", TEXT, "", "the same, by the name that `datasets` and the Hugging Face hub look for"),
        Column("text", TEXT, "", "the caption to train on; with `caption.audio` what is heard comes last"),
        *(column for column in FINAL_VERDICTS.columns if column.name not in _OF_VERDICT),
        Column("split", TEXT, "", "`train` or `validation`, the same for all clips of a video and of its duplicates"),
        Column("bucket_width", INTEGER, "pixel", "width of the clip's bucket (`export.buckets`); missing without one"),
        Column("bucket_height", INTEGER, "pixel", "height of the bucket"),
        Column("bucket_aspect_ratio", REAL, "ratio", "width over height of the bucket", 6),
        Column("bucket_frames", INTEGER, "frame", "frames of the bucket: the number of the clip's frames to train on"),
    ),
)


def with_classifiers(table: Table[Row], names: Iterable[str]) -> Table[Row]:
    """`table` with the scores of those of `names` that are classifiers'. `names`: of steps, tables or filters."""
    found = (column for name in names if is_classifier(name) for column in scores(classifier(name)))
    return replace(table, columns=(*table.columns, *found))


ERRORS: Table[Row] = Table(
    "errors",
    layout.ERRORS,
    "video or clip that could not be used",
    (
        Column("video", TEXT, "", "the video as named in the input"),
        Column("video_id", TEXT, "", "its identity; missing if it never got one"),
        Column("clip_id", TEXT, "", "the clip; missing if the error is of the whole video"),
        Column(
            "step",
            TEXT,
            "",
            "the step that found it: index, decode, text …; `motion` and `technical` are computed in the step `split`",
        ),
        Column("kind", TEXT, "", "one fixed word for the error"),
        Column("message", TEXT, "", "what is wrong, where, and what to do"),
    ),
)


@dataclass(frozen=True)
class Benchmark:
    """The last run of a job. None stands for what was not measured."""

    wall_seconds: Annotated[float, Field("second", "wall time from the start of its process", 3)]
    processor_seconds: Annotated[
        float | None, Field("second", "time of all its cores, child processes included", 3)
    ] = None
    start_seconds: Annotated[
        float | None,
        Field(
            "second", "part of the wall time before the work began: Python and its packages, and models, were loaded", 3
        ),
    ] = None
    threads: Annotated[int | None, Field("", "cores that it held")] = None
    memory_mib: Annotated[float | None, Field("MiB", "peak memory of its largest process", 3)] = None
    whole: Annotated[
        bool | None,
        Field("", "whether it did all its work in one go; an earlier job's work was in the journal if not"),
    ] = None


BENCHMARKS: Table[Row] = Table(
    "benchmarks",
    layout.BENCHMARK,
    "job, the last time that it ran to its end; `<job>` is the shard, or the name of a job that serves all shards",
    columns_of(Benchmark),
)

ALL = (
    INDEX,
    GIVEN,
    FETCHES,
    VIDEOS,
    PARTS,
    SIGNALS,
    MINIATURES,
    SOUND_SIGNALS,
    SHOTS,
    TRANSITIONS,
    CLIPS,
    *SIGNAL_SCORES,
    *FRAME_SCORES,
    classifier(f"{CLASSIFIER}<name>"),
    embeddings(768),
    VERDICTS,
    FINGERPRINTS,
    PAIRS,
    DUPLICATES,
    with_answers(JUDGEMENTS, ["judge_<name>"]),
    CAPTIONS,
    REWRITES,
    ALIGNMENT,
    CUTS,
    FINAL_VERDICTS,
    METADATA,
    ERRORS,
    BENCHMARKS,
)


# Tables that only some runs have.
OPTIONAL = (SHOTS, FINGERPRINTS, DUPLICATES, JUDGEMENTS)


def lost(outdir: Path, shards: Iterable[str], groups: Iterable[str], optional: Iterable[Table[Any]] = ()) -> list[str]:
    """Missing tables, as paths below `outdir`, of shards that have other tables: lost when their jobs failed.

    `groups`: the first shards of all groups, after which the tables of a shared job are named. `optional`: those that
    this run has and not every run: of OPTIONAL, and of classifiers.
    """
    names = {SHARD: shards, GROUP: groups}
    wanted: dict[str, str] = {}
    there: set[str] = set()
    # GIVEN is written before the jobs; later steps do without FETCHES.
    others = {table.name for table in (GIVEN, FETCHES, *OPTIONAL)}
    in_any_run = (table for table in ALL if table.name not in others)
    for table in (*in_any_run, *optional):
        folder, _, place = table.path.removesuffix(".parquet").rpartition("/")
        if place in names and "<" not in folder:
            wanted |= {f"{folder}/{name}.parquet": name for name in names[place]}
            there |= {f"{folder}/{path.name}" for path in (outdir / folder).glob("*.parquet")}
    begun = {wanted[path] for path in there & wanted.keys()}
    return sorted(path for path, name in wanted.items() if path not in there and name in begun)
