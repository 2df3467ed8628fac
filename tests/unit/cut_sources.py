"""Videos to cut from, whose frames carry their number, and what decode would say of them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from clipmill.base.opencv import cv2
from clipmill.cut.clip import CutSettings, cut_clip
from clipmill.cut.verify import SourceFrames
from clipmill.decode.looks import PRIMARIES, TRANSFERS
from clipmill.decode.media import best_video_stream, open_video
from clipmill.decode.pictures import analysis_size, orientation, rotation_of, small_bgr
from clipmill.decode.signals import thumbnail
from clipmill.decode.tone import tone_map
from default_config import CUT_SETTINGS

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FPS = 24
SHOTS = (40, 45, 35)  # frames of each shot; the middle one is frames 40 to 84
BITS = 8
COLOURS = ((200, 60, 40), (30, 180, 90), (60, 70, 210))


def draw(shot: int, number: int, width: int, height: int) -> np.ndarray:
    """One frame: waves and a disc that move, in the shot's colour, above a bar of black and white bits."""
    y, x = np.mgrid[0:height, 0:width]
    phase = number * 0.15
    wave_ = 60 * np.sin(x / width * 2 * (3 + shot) + phase) + 40 * np.cos(y / height * 2 * (2 + shot) - 0.7 * phase)
    colour = np.array(COLOURS[shot])
    picture = colour * 0.7 + wave_[..., None]
    middle = (0.1 + 0.8 * (number * 0.02 % 1)) * width
    picture[(x - middle) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2] = 255 - colour
    bar = (number >> (np.arange(width) * BITS // width)) & 1
    picture[-height // 5 :] = (16 + 223 * bar)[None, :, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def read_number(picture: np.ndarray) -> int:
    """The number drawn into a frame."""
    height, width = picture.shape[:2]
    row = picture[-height // 10, :].mean(axis=-1)
    return sum(int(row[int((bit + 0.5) * width / BITS)] > 128) << bit for bit in range(BITS))


def make(path: Path, arguments: tuple[str, ...], size=(160, 96), pixels: str = "yuv420p", fps: Any = FPS) -> Path:
    """Encode the three shots with ffmpeg's `arguments`."""
    shots = [shot for shot, count in enumerate(SHOTS) for _ in range(count)]
    data = b"".join(draw(shot, number, *size).tobytes() for number, shot in enumerate(shots))
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-")
    run("-y", *raw, "-pix_fmt", pixels, *arguments, str(path), input=data)
    return path


def run(*arguments: str, **options) -> None:
    result = subprocess.run([FFMPEG, "-v", "error", *arguments], capture_output=True, **options)
    assert result.returncode == 0, result.stderr.decode()


def h264(gop: int, more: str = "", *arguments: str) -> tuple[str, ...]:
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0{more}"
    return ("-c:v", "libx264", "-preset", "veryfast", "-x264-params", params, *arguments)


def hevc(more: str) -> tuple[str, ...]:
    return ("-c:v", "libx265", "-x265-params", f"log-level=none:keyint=20:min-keyint=20:scenecut=0{more}")


VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k", "-g", "20")
AV1 = ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "40", "-g", "20", "-keyint_min", "20", "-usage", "realtime")
SVT_AV1 = ("-c:v", "libsvtav1", "-preset", "10", "-crf", "40", "-g", "20")
UNEVEN = ("-vf", "settb=1/90000,setpts='(N+mod(N,3)*0.4+if(gt(N,60),10,0))/24/TB'", "-fps_mode", "passthrough")
KINDS: dict[str, dict] = {
    "closed.mp4": {"arguments": h264(20)},
    "open.mp4": {"arguments": h264(20, ":open-gop=1:bframes=3")},
    "without_b.mp4": {"arguments": h264(20, ":bframes=0")},
    "long_gop.mp4": {"arguments": h264(500)},
    "all_key.mp4": {"arguments": h264(1)},
    "uneven.mp4": {"arguments": (*UNEVEN, "-enc_time_base", "1/90000", *h264(20))},
    "uneven.mkv": {"arguments": (*UNEVEN, "-enc_time_base", "1/90000", *h264(20))},
    "ten_bit.mp4": {"arguments": h264(20), "pixels": "yuv420p10le"},
    "full_range.mp4": {"arguments": h264(20), "pixels": "yuvj420p"},
    "odd.mp4": {"arguments": h264(20), "size": (321, 193), "pixels": "yuv444p"},
    "wide_pixels.mp4": {"arguments": ("-vf", "setsar=4/3", *h264(20))},
    "tall_pixels.mp4": {"arguments": ("-vf", "setsar=3/4", *h264(20))},
    "late.mp4": {"arguments": ("-output_ts_offset", "7.3", *h264(20))},
    "fragmented.mp4": {"arguments": ("-movflags", "+frag_keyframe+empty_moov", *h264(20))},
    "h264.mkv": {"arguments": h264(20)},
    "h264.flv": {"arguments": h264(20)},
    "h264.ts": {"arguments": h264(20)},
    "late.ts": {"arguments": ("-output_ts_offset", "700.3", *h264(20))},
    "long_gop.ts": {"arguments": h264(500)},
    "interlaced.ts": {"arguments": ("-vf", "setfield=tff", "-flags", "+ildct+ilme", *h264(20))},
    "h264.avi": {"arguments": h264(20, ":bframes=3")},
    "without_b.avi": {"arguments": h264(20, ":bframes=0")},
    "mpeg4.avi": {"arguments": ("-c:v", "mpeg4", "-bf", "2", "-g", "20", "-q:v", "3")},
    "plain_mpeg4.avi": {
        "arguments": ("-c:v", "mpeg4", "-bf", "0", "-g", "20", "-q:v", "3", "-sc_threshold", "1000000000")
    },
    "mjpeg.avi": {"arguments": ("-c:v", "mjpeg", "-q:v", "3"), "pixels": "yuvj420p"},
    "mpeg2.mpg": {"arguments": ("-c:v", "mpeg2video", "-bf", "2", "-g", "20", "-q:v", "3")},
    "raw.h264": {"arguments": h264(20)},
    "hevc.mp4": {"arguments": hevc(":open-gop=0")},
    "open_hevc.mkv": {"arguments": hevc(":open-gop=1")},
    "vp9.webm": {"arguments": VP9},
    "av1.mkv": {"arguments": AV1},
    "svt_av1.mp4": {"arguments": SVT_AV1},
}
COPIED = {"closed.mp4", "without_b.mp4", "all_key.mp4", "uneven.mp4", "uneven.mkv", "ten_bit.mp4", "full_range.mp4"}
COPIED |= {"odd.mp4", "late.mp4", "fragmented.mp4", "h264.mkv", "h264.flv", "h264.ts", "late.ts", "interlaced.ts"}
COPIED |= {"plain_mpeg4.avi", "hevc.mp4", "vp9.webm", "av1.mkv", "svt_av1.mp4"}


def cut_settings(**changes: Any) -> CutSettings:
    """The default settings, but of clips from one second on, after `changes`."""
    return CutSettings(**{**CUT_SETTINGS, "min_seconds": 1, **changes})


class Source:
    """A source video with what decode would say of it."""

    def __init__(self, path: Path, tone_map: bool = True):
        self.path = path
        self.video, self.frames = describe(path, tone_map)

    def clip(self, start: int, end: int) -> tuple[dict, SourceFrames]:
        clip = {"start": self.frames.time[start], "end": self.frames.time[end], "start_frame": start, "end_frame": end}
        clip |= {"target_frames": None}
        return clip, self.frames.part(start, end)

    def cut(self, target: Path, start: int, end: int, target_frames: int | None = None, **settings) -> dict:
        clip, frames = self.clip(start, end)
        clip |= {"target_frames": target_frames}
        return cut_clip(self.path, target, self.video, clip, frames, cut_settings(**settings))


def describe(path: Path, tones: bool = True) -> tuple[dict, SourceFrames]:
    """A VIDEOS row and the frames of a whole video: slow and plain, apart from decode's way of doing it."""
    with open_video(path) as container:
        stream = best_video_stream(container)
        packets = [packet.pts for packet in container.demux(stream) if packet.size]
    with open_video(path) as container:
        stream = best_video_stream(container)
        decoded = list(container.decode(stream))
        unit = float(stream.time_base)
        aspect = float(stream.sample_aspect_ratio or 1)
        rate = float(stream.average_rate or stream.guessed_rate)
        start = (container.start_time or 0) / av.time_base
        codec, pixels = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
    first = decoded[0]
    width, height = (round(first.width * aspect), first.height) if aspect >= 1 else (first.width, 0)
    height = height or round(first.height / aspect)
    if orientation(first)[0]:
        width, height = height, width
    pts, repaired = [], 0
    for frame in decoded:
        good = frame.pts is not None and (not pts or frame.pts > pts[-1])
        repaired += not good
        pts.append(frame.pts if good else (pts[-1] + round(1 / rate / unit) if pts else 0))
    last = (decoded[-1].duration or round(1 / rate / unit)) * unit
    times = (np.array(pts) - pts[0]) * unit
    reformatter = VideoReformatter()
    colours = {"transfer": TRANSFERS.get(int(first.color_trc), "sdr")}
    colours["primaries"] = PRIMARIES.get(int(first.color_primaries), "unknown")
    sdr = tone_map(**colours) if tones else None
    pictures = [small_bgr(frame, *analysis_size(width, height), reformatter, tones=sdr) for frame in decoded]
    frames = SourceFrames(
        time=np.append(times, times[-1] + last),
        is_key=np.array([bool(frame.key_frame) for frame in decoded]),
        is_clean=np.array([True, *(_clean(packets, time_) for time_ in pts[1:]), True]),
        thumbnail=np.array([thumbnail(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)) for picture in pictures]),
    )
    video = {
        "codec": codec,
        "pixel_format": pixels,
        "rotation": rotation_of(orientation(first))[0],
        "pixel_aspect": aspect,
        "field_order": "progressive",
        "coded_width": first.width,
        "coded_height": first.height,
        "width": width,
        "height": height,
        "fps": len(pts) / frames.time[-1],
        "offset": pts[0] * unit - start,
        "repaired_times": repaired,
        "mirrored": rotation_of(orientation(first))[1],
        "cropped": False,
        "changes": None,
        **colours,
    }
    return video, frames


def _clean(packets: list[int | None], boundary: int) -> bool:
    """Whether all packets of frames before `boundary` come before all others."""
    if None in packets or max(packets) < boundary:
        return False
    split = next(i for i, pts in enumerate(packets) if pts >= boundary)
    return max(packets[:split], default=-1) < boundary and min(packets[split:]) >= boundary


def sources_in(folder: Path):
    """A function that makes and describes each kind of KINDS once."""
    return cache(lambda kind: Source(make(folder / kind, **KINDS[kind])))


def read(path: Path, turn: int = 0) -> tuple[list[int], np.ndarray, av.VideoFrame]:
    """Numbers and times of a clip's frames, and its first frame; `turn` quarters are undone before reading."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    pictures = [np.rot90(frame.to_ndarray(format="rgb24"), turn) for frame in decoded]
    return [read_number(picture) for picture in pictures], np.array([f.time for f in decoded]), decoded[0]


def check(row: dict, path: Path, source: Source, start: int, end: int) -> None:
    """The file holds exactly the frames `start` to `end` at their times, and the row describes it."""
    numbers, times, first = read(path)
    assert numbers == list(range(start, end))
    if source.video["repaired_times"]:
        assert times == pytest.approx(np.arange(end - start) / source.video["fps"], abs=1 / FPS)
    else:
        assert times == pytest.approx(source.frames.time[start:end] - source.frames.time[start], abs=0.003)
        assert row["cut_seconds"] == pytest.approx(source.frames.part(start, end).seconds, abs=1 / FPS + 0.001)
    assert row["cut_frames"] == end - start
    assert (row["cut_width"], row["cut_height"]) == (first.width, first.height)
    assert row["cut_bytes"] == path.stat().st_size
