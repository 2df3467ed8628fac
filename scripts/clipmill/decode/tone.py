"""Tone mapping: pictures of HDR videos (HLG, PQ) as they would look in an SDR video of BT.709.

One curve for all pictures: decode computes it (`ToneMap.bgr`), and when a clip is cut ffmpeg reads it from a table
(`ToneMap.cube`). docs/footage.md says why it is this one.

1. The light of each colour of a pixel, by Rec. ITU-R BT.2100; for HLG that of a display of 1000 cd/m².
2. From the video's primaries to those of BT.709. What they cannot show is clipped, colour by colour.
3. White is at 203 cd/m² (Report ITU-R BT.2408): 75 % of the HLG signal, 58 % of the PQ signal. Light up to 95 % of
   white stays as it is, brighter light nears the brightest level along a hyperbolic tangent. White is shown as 254.
4. The levels with which a display of gamma 2.4 (Rec. ITU-R BT.1886) shows this light.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

import numpy as np

from clipmill.base.opencv import cv2

Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

VERSION = 1  # part of the key of each video that is tone-mapped: raise it when the curve changes
WHITE, HLG_PEAK, PQ_PEAK = 203, 1000, 10000  # cd/m²
HLG_GAMMA = 1.2  # of a display of 1000 cd/m²
KNEE = 0.95  # share of white
SHOWN_GAMMA = 2.4
BRIGHTEST = 2  # share of white: from here on all light is shown as 255
LEVELS = 65535  # the highest of 16 bits
CUBE_SIDE = 65  # entries per colour
PIXELS_AT_ONCE = 40_000  # what is computed of more pixels leaves the processor's cache: three times as slow

# Chromaticities (x, y) of red, green and blue, by FFmpeg's names of primaries: Rec. ITU-T H.273, table 2.
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
PRIMARIES = {"bt709": BT709, "smpte431": P3, "smpte432": P3}
D65 = (0.3127, 0.3290)


@cache
def tone_map(transfer: str, primaries: str) -> ToneMap | None:
    """The tone map for a video with these columns of PARTS; None if it is SDR.

    Primaries that are unknown, or none of HDR, are taken for those of BT.2020.
    """
    if transfer == "hlg":
        light = hlg_light
    elif transfer == "pq":
        light = pq_light
    else:
        return None
    return ToneMap(light, PRIMARIES.get(primaries, BT2020))


class ToneMap:
    """From the RGB signal of an HDR video to BT.709."""

    def __init__(self, light: Callable[[np.ndarray], np.ndarray], primaries: Chromaticities):
        """`light`: in cd/m², of a signal from 0 to 1."""
        self._light = light
        # From light in cd/m² to shares of white with the primaries of BT.709; blue first.
        matrix = np.linalg.inv(to_xyz(BT709)) @ to_xyz(primaries) / WHITE
        self._to_bt709 = matrix[::-1, ::-1].astype(np.float32)
        self._light_of_level = light(np.arange(LEVELS + 1) / LEVELS).astype(np.float32).reshape(1, -1)

    def bgr(self, picture: np.ndarray) -> np.ndarray:
        """An HDR picture (height × width × 3, uint16, full range, blue first) in BT.709 (uint8)."""
        mapped = np.empty(picture.shape, np.uint8)
        rows = max(1, PIXELS_AT_ONCE // picture.shape[1])
        for top in range(0, len(picture), rows):
            mapped[top : top + rows] = self._mapped(picture[top : top + rows])
        return mapped

    def _mapped(self, picture: np.ndarray) -> np.ndarray:
        light = cv2.transform(cv2.LUT(picture, self._light_of_level), self._to_bt709 * (LEVELS**2 / BRIGHTEST))
        # `threshold`, since of a single pixel `min` and `max` of OpenCV make another shape.
        _, light = cv2.threshold(light, 0, 0, cv2.THRESH_TOZERO)
        _, light = cv2.threshold(light, LEVELS**2, 0, cv2.THRESH_TRUNC)
        # Eyes tell dark levels apart better than bright ones: so do the steps of the root.
        return cv2.LUT(cv2.sqrt(light).astype(np.uint16), _level_of_root())

    @cached_property
    def cube(self) -> str:
        """The same as a table for ffmpeg's filter `lut3d`, in Adobe's format .cube; always the same text.

        Between its entries colours are 0.3 away on average (CIEDE2000).
        """
        steps = self._light(np.linspace(0, 1, CUBE_SIDE))
        blue_green_red = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
        colours = shown(blue_green_red @ self._to_bt709.T)[..., ::-1]
        return f"LUT_3D_SIZE {CUBE_SIDE}\n" + "%.5f %.5f %.5f\n" * CUBE_SIDE**3 % tuple(colours.ravel().tolist())


def hlg_light(signal: np.ndarray) -> np.ndarray:
    """Light in cd/m² of an HLG signal from 0 to 1: BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return HLG_PEAK * scene**HLG_GAMMA


def pq_light(signal: np.ndarray) -> np.ndarray:
    """Light in cd/m² of a PQ signal from 0 to 1: BT.2100, table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return PQ_PEAK * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def shown(light: np.ndarray) -> np.ndarray:
    """The SDR signal, 0 to 1, of light in shares of white."""
    rest = 1 - KNEE
    bright = KNEE + rest * np.tanh((light - KNEE) / rest)
    return np.where(light <= KNEE, np.maximum(light, 0), bright) ** (1 / SHOWN_GAMMA)


@cache
def _level_of_root() -> np.ndarray:
    """Grey levels (uint8) by the root of light; the last is that of BRIGHTEST."""
    light = (np.arange(LEVELS + 1) / LEVELS) ** 2 * BRIGHTEST
    return np.round(shown(light) * 255).astype(np.uint8).reshape(1, -1)


def to_xyz(primaries: Chromaticities) -> np.ndarray:
    """The matrix from light of these primaries to CIE XYZ, in which white has a luminance of 1."""
    colours = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, D65)]).T
    return colours[:, :3] * np.linalg.solve(colours[:, :3], colours[:, 3])
