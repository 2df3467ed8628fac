"""The embedded caption backend: says in plain English what was measured, and nothing else. It needs no model.

Objects are never named. Each fact has a threshold below which it is left out: see the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS
from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.captions import Answers, Clip, ClipFacts
from clipmill.captions.camera import HARDLY_MOVES, camera_phrase
from clipmill.captions.reading_ahead import reading_ahead
from clipmill.decode.reading import FrameChoice
from clipmill.store.tables import STATIC
from clipmill.texts.levels import Steps, level
from clipmill.texts.template import CAPTIONER

MAX_WORDS, MIN_WORDS = 80, 25
FRAMES = FrameChoice(count=8)
WORK_SIDE = 240  # pixels: short side at which neighbouring frames are matched

# Each word holds for values below its number; callers of `level` give the word for all values above.
BRIGHTNESS: Steps = ((30, "very dark"), (60, "dark"), (90, "dim"), (150, "medium-bright"), (200, "bright"))
CONTRAST: Steps = ((25, "low contrast"), (65, "moderate contrast"))
COLOURFULNESS: Steps = (
    (3, "the picture is all but colourless"),
    (18, "colours are faint"),
    (33, "colours are muted"),
    (59, "colours are moderately strong"),
)
DETAIL: Steps = ((6, "very little fine detail"), (14, "little fine detail"), (28, "a fair amount of detail"))
MOTION: Steps = ((0.2, "hardly any"), (1, "a little"), (4, "moderate"), (12, "strong"))
LEAST_COLOUR = 0.08  # the least share of the picture that is mentioned
SAME = 8  # grey levels: two pictures that nowhere differ by more, when smoothed, are the same one compressed twice

# Names people use for these colours (sRGB); a pixel gets the name of the colour that is nearest in CIELAB.
PALETTE = {
    "black": 0x101010, "dark grey": 0x484848, "grey": 0x808080, "light grey": 0xB8B8B8, "white": 0xF8F8F8,
    "dark red": 0x7A1515, "red": 0xE02020, "pink": 0xF0A0B0, "pale pink": 0xF8DCDC, "dark brown": 0x40281A,
    "brown": 0x7A4E2D, "tan": 0xBE9A70, "beige": 0xE6D8BC, "orange": 0xF08020, "yellow": 0xF0DC30,
    "olive": 0x74701E, "yellow-green": 0xB0B840, "dark green": 0x224A22, "green": 0x38A038, "light green": 0xA0D880,
    "teal": 0x208080, "cyan": 0x40D8E0, "pale blue": 0xC8DAF0, "light blue": 0x78B8E8, "blue": 0x2850D8,
    "dark blue": 0x0C1460, "slate grey": 0x5A6878, "purple": 0x80349A, "lavender": 0xB4A8DC, "magenta": 0xE030B0,
}  # fmt: skip


class Describe:
    """Writes 25 to 80 words on each clip from its measured facts; the same facts give the same text.

    `threads` of them are described at once.
    """

    threads = 1

    model = f"{CAPTIONER}2 (measured, no model)"
    about = {"backend": "describe", "model": model}
    reads = tuple(fact.name for fact in fields(ClipFacts) if fact.name != "frames")

    def caption(self, clips: Iterable[Clip]) -> Answers:
        """See `CaptionBackend`. In the order of the clips."""
        clips = list(clips)
        with reading_ahead(clips, _text_of, self.threads) as readers:
            for clip in clips:
                while (texts := readers.take(timeout=SYNC_SECONDS)) is None:
                    yield None
                if isinstance(texts, Exception):
                    assert isinstance(texts, ItemError)  # `reading_ahead` gives no other
                    yield clip.clip_id, texts
                else:
                    yield clip.clip_id, {"caption": texts[0], "caption_model": self.model}


def _text_of(clip: Clip) -> list[str]:
    return [describe(replace(clip.facts, frames=clip.frames(FRAMES)))]


def describe(clip: ClipFacts) -> str:
    """The text on one clip: sentences in a fixed order. Beyond MAX_WORDS the least important ones are left out."""
    greys = [_grey(frame) for frame in clip.frames]
    sentences: dict[Callable[..., str], str] = {opening: opening(clip, greys), light: light(clip, greys)}
    sentences |= {write: write(clip) for write in (colours, manner, text)}
    sentences |= {pauses: pauses(clip, greys), changes: changes(clip)}
    if _words(sentences.values()) < MIN_WORDS:
        sentences[size] = size(clip)
    for write in (changes, manner, pauses, light):
        if _words(sentences.values()) > MAX_WORDS:
            del sentences[write]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences.values() if sentence)


def opening(clip: ClipFacts, greys: Sequence[np.ndarray]) -> str:
    """Length in seconds, orientation, what the camera does, how much moves."""
    start = _article(f"{clip.seconds:.1f}-second {orientation(clip)}clip")
    movement = "" if clip.motion is None else level(clip.motion, MOTION, "very strong") + " movement"
    if clip.camera == STATIC:
        where = moving_place(greys) if clip.motion is not None and clip.motion >= MOTION[0][0] else ""
        return f"{start} from a still camera" + (f", with {movement}{where}" if movement else "")
    moves = camera_phrase(clip)
    if moves in ("", HARDLY_MOVES):
        return f"{start} with {movement}" if movement else start
    start += f" in which the camera {moves}"
    return f"{start}, with {movement} overall" if movement else start


def orientation(clip: ClipFacts) -> str:
    """`horizontal `, `vertical ` and the like, or nothing if the size is missing."""
    if not clip.width or not clip.height:
        return ""
    steps: Steps = ((0.95, "vertical "), (1.05, "square "), (2.2, "horizontal "))
    return level(clip.width / clip.height, steps, "very wide ")


def light(clip: ClipFacts, greys: Sequence[np.ndarray]) -> str:
    """Brightness and contrast, and whether the light changes through the clip."""
    contrast = "" if clip.contrast is None else level(clip.contrast, CONTRAST, "strong contrast")
    trend = light_trend(greys)
    if clip.brightness is not None:
        brightness = level(clip.brightness, BRIGHTNESS, "very bright")
        words = f"the picture is {brightness}" + (f" with {contrast}" if contrast else "")
    elif contrast:
        words = f"the picture has {contrast}"
    else:
        return f"the picture {trend}" if trend else ""
    return f"{words}; it {trend}" if trend else words


def light_trend(greys: Sequence[np.ndarray]) -> str:
    """How the mean grey level changes through the clip; mentioned if it changes steadily by at least 20 levels."""
    if len(greys) < 4:
        return ""
    means = np.array([grey.mean() for grey in greys])
    middle = float(np.median(means))
    if means[0] < 0.4 * middle and means[0] < 45:
        return "starts dark and then brightens"
    if means[-1] < 0.4 * middle and means[-1] < 45:
        return "goes dark at the end"
    place = np.arange(len(means))
    change = np.polyfit(place, means, 1)[0] * (len(means) - 1)
    if abs(change) < 20 or abs(np.corrcoef(place, means)[0, 1]) < 0.8:
        return ""
    return "grows brighter towards the end" if change > 0 else "grows darker towards the end"


def colours(clip: ClipFacts) -> str:
    """The colours with the largest shares of the picture, and the places of those that lie in one place."""
    found = dominant_colours(clip.frames)
    if not found:
        return ""
    (first, share, place), rest = found[0], found[1:]
    others = _list([f"{name} ({_percent(part)}{_mostly(where)})" for name, part, where in rest])
    if share >= 0.85:
        start = f"nearly all of the picture is {first} (about {_percent(share)})"
        return start + (f", and much of the rest {others}" if rest else "")
    if share >= 0.4:
        start = f"{first} dominates, covering about {_percent(share)} of the picture{_mostly(place)}"
        return start + (f"; next {'come' if len(rest) > 1 else 'comes'} {others}" if rest else "")
    others = f" followed by {others}" if rest else ""
    return f"the most frequent colour is {first} (about {_percent(share)}{_mostly(place)}),{others}".rstrip(",")


def dominant_colours(frames: Sequence[np.ndarray]) -> list[tuple[str, float, str]]:
    """Up to three colours: name, share of the picture (0 to 1), place (empty if it is all over)."""
    if not frames:
        return []
    names = list(PALETTE)
    swatches = np.array([[value & 255, value >> 8 & 255, value >> 16] for value in PALETTE.values()], np.uint8)
    palette = _lab(swatches[None])[0]
    index = nearest_colours(np.stack([_lab(_shrink(frame, 48)) for frame in frames]), palette)
    shares = np.bincount(index.ravel(), minlength=len(names)) / index.size
    best = sorted(range(len(names)), key=lambda i: (-shares[i], i))[:3]
    return [
        (names[i], float(shares[i]), place_of((index == i).mean(axis=0)))
        for number, i in enumerate(best)
        if number == 0 or shares[i] >= LEAST_COLOUR
    ]


def nearest_colours(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Numbers of the colours of `palette` (N × 3) that are nearest to the pixels (… × 3); the first of equally near."""
    planes = [np.ascontiguousarray(pixels[..., channel]) for channel in range(3)]
    nearest = np.zeros(pixels.shape[:-1], np.intp)
    least = np.full(nearest.shape, np.inf, np.float32)
    # Colour after colour, so that the arrays stay in the processor's cache.
    for number, colour in enumerate(palette):
        first, second, third = (plane - value for plane, value in zip(planes, colour, strict=True))
        distance = first * first + second * second + third * third
        nearer = distance < least
        nearest[nearer] = number
        np.minimum(least, distance, out=least)
    return nearest


