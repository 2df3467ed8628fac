"""Small pictures: colours, orientation and sizes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from cut_sources import FFMPEG, h264, make, run

from clipmill.base.opencv import cv2
from clipmill.decode.media import open_video
from clipmill.decode.pictures import FULL_RANGE, UPRIGHT, analysis_size, first_plane, orientation, small_bgr, small_luma
from clipmill.decode.signals import FrameSignals, thumbnail


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize(("scaling", "way"), [(None, "neighbor"), (Interpolation.AREA, "area")])
def test_small_pictures_equal_those_of_ffmpegs_scale(tmp_path, matrix, span, scaling, way):
    convert = f"scale=out_color_matrix={matrix.replace('nc', '')}:out_range={span}"
    path = make(tmp_path / "v.mp4", ("-vf", convert, "-colorspace", matrix, "-color_range", span, *h264(20)))
    with open_video(path) as container:
        frame = next(container.decode(video=0))
    for size, allowed in (((160, 96), 0), ((80, 48), 1.5)):
        scale = f"scale={size[0]}:{size[1]}:flags={way},format=bgr24"
        command = [FFMPEG, "-v", "error", "-i", str(path), "-frames:v", "1", "-vf", scale, "-f", "rawvideo", "-"]
        theirs = np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.uint8)
        ours = small_bgr(frame, *size, VideoReformatter(), scaling=scaling)
        assert np.abs(ours.reshape(-1).astype(int) - theirs).mean() <= allowed


def test_unusual_matrices_are_read_as_the_nearest(tmp_path):
    path = make(tmp_path / "v.mp4", h264(20, "", "-vf", "format=yuv420p,setparams=colorspace=ycgco"))
    with open_video(path) as container:
        frame = next(container.decode(video=0))
    assert int(frame.colorspace) == 8
    assert small_bgr(frame, 160, 96, VideoReformatter()).std() > 10


def test_analysis_size_keeps_the_shape_and_never_enlarges():
    assert analysis_size(1920, 1080) == (256, 144)
    assert analysis_size(1080, 1920) == (144, 256)
    assert analysis_size(854, 480) == (256, 144)
    assert analysis_size(200, 100) == (200, 100)
    assert analysis_size(10000, 2) == (256, 1)


@pytest.mark.slow
@pytest.mark.parametrize("turn", ["0", "90", "180", "270"])
@pytest.mark.parametrize("mirror", [(), ("-display_hflip",), ("-display_vflip",)])
def test_pictures_are_as_ffmpeg_shows_them(tmp_path, turn, mirror):
    stored = make(tmp_path / "stored.mp4", h264(20))
    path = tmp_path / "turned.mp4"
    run("-y", "-display_rotation", turn, *mirror, "-i", str(stored), "-c", "copy", str(path))
    with open_video(path) as container:
        frame = next(container.decode(video=0))
    width, height = (96, 160) if orientation(frame)[0] else (160, 96)
    command = [FFMPEG, "-v", "error", "-i", str(path), "-frames:v", "1", "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
    theirs = np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.uint8).reshape(height, width, 3)
    assert np.array_equal(small_bgr(frame, width, height, VideoReformatter()), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("span", ["tv", "pc"])
def test_small_luma_is_that_of_the_video(tmp_path, span):
    """Limited range is stretched without rounding, and turned pictures come upright."""
    path = make(tmp_path / "v.mp4", ("-vf", f"scale=out_range={span}", "-color_range", span, *h264(20)))
    with open_video(path) as container:
        frame = next(container.decode(video=0))
    stored = first_plane(frame).astype(float)
    levels = stored if int(frame.color_range) == FULL_RANGE else (stored - 16) * 255 / 219
    size, scaler = (frame.width, frame.height), VideoReformatter()
    luma = small_luma(frame, *size, scaler, UPRIGHT) * (255 / 65535)
    assert np.abs(luma - np.clip(levels, 0, 255)).max() < 0.01
    turned = small_luma(frame, *size[::-1], scaler, (True, False, True)) * (255 / 65535)
    assert np.array_equal(turned, luma.T[::-1])


@pytest.mark.slow
def test_content_values_are_pyscenedetects(tmp_path):
    """Its threshold means the same here only if pictures are made small as it makes them."""
    path = make(tmp_path / "v.mp4", h264(20), (640, 360))
    with open_video(path) as container:
        frames = list(container.decode(video=0))
    size, scaler = analysis_size(640, 360), VideoReformatter()
    ours = [small_bgr(frame, *size, scaler) for frame in frames]
    theirs = [cv2.resize(frame.to_ndarray(format="bgr24"), size, interpolation=cv2.INTER_LINEAR) for frame in frames]
    measured = [FrameSignals(), FrameSignals()]
    for pair in zip(ours, theirs, strict=True):
        values = [
            signals.measure(small, cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))["content"]
            for signals, small in zip(measured, pair, strict=True)
        ]
        assert abs(values[0] - values[1]) < 0.7


def test_a_thumbnail_is_the_mean_of_each_eighth():
    grey = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((18, 32), np.uint8))
    assert thumbnail(grey).tolist() == list(range(64))
    assert thumbnail(grey).dtype == np.uint8
