"""The tone map: SDR that was graded into HDR comes out as it went in."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from cut_sources import FFMPEG
from hdr_films import CURVES, SIZE, colour_error, graded, hdr_film, pictures

from clipmill.decode.media import open_video
from clipmill.decode.pictures import small_bgr
from clipmill.decode.tone import WHITE, hlg_light, pq_light, shown, tone_map

WHITES = {"hlg": 0.75, "pq": 0.5807}  # signals of 203 cd/m²: Report ITU-R BT.2408, table 1


def through_ffmpeg(picture: np.ndarray, came: str, filters: str, goes: str) -> np.ndarray:
    """What ffmpeg's filters make of raw pixels: those of the format `goes`."""
    raw = f"-f rawvideo -pix_fmt {came} -s {picture.shape[1]}x{picture.shape[0]} -i -".split()
    command = [FFMPEG, "-v", "error", *raw, "-vf", filters, "-pix_fmt", goes, "-f", "rawvideo", "-"]
    data = subprocess.run(command, input=picture.tobytes(), capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint16 if "16" in goes or "48" in goes else np.uint8).reshape(picture.shape)


@pytest.fixture(scope="module", params=CURVES)
def colours(request) -> tuple[str, np.ndarray, np.ndarray]:
    """A transfer, colours of all kinds, and the same in HDR as zscale computes it, without loss."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (128, 128, 3), np.uint8)
    picture[:32] = random.choice([0, 128, 255], (32, 128, 3))
    picture[32:64] = np.arange(128)[:, None] * 2
    grade = graded(request.param, limits="full", pixels="gbrp16le")
    return request.param, picture, through_ffmpeg(picture, "bgr24", f"{grade},format=bgr48le", "bgr48le")


def test_white_and_what_is_brighter():
    for transfer, white in WHITES.items():
        tones = tone_map(transfer, "bt2020")
        greys = np.array([[0, 0.1, white, 0.9, 1]])
        levels = tones.bgr((np.dstack([greys] * 3) * 65535).astype(np.uint16))
        assert (levels == levels[..., :1]).all(), "grey stays grey"
        assert levels[0, [0, 2, 3, 4], 0].tolist() == [0, 254, 255, 255]
    assert hlg_light(np.array(0.75)) == pytest.approx(WHITE, abs=0.5)
    assert pq_light(np.array([0.5807, 1])) == pytest.approx([WHITE, 10000], rel=1e-3)
    light = np.linspace(0, 5, 5000)
    assert (np.diff(shown(light)) >= 0).all()
    assert shown(light[:900]) == pytest.approx(light[:900] ** (1 / 2.4)), "dark and middle light stays as it is"


def test_all_colours_of_sdr_come_back(colours):
    transfer, picture, hdr = colours
    mapped = tone_map(transfer, "bt2020").bgr(hdr)
    assert colour_error(mapped, picture) < 0.1
    assert np.abs(mapped.astype(int) - picture).max() <= 8, "the darkest levels of bright colours are the least sure"


def test_ffmpeg_reads_the_same_from_the_table(colours, tmp_path):
    transfer, picture, hdr = colours
    tones = tone_map(transfer, "bt2020")
    (tmp_path / "table.cube").write_text(tones.cube)
    lookup = f"format=gbrp16le,lut3d={tmp_path}/table.cube:interp=tetrahedral"
    assert colour_error(through_ffmpeg(hdr, "bgr48le", lookup, "bgr24"), picture) < 0.5


def test_colours_that_bt709_cannot_show_are_clipped():
    red = np.array([[[0, 0, 65535 // 2]]], np.uint16)  # of BT.2020: its green and blue would be negative
    assert tone_map("pq", "bt2020").bgr(red)[0, 0].tolist()[:2] == [0, 0]
    assert tone_map("sdr", "bt2020") is None


FILMS = {
    "8 bit": {"pixels": "yuv420p"},
    "4:2:2": {"pixels": "yuv422p10le"},
    "full range": {"limits": "full"},
    "no matrix": {"matrix": "undef"},
    "P3": {"primaries": "smpte432"},
    "BT.709": {"primaries": "bt709"},
}


@pytest.mark.parametrize("stored", FILMS.values(), ids=FILMS)
@pytest.mark.parametrize("transfer", CURVES)
def test_all_ways_of_storing_hdr(tmp_path, transfer, stored):
    picture = pictures()[1]
    with open_video(hdr_film(tmp_path / "film.mp4", transfer, [picture], **stored)) as container:
        frame = next(container.decode(video=0))
    tones = tone_map(transfer, stored.get("primaries", "bt2020"))
    plain, mapped = (
        small_bgr(frame, *SIZE, VideoReformatter(), scaling=Interpolation.AREA, tones=one) for one in (None, tones)
    )
    assert colour_error(mapped, picture) < 3.5
    assert colour_error(plain, picture) > 5