def manner(clip: ClipFacts) -> str:
    """How strong the colours are and how much fine detail there is."""
    parts = []
    if clip.colourfulness is not None:
        parts.append(level(clip.colourfulness, COLOURFULNESS, "colours are vivid"))
    if clip.sharpness is not None:
        parts.append("there is " + level(clip.sharpness, DETAIL, "plenty of fine detail"))
    return ", and ".join(parts)


def text(clip: ClipFacts) -> str:
    """How much on-screen text a detector found; nothing below 0.05 % of the frame."""
    if clip.text_area is None or clip.text_area < 0.0005:
        return ""
    return f"on-screen text covers about {_percent(clip.text_area)} of the picture"


def pauses(clip: ClipFacts, greys: Sequence[np.ndarray]) -> str:
    """Whether the picture stands still; nothing if less than a fifth of the time is frozen.

    Frames that a conversion of the frame rate repeats are frozen too, up to four fifths of the time (12 to 60 frames
    per second), and nobody sees them stand. The kept frames of `clip.frames` lie much further apart than these: the
    picture stands where two neighbours are the same.
    """
    if clip.frozen_share is None or clip.frozen_share < 0.2:
        return ""
    smooth = [cv2.GaussianBlur(grey, (0, 0), 2) for grey in greys]
    stands = [int(cv2.absdiff(a, b).max()) <= SAME for a, b in pairwise(smooth)]
    if clip.frozen_share >= 0.98 and all(stands):
        return "the picture is frozen throughout"
    return "the picture is frozen for a part of the time" if any(stands) else ""


