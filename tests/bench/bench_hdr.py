"""How far the colours of HDR films are from the SDR pictures that they were made of.

    python tests/bench/bench_hdr.py

The first table is of films as FFmpeg's zscale grades them, white at 203 cd/m²: pictures as stored, kept frames, and
clips. For comparison, the same pictures in an SDR film. The second table is of kept frames of films that were made of
SDR in other ways, the third one of other curves. All numbers are mean differences of pixels, CIEDE2000.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

from cut_sources import FFMPEG, Source, run
from films import SETTINGS, decoded
from hdr_films import CURVES, FPS, FRAMES, PIXELS, SIZE, colour_error, hdr_film, pictures

from bench import table
from clipmill.decode import tone

NAMES = ("chart", "astronaut", "coffee", "big-buck-bunny", "car-detection")
FILTERS = ("testsrc2", "smptehdbars")
Picture = np.ndarray


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    shown = dict(zip(NAMES, pictures(), strict=True)) | {name: drawn(name) for name in FILTERS}
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as name:
        place = Path(name)
        of_zscale(place, shown)
        of_other_makers(place, shown)
    of_other_curves(shown)


def drawn(source: str) -> Picture:
    """A picture of one of ffmpeg's test sources."""
    pattern = f"{source}=s={SIZE[0]}x{SIZE[1]}"
    command = f"{FFMPEG} -v error -f lavfi -i {pattern} -frames:v 1 -pix_fmt bgr24 -f rawvideo -".split()
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(*SIZE[::-1], 3)


def kept(path: Path, tone_map: bool = True) -> Iterator[Picture]:
    """The first kept frame of each picture of a film."""
    settings = replace(SETTINGS, tone_map=tone_map, samples_per_second=FPS / FRAMES)
    film = decoded(path, path.with_suffix(f".{tone_map}"), settings)
    for sample, _ in film.sampled:
        yield film.picture(sample)


def clips(path: Path, count: int) -> Iterator[Picture]:
    """The first frame of the clip of each picture of a film."""
    source, target = Source(path), path.with_name("clip.mp4")
    for number in range(count):
        source.cut(target, number * FRAMES, (number + 1) * FRAMES, min_seconds=0.2, mode="reencode")
        with av.open(str(target)) as container:
            yield next(container.decode(video=0)).to_ndarray(format="bgr24")


def of_zscale(place: Path, shown: dict[str, Picture]) -> None:
    columns: list[list[float]] = []
    wanted = list(shown.values())

    def add(found: Iterator[Picture]) -> None:
        columns.append([colour_error(one, other) for one, other in zip(found, wanted, strict=True)])

    for transfer in CURVES:
        path = hdr_film(place / f"{transfer}.mp4", transfer, wanted)
        add(kept(path, tone_map=False))
        add(kept(path))
        add(clips(path, len(wanted)))
    data = b"".join(picture.tobytes() * FRAMES for picture in wanted)
    as_sdr = ("-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709", "-pix_fmt", "yuv420p", "-crf", "8")
    run("-y", "-f", *PIXELS, *as_sdr, "-c:v", "libx264", str(place / "sdr.mp4"), input=data)
    add(kept(place / "sdr.mp4"))
    head = [f"{curve}: {what}" for curve in ("HLG", "PQ") for what in ("stored", "kept frame", "clip")]
    table(["picture", *head, "SDR film: kept frame"], list(zip(shown, *columns, strict=True)))


def of_other_makers(place: Path, shown: dict[str, Picture]) -> None:
    def row(name: str, transfer: str, make: Callable[..., Path]) -> tuple[str, str, float, float]:
        path = make(place / "film.mp4", transfer, list(shown.values()))
        found = [colour_error(*pair) for pair in zip(kept(path), shown.values(), strict=True)]
        return name, transfer.upper(), float(np.mean(found)), max(found)

    by_zscale = {
        "zscale, white at 203 cd/m²": {},
        "the same, SDR read as sRGB": {"shown_by": "iec61966-2-1"},
        "the same, 8 bit": {"pixels": "yuv420p"},
        "the same, primaries of P3": {"primaries": "smpte432"},
        "the same, full range": {"limits": "full"},
        "white at 100 cd/m²": {"white": 100},
    }
    rows = [row(name, transfer, partial(hdr_film, **given)) for name, given in by_zscale.items() for transfer in CURVES]
    rows.append(row("BT.2100 to the letter: HLG's gamma on luminance", "hlg", partial(numpy_film, light=display_hlg)))
    rows.append(row("light of the scene, without a display's gamma", "hlg", partial(numpy_film, light=scene_hlg)))
    rows.append(row("SDR shown with a gamma of 2.2", "pq", partial(numpy_film, light=pq_of_2_2)))
    table(["HDR made by", "", "mean of the pictures", "worst picture"], rows)


