"""How often `duplicates.backend: pictures` takes the next piece of a shot for a copy of the piece before.

The camera is fixed, and something moves steadily.

    python tests/bench/bench_next_pieces.py --seed 1

Each shot is a still photograph before which one or two cut-outs of others move steadily. It is divided into two pieces
of the same length. What moves is compared as the workflow does, without files: pieces with changed copies of
themselves, and with the other piece. What is shown counts as nearly the same, as it is with a fixed camera.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.duplicates import matching
from clipmill.duplicates.cells import Moves, between_bars
from clipmill.duplicates.pictures import RATE

SIZE = (320, 180)
BAR = 30  # pixels above and below a letterboxed picture
SHOWN = np.array([[0.995, 0.985]])  # cosines of the halves
PICTURES = ["coffee.png", "chelsea.png", "astronaut.png", "motorcycle_left.png", "rocket.jpg", "camera.png"]
Frames = list[np.ndarray]
CHANGES: dict[str, Callable[[Frames], Frames]] = {
    "same": lambda frames: frames,
    "brighter": lambda frames: [np.clip(frame * 1.2 + 10, 0, 255) for frame in frames],
    "darker": lambda frames: [255 * (frame / 255) ** 1.4 for frame in frames],
    "logo": lambda frames: [cv2.rectangle(frame.copy(), (262, 10), (308, 28), 250, -1) for frame in frames],
    "trimmed": lambda frames: frames[7:-6],
    "letterboxed": lambda frames: [cv2.copyMakeBorder(frame, BAR, BAR, 0, 0, cv2.BORDER_CONSTANT) for frame in frames],
}


def shot(chance: np.random.Generator, seconds: float) -> Frames:
    """Grey frames, two for each move, of twice these `seconds`."""
    grey = [cv2.cvtColor(render.photograph(name), cv2.COLOR_RGB2GRAY) for name in chance.choice(PICTURES, 3, False)]
    still = cv2.resize(grey[0], SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    frames = [still.copy() for _ in range(round(2 * seconds * 2 * RATE))]
    for picture in grey[1 : 1 + chance.integers(1, 3)]:
        size = chance.integers(20, 70, 2).tolist()
        part = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        speed, angle = np.exp(chance.uniform(0, np.log(25))), chance.uniform(0, 2 * np.pi)  # 1 to 25 pixels a second
        velocity = speed * np.array([np.cos(angle), 0.5 * np.sin(angle)])
        middle = chance.uniform((60, 45), (260, 135))
        for number, frame in enumerate(frames):
            place = middle + velocity * (number / (2 * RATE) - seconds) - np.array(size) / 2
            matrix = np.column_stack([np.eye(2), place])
            cv2.warpAffine(part, matrix, SIZE, frame, borderMode=cv2.BORDER_TRANSPARENT)
    return frames


def moves(frames: Frames, bar: int, chance: np.random.Generator) -> Moves:
    """As the fingerprints hold them. `bar`: pixels above and below, which are cut away."""
    frames = frames[: len(frames) // 2 * 2]
    cells = np.stack([cv2.resize(frame.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA) for frame in frames])
    cells = np.rint(cells + chance.normal(0, 0.2, cells.shape)).reshape(-1, 2, 8, 8).mean(1)
    share = bar / (SIZE[1] + 2 * bar)
    rows, down = between_bars(share, 1 - share)
    return Moves(np.clip(np.rint(rows @ cells), 0, 255).astype(np.uint8), down)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the shots")
    parser.add_argument("--shots", type=int, default=60)
    args = parser.parse_args()
    found: Counter[tuple[str, str]] = Counter()
    for number in range(args.shots):
        chance = np.random.default_rng([args.seed, number])
        frames = shot(chance, chance.choice([3, 4, 5, 7]))
        pieces = [
            {name: moves(change(piece), BAR * (name == "letterboxed"), chance) for name, change in CHANGES.items()}
            for piece in (frames[: len(frames) // 2], frames[len(frames) // 2 :])
        ]
        pairs = [("copies", *pair) for piece in pieces for pair in itertools.combinations(piece.values(), 2)]
        pairs += [("next pieces", *pair) for pair in itertools.product(*(piece.values() for piece in pieces))]
        for kind, one, other in pairs:
            cells = min(len(side.down) for side in (one, other)) - 1
            moved = matching.moved_alike([one], [other])
            if not np.isnan(moved).any():  # clips in which nothing moves are the same to it
                group = "without bars" if cells == 8 else "with bars"
                found[kind, group] += 1
                found[kind, f"{group}, found"] += int(matching.copy_similarity(SHOWN, moved, 8 * cells)[0] > 0)
    for kind, group in itertools.product(("copies", "next pieces"), ("without bars", "with bars")):
        print(f"{kind}, {group}: {found[kind, f'{group}, found']:,} of {found[kind, group]:,} pairs found")


if __name__ == "__main__":
    main()