def changes(clip: ClipFacts) -> str:
    """A great change of view: mentioned if the least likeness of neighbouring frames is below a half."""
    if clip.consistency is None or clip.consistency >= 0.5:
        return ""
    return "the view changes greatly between one moment and the next"


def size(clip: ClipFacts) -> str:
    """Frame size in pixels and frame rate: mentioned if little else is known."""
    parts = [f"{clip.width} by {clip.height} pixels"] if clip.width and clip.height else []
    if clip.fps:
        parts.append(f"{clip.fps:.2f}".rstrip("0").rstrip(".") + " frames a second")
    return f"the frame is {parts[0]}" + (f", shown at {parts[1]}" if len(parts) > 1 else "") if parts else ""


def moving_place(greys: Sequence[np.ndarray]) -> str:
    """Where the picture changes, for a camera that stands still: `, mostly on the left` or nothing."""
    if len(greys) < 2:
        return ""
    smooth = [cv2.GaussianBlur(grey, (0, 0), 2) for grey in greys]
    changed = np.mean([cv2.absdiff(a, b) > 15 for a, b in zip(smooth, smooth[1:], strict=False)], axis=0)
    return _mostly(place_of(changed)) if changed.mean() > 0.001 else ""


def place_of(weight: np.ndarray) -> str:
    """Where three quarters of a map's weight lie: `in the upper half`, `on the left`, …; empty if it is all over."""
    height, width = weight.shape
    total = float(weight.sum())
    if total <= 0:
        return ""
    upper = float(weight.sum(axis=1) @ (np.arange(height) * 2 + 1 < height)) / total
    left = float(weight.sum(axis=0) @ (np.arange(width) * 2 + 1 < width)) / total
    row = "upper" if upper >= 0.75 else "lower" if upper <= 0.25 else ""
    column = "left" if left >= 0.75 else "right" if left <= 0.25 else ""
    if row and column:
        return f"in the {row} {column}"
    if row or column:
        return f"in the {row} half" if row else f"on the {column}"
    y, x = round(height * 0.146), round(width * 0.146)  # the middle rectangle of half the frame's area
    middle = float(weight[y : height - y, x : width - x].sum()) / total
    return "in the centre" if middle >= 0.75 else "near the edges" if middle <= 0.2 else ""


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(_shrink(frame, WORK_SIDE), cv2.COLOR_BGR2GRAY)


def _shrink(frame: np.ndarray, side: int) -> np.ndarray:
    """`frame` with a short side of at most `side` pixels."""
    factor = side / min(frame.shape[:2])
    if factor >= 1:
        return frame
    width, height = (max(1, round(length * factor)) for length in frame.shape[1::-1])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _lab(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"


def _mostly(place: str) -> str:
    return f", mostly {place}" if place else ""


def _list(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _article(phrase: str) -> str:
    """`phrase` behind `a` or `an`, as its number is spoken: an 8.0-second, an 11.5-second, an 18.2-second clip."""
    whole = phrase.split(".", 1)[0]
    spoken_with_vowel = whole.startswith("8") or whole in {"11", "18"}
    return f"{'an' if spoken_with_vowel else 'a'} {phrase}"


def _words(sentences: Iterable[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)