def numpy_film(path: Path, transfer: str, shown: list[Picture], light: Callable[[Picture], np.ndarray]) -> Path:
    """A film of the signals, 0 to 1 and red first, that `light` makes of pictures."""
    data = b"".join(np.round(light(one[..., ::-1] / 255) * 65535).astype("<u2").tobytes() * FRAMES for one in shown)
    raw = f"rawvideo -pix_fmt rgb48le -s {SIZE[0]}x{SIZE[1]} -r {FPS} -i -".split()
    tags = f"log-level=none:crf=8:colorprim=bt2020:transfer={CURVES[transfer]}:colormatrix=bt2020nc"
    filters = ("-vf", "scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le")
    run("-y", "-f", *raw, *filters, "-c:v", "libx265", "-x265-params", tags, str(path), input=data)
    return path


TO_BT2020 = np.linalg.inv(tone.to_xyz(tone.BT2020)) @ tone.to_xyz(tone.BT709)
LUMINANCE = tone.to_xyz(tone.BT2020)[1]


def display_hlg(signal: np.ndarray) -> np.ndarray:
    light = signal**2.4 @ TO_BT2020.T * tone.WHITE / tone.HLG_PEAK
    return hlg_signal(light * np.maximum(light @ LUMINANCE, 1e-9)[..., None] ** (1 / 1.2 - 1))


def scene_hlg(signal: np.ndarray) -> np.ndarray:
    scene = np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))  # BT.709
    return hlg_signal(scene @ TO_BT2020.T * 0.2650)  # the light of 75 %


def pq_of_2_2(signal: np.ndarray) -> np.ndarray:
    return pq_signal(signal**2.2 @ TO_BT2020.T * tone.WHITE)


def hlg_signal(scene: np.ndarray) -> np.ndarray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.clip(scene, 0, 1)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def pq_signal(light: np.ndarray) -> np.ndarray:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.clip(light / tone.PQ_PEAK, 0, 1) ** m1
    return ((c1 + c2 * root) / (1 + c3 * root)) ** m2


def of_other_curves(shown: dict[str, Picture]) -> None:
    """What curves would change in SDR that was graded into HDR, without any coding."""
    rows = []
    for name, curve in {"tone.py": tone.shown, "BT.2390": bt2390, "Hable": hable}.items():
        found = [
            colour_error(np.round(255 * curve((one / 255) ** 2.4)).astype(np.uint8), one) for one in shown.values()
        ]
        white = round(255 * float(curve(np.array(1.0))))
        rows.append((name, white, float(np.mean(found)), max(found)))
    table(["curve", "white becomes", "mean of the pictures", "worst picture"], rows)


def bt2390(light: np.ndarray) -> np.ndarray:
    """The curve of Report ITU-R BT.2390, from a display of 1000 cd/m² to one of 203."""
    peak = pq_signal(np.array(tone.HLG_PEAK))
    signal, most = pq_signal(light * tone.WHITE) / peak, pq_signal(np.array(tone.WHITE)) / peak
    knee = 1.5 * most - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return (tone.pq_light(np.where(signal < knee, signal, spline) * peak) / tone.WHITE) ** (1 / 2.4)


def hable(light: np.ndarray) -> np.ndarray:
    """The curve of ffmpeg's `tonemap=hable`, for light of up to 1000 cd/m²."""

    def curve(x: np.ndarray) -> np.ndarray:
        return (x * (0.15 * x + 0.05) + 0.004) / (x * (0.15 * x + 0.5) + 0.06) - 0.02 / 0.3

    return np.clip(curve(light) / curve(np.array(tone.HLG_PEAK / tone.WHITE)), 0, 1) ** (1 / 2.4)


if __name__ == "__main__":
    main()
