"""HDR films through decode and cut: kept frames and clips have the colours of the SDR pictures."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from cut_sources import Source, cut_settings, run
from films import SETTINGS, Decoded, decoded
from hdr_films import CURVES, FRAMES, PIXELS, SIZE, colour_error, hdr_film, pictures

from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.cut.clip import cut_clip
from clipmill.cut.verify import SourceFrames
from clipmill.decode.parts import as_of_part
from clipmill.decode.pictures import small_bgr
from clipmill.decode.reading import frame_times

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=CURVES)
def film(request, tmp_path_factory) -> Decoded:
    """A film that shows each of the pictures, with the transfer of its name."""
    return decoded(hdr_film(tmp_path_factory.mktemp(request.param) / f"{request.param}.mp4", request.param))


def first_frame(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24")


def test_kept_frames_are_sdr(film):
    for sample, time in film.sampled:
        picture = pictures()[int(time * 24) // FRAMES]
        assert colour_error(film.picture(sample), picture) < 4, time
    white = film.picture(0)[-60:, -60:]
    assert abs(white.mean() - 254) <= 2 and abs(film.picture(0)[-20:, 20:80].mean() - 235) <= 2


@pytest.mark.parametrize("settings", [{}, {"codec": "h264"}, {"fps": 16, "size": {"short_side": 144}}])
def test_clips_are_sdr(film, tmp_path, settings):
    """Without any wish of a trainer, too."""
    for number, picture in enumerate(pictures()):
        row = Source(film.source).cut(
            tmp_path / "clip.mp4", number * FRAMES, (number + 1) * FRAMES, min_seconds=0.2, crf=8, **settings
        )
        said = [row[column] for column in ("cut_method", "copy_failed", "sdr", "eight_bit_420")]
        assert said == ["reencode", None, True, True]
        with av.open(str(tmp_path / "clip.mp4")) as container:
            frame = next(container.decode(video=0))
        tags = [int(tag) for tag in (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)]
        assert tags == [1, 1, 1, 1], "BT.709 three times, and limited range"
        shown = frame.to_ndarray(format="bgr24")
        picture = cv2.resize(picture, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert colour_error(shown, picture) < 4, number


SDR = {
    "BT.601": ("bt601", "tv", "smpte170m"),
    "BT.709": ("bt709", "tv", "bt709"),
    "full range": ("bt709", "pc", "bt709"),
    "BT.2020": ("bt2020", "tv", "bt2020nc"),
    "without tags": ("bt601", "tv", None),
}


@pytest.mark.parametrize(("matrix", "limits", "tag"), SDR.values(), ids=SDR)
def test_sdr_keeps_its_colours(tmp_path, matrix, limits, tag):
    path, picture = tmp_path / "sdr.mp4", pictures()[1]
    tags = ("-colorspace", tag, "-color_trc", "bt709", "-color_range", limits) if tag else ()
    filters = ("-vf", f"scale=out_color_matrix={matrix}:out_range={limits},format=yuv420p")
    coding = (*tags, "-c:v", "libx264", "-crf", "8")
    run("-y", "-f", *PIXELS, *filters, *coding, str(path), input=picture.tobytes() * FRAMES)
    film = decoded(path)
    assert film.row["transfer"] == "sdr" and colour_error(film.picture(), picture) < 3
    Source(path).cut(tmp_path / "clip.mp4", 0, FRAMES, min_seconds=0.2, mode="reencode")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        shown = small_bgr(next(container.decode(video=0)), *SIZE, VideoReformatter())
    assert colour_error(shown, picture) < 3


def test_each_part_of_a_video_has_its_own_colours(tmp_path):
    """A recording that goes from PQ to SDR to HLG."""
    picture = pictures()[1]
    hdr = {transfer: hdr_film(tmp_path / f"{transfer}.ts", transfer, [picture]) for transfer in CURVES}
    sdr = tmp_path / "sdr.ts"
    names = ("colorprim", "transfer", "colormatrix")
    tags = "log-level=none:crf=8:" + ":".join(f"{name}=bt709" for name in names)
    filters = ("-vf", "scale=out_color_matrix=bt709,format=yuv420p10le")
    data = picture.tobytes() * FRAMES
    run("-y", "-f", *PIXELS, *filters, "-c:v", "libx265", "-x265-params", tags, str(sdr), input=data)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in (hdr["pq"], sdr, hdr["hlg"])))
    film = decoded(joined, settings=replace(SETTINGS, samples_per_second=4))
    assert [part["transfer"] for part in film.parts] == ["pq", "sdr", "hlg"]
    for sample, time in film.sampled:
        assert colour_error(film.picture(sample), picture) < 4, time
    for part in film.parts:
        video, start = as_of_part(film.row, part), part["start_frame"]
        clip = {"start_frame": start, "end_frame": start + FRAMES, "target_frames": None}
        frames = SourceFrames.of(film.signals, frame_times(video, film.signals), start, start + FRAMES)
        cut_clip(joined, tmp_path / "clip.mp4", video, clip, frames, cut_settings(min_seconds=0.2))
        assert colour_error(first_frame(tmp_path / "clip.mp4"), picture) < 4, part["transfer"]


def test_a_cropped_clip_is_sdr_too(film, tmp_path):
    """It is compared with decode's pictures before they are cropped."""
    source = Source(film.source)
    clip, frames = source.clip(FRAMES, 2 * FRAMES)
    clip |= {"crop_x": 40, "crop_y": 20, "crop_width": 240, "crop_height": 140}
    clip |= {"whole_width": SIZE[0], "whole_height": SIZE[1]}
    cut_clip(source.path, tmp_path / "clip.mp4", source.video, clip, frames, cut_settings(min_seconds=0.2))
    assert colour_error(first_frame(tmp_path / "clip.mp4"), pictures()[1][20:160, 40:280]) < 4


def test_hdr_is_never_copied(film, tmp_path):
    with pytest.raises(ItemError, match="the colours are HDR, and decode.tone_map makes them SDR") as error:
        Source(film.source).cut(tmp_path / "clip.mp4", 0, 2 * FRAMES, mode="copy")
    assert error.value.kind == "no_copy"


def test_without_tone_mapping_hdr_stays_as_it_is(film, tmp_path):
    plain = decoded(film.source, tmp_path, replace(SETTINGS, tone_map=False))
    assert colour_error(plain.picture(0), pictures()[0]) > 5
    source = Source(film.source, tone_map=False)
    for codec, method, depth in (("copy", "copy", 10), ("h264", "reencode", 8)):
        row = source.cut(tmp_path / "clip.mp4", 0, 2 * FRAMES, codec=codec, tone_map=False, min_seconds=0.2)
        assert (row["cut_method"], row["sdr"], row["eight_bit_420"]) == (method, False, depth == 8)
        with av.open(str(tmp_path / "clip.mp4")) as container:
            assert int(next(container.decode(video=0)).color_trc) in (16, 18)
