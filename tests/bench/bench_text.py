"""Measures `text_area` on made pictures: text of known tight area over photographs, frames of videos and gradients.

    python tests/bench/bench_text.py --videos FOLDER --fonts FILE FILE --han FILE

Each picture has one to three lines of 14 to 80 pixels of 720 lines, at 360 to 2160 lines, printed or drawn, narrow,
wide, slanted, turned, coloured, with a rim or a plate, or half transparent. It is made as small as decoding makes it,
and a JPEG. An area is right if it is within 15 % of that of the letters' rectangles; with a rim, of any area from
without it to with it. `--fonts`: font files besides Pillow's own and OpenCV's. `--han`: one with Chinese and Japanese.
`--code FOLDER`: the scripts of another version, to be measured on the same pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=TESTS / "data" / "videos")
    parser.add_argument("--fonts", nargs="*", default=[], help="font files for Latin letters")
    parser.add_argument("--han", help="a font file with Chinese and Japanese letters")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--first", type=int, default=0, help="the number of the first picture")
    parser.add_argument("--code", type=Path, default=TESTS.parent / "scripts")
    return parser.parse_args()


ARGUMENTS = arguments()
sys.path[:0] = [str(ARGUMENTS.code), str(TESTS), str(TESTS / "unit")]

import av
import numpy as np
from lettering import lettered, line_of_letters

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.scores.text.rapidocr import RapidOcr

PHOTOGRAPHS = (
    "coffee.png",
    "astronaut.png",
    "motorcycle_left.png",
    "chelsea.png",
    "gravel.png",
    "grass.png",
    "brick.png",
)
# Places with text of their own (left, top, right, bottom), which is hidden: it would count as wrongly found.
OWN_TEXT = {
    "astronaut.png": ((130, 343, 213, 426), (278, 350, 330, 380)),
    "motorcycle_left.png": (
        (398, 186, 450, 214),
        (292, 272, 334, 312),
        (348, 326, 390, 362),
        (396, 50, 424, 94),
        (358, 103, 442, 142),
        (586, 62, 706, 106),
    ),
}
HEIGHTS, OFTEN = (360, 480, 720, 1080, 2160), (0.2, 0.25, 0.25, 0.25, 0.05)
SIZES = (14, 16, 18, 22, 28, 36, 48, 64, 80)
SMALL = 18
COLOURS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "yellow": (0, 255, 255),
    "red": (30, 30, 220),
    "blue": (220, 80, 20),
    "grey": (128, 128, 128),
}
LATIN = (
    "Ten seconds to go. Is everyone ready?",
    "The quick brown fox",
    "our fathers brought forth",
    "Not now, Jeremy!",
    "STOP THE PRESS",
    "Chapter 12: Of ships and kings",
    "www.example.org",
    "some more waves on a sea",
)
HAN = ("今日はとても良い天気です。", "我们明天早上八点出发", "请不要在这里停车", "東京国際空港へようこそ")
EVERY, TITLES = 90, range(450, 750)  # frames of a video: one of so many; those of Big Buck Bunny's own titles
SHORT_SIDE, QUALITY = 512, 90  # of kept frames, as in config.yaml
GREY = np.array([0.114, 0.587, 0.299])
CLEAR = 60  # levels of grey between the letters and the middle of what they stand on


def main() -> None:
    frames = video_frames(sorted(ARGUMENTS.videos.glob("*.mp4")))
    detector = RapidOcr(frames=1)
    detector.load()
    rows = []
    for number in range(ARGUMENTS.first, ARGUMENTS.first + ARGUMENTS.pictures):
        made = picture_with_text(number, frames)
        if made is not None:
            about, picture = made
            found = detector.finish(detector.prepare([picture]))["text_area"]
            about["ratio"] = found / np.clip(found, about["least"], about["most"])
            rows.append(about)
    for name, key in KEYS.items():
        table(
            [name, "pictures", "missed", "within 15 %", "within 30 %", "5 %, median, 95 % of the ratio"],
            parts(rows, key),
        )
        print()
    empty = [*frames, *(render.cover(photograph(name), (910, SHORT_SIDE)) for name in PHOTOGRAPHS)]
    begin = time.process_time()
    false = [detector.finish(detector.prepare([kept(frame)]))["text_area"] for frame in empty]
    took = 1000 * (time.process_time() - begin) / len(empty)
    print(
        f"{len(empty)} pictures without text: {np.count_nonzero(false)} have some, "
        f"mean {np.mean(false):.5f}; {took:.0f} ms"
    )


def clear(row: dict[str, Any]) -> bool:
    """Whether letters differ from their surround by CLEAR levels, and by twice its own spread, or have a whole rim."""
    outlined = row["rim"] and row["opacity"] == 1
    return bool(outlined or row["contrast"] >= max(CLEAR, 2 * row["spread"]))


KEYS: dict[str, Callable[[dict[str, Any]], str | int | None]] = {
    "all": lambda row: "clear" if clear(row) else "unclear",
    "clear, size": lambda row: row["size"] if clear(row) else None,
    "clear, lines of the video": lambda row: row["height"] if clear(row) else None,
    "clear, small, lines of the video": lambda row: row["height"] if clear(row) and row["size"] <= SMALL else None,
    "clear, contrast": lambda row: "rim" if row["rim"] else 40 * int(row["contrast"] // 40) if clear(row) else None,
    "clear, over": lambda row: row["over"] if clear(row) else None,
    "clear, font": lambda row: row["font"] if clear(row) else None,
    "clear, lines": lambda row: row["lines"] if clear(row) else None,
    "clear, opacity": lambda row: row["opacity"] if clear(row) else None,
    "clear, turned": lambda row: ("turned" if row["angle"] else "level") if clear(row) else None,
    "clear, plate": lambda row: ("plate" if row["plate"] else "none") if clear(row) else None,
}


def parts(rows: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> Iterable[tuple[Any, ...]]:
    """A row of a table for each value of a key."""
    for value in sorted({key(row) for row in rows} - {None}, key=lambda value: (isinstance(value, str), value)):
        ratios = np.array([row["ratio"] for row in rows if key(row) == value])
        near = [np.mean((ratios > 1 / limit) & (ratios < limit)) for limit in (1.15, 1.3)]
        spread = np.quantile(ratios[ratios > 0], [0.05, 0.5, 0.95]) if (ratios > 0).any() else ()
        shares = (f"{share:.2f}" for share in (np.mean(ratios == 0), *near))
        yield value, len(ratios), *shares, ", ".join(f"{ratio:.2f}" for ratio in spread)


def table(head: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def picture_with_text(number: int, frames: list[np.ndarray]) -> tuple[dict[str, Any], np.ndarray] | None:
    """A picture with text as decoding keeps it, and what it shows; None if the text does not fit."""
    random = np.random.default_rng(number)
    height, size = int(random.choice(HEIGHTS, p=OFTEN)), int(random.choice(SIZES))
    width, scale = 2 * round(height * 8 / 9), height / 720
    over, below = background(random, frames)
    picture = render.cover(below, (width, height))
    fonts = [None, "drawn", *ARGUMENTS.fonts, *([ARGUMENTS.han] if ARGUMENTS.han else [])]
    font = fonts[random.integers(len(fonts))]
    han = font is not None and font == ARGUMENTS.han
    shape = {
        "drawn": font == "drawn",
        "font": None if font == "drawn" else font,
        "stretch": float(random.choice([1, 1, 0.8, 1.25])),
        "slant": float(random.choice([0, 0, 0, 0.2])),
    }
    lines = [str(line) for line in random.permutation(HAN if han else LATIN)[: random.integers(1, 4)]]
    pixels, gap = round(size * scale), float(random.choice([1.15, 1.4, 1.8]))
    masks = [line_of_letters(line, pixels, **shape) for line in lines]
    block = np.array(
        [max(mask.shape[1] for mask in masks), round(gap * pixels * (len(lines) - 1)) + masks[-1].shape[0]]
    )
    angle = float(random.choice([0, 0, 0, 0, 5, -5, 15, -12]))
    place = place_for(block, angle, (width, height), random)
    if place is None:
        return None
    colour, opacity = COLOURS[random.choice(list(COLOURS))], float(random.choice([1, 1, 1, 0.5]))
    rim = max(1, round(int(random.choice([1, 2])) * max(1, size / 28) * scale)) if random.random() < 0.5 else 0
    plate = random.random() < 0.1
    style = {"angle": angle, "ink": colour, "rim": rim, "opacity": opacity, "gap": gap, "plate": plate}
    shown, area = lettered(picture, lines, pixels, place, **shape, **style)
    around = sum((mask.shape[0] + 2 * rim) * (mask.shape[1] + 2 * rim) for mask in masks) / (width * height)
    grey = picture[place[1] : place[1] + block[1], place[0] : place[0] + block[0]] @ GREY
    if plate:
        grey = 0.4 * grey + 0.6 * (255 if np.dot(colour, GREY) < 128 else 0)
    about = {
        "size": size,
        "height": height,
        "font": Path(font or "Pillow's").stem,
        "over": over,
        "lines": len(lines),
        "contrast": opacity * abs(float(np.dot(colour, GREY)) - grey.mean()),
        "spread": float(grey.std()),
        "least": area,
        "most": around,
        **style,
    }
    return about, kept(shown)


def background(random: np.random.Generator, frames: list[np.ndarray]) -> tuple[str, np.ndarray]:
    """What the text stands on: its kind and a picture."""
    kind = str(random.choice(["photograph", "video", "gradient", "plain"], p=[0.4, 0.4, 0.1, 0.1]))
    if kind == "photograph":
        return kind, photograph(str(random.choice(PHOTOGRAPHS)))
    if kind == "video":
        return kind, frames[random.integers(len(frames))]
    if kind == "gradient":
        return kind, render.gradient((1280, 720))
    return kind, render.flat((1280, 720), tuple(int(level) for level in random.integers(0, 256, 3)))


@cache
def photograph(name: str) -> np.ndarray:
    """A photograph without its own text."""
    picture = render.photograph(name)
    hidden = np.zeros(picture.shape[:2], np.uint8)
    for left, top, right, bottom in OWN_TEXT.get(name, ()):
        hidden[top:bottom, left:right] = 1
    return cv2.inpaint(picture, hidden, 3, cv2.INPAINT_TELEA)


def place_for(
    block: np.ndarray, angle: float, size: tuple[int, int], random: np.random.Generator
) -> tuple[int, int] | None:
    """A random left and top of a block of text whose corners stay in the picture when all is turned."""
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, 1)
    border = round(0.04 * size[1])
    if (block + 2 * border >= size).any():
        return None
    for _ in range(20):
        left, top = (
            int(random.integers(border, side - border - length + 1)) for side, length in zip(size, block, strict=True)
        )
        corners = np.array([(left + x * block[0], top + y * block[1], 1) for x in (0, 1) for y in (0, 1)]) @ turn.T
        if (corners >= border).all() and (corners <= np.array(size) - border).all():
            return left, top
    return None


def kept(picture: np.ndarray) -> np.ndarray:
    """A picture as decoding keeps it."""
    scale = min(1.0, SHORT_SIDE / min(picture.shape[:2]))
    if scale < 1:
        size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1], cv2.IMREAD_COLOR)


def video_frames(videos: list[Path]) -> list[np.ndarray]:
    """Every EVERYth frame of the videos, without titles."""
    found = []
    for video in videos:
        with av.open(str(video)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                titled = video.name.startswith("big-buck-bunny") and number in TITLES
                if number % EVERY == EVERY // 4 and not titled:
                    found.append(frame.to_ndarray(format="bgr24"))
    return found


if __name__ == "__main__":
    main()
