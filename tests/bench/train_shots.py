"""Train the network of `split.detector: combined`, and write its weights.

    python tests/bench/train_shots.py [--films 400] [--rounds 12] [--output scripts/clipmill/split/combined.npz]

It learns from the films of tests/shot_films.py, half of which are encoded, and that the real videos of
tests/data with one shot each hold no transition. Needs torch: `make models`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "scripts")]

from clipmill.base.opencv import cv2
from clipmill.decode.signals import FrameSignals
from clipmill.demo import render
from clipmill.split.combined import CHANGES, GRADUAL, NETWORK, NUMBERS, features
from shot_films import KINDS, PHOTOGRAPHS, SINGLE_SHOTS, ShotFilm, real_frames, render_film

if TYPE_CHECKING:
    import torch

SIZE = (160, 90)  # only the small pictures of frames count
RATES = (24, 25, 30, 12, 8, 25, 15, 10)
PICTURES = PHOTOGRAPHS[:9]  # the others are for tests
KIND_OF = {"fade black": "fade", "fade white": "fade", "dissolve": "dissolve", "wipe": "wipe", "push": "wipe"}
SHOTS, DISTURBED = 10, 0.4
NEAR, FAR_SHARE = 40, 0.4  # frames around transitions and disturbances are all used, of the others a part
PARTS, PART_FRAMES, WHOLE = 8, (12, 150), 12  # short videos cut out of each film; they begin and end in one shot
REAL_SIZE, REAL_FRAMES = (240, 134), 501
REAL_PARTS = 16  # of each real video, which holds no transition
NETWORKS, FIRST, SECOND = 2, 96, 32  # perceptrons whose answers are averaged; their neurons
BATCH, RATE, DROPPED, NOISE = 1024, 2e-3, 0.1, 0.1
# Cuts are rare: each of their frames counts ten times.
WEIGHTS = (10.0, 2.0, 1.0, 1.0, 1.0)

Examples = tuple[np.ndarray, np.ndarray]
"""Features of frames, float16, and for each frame what the network shall answer, 0 or 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--output", type=Path, default=NETWORK)
    args = parser.parse_args()
    real = [(name, number) for name in SINGLE_SHOTS for number in range(REAL_PARTS)]
    with get_context("fork").Pool() as pool:
        examples = [*pool.imap(of_film, range(args.films)), *pool.imap(of_real_video, real)]
    inputs, wanted = (np.concatenate(each) for each in zip(*examples, strict=True))
    layers: dict[str, Any] = trained(inputs, wanted, args.rounds)
    np.savez_compressed(args.output, **layers)


def of_film(number: int) -> Examples:
    """A made film, and short parts of it as if each was a video."""
    film = ShotFilm(f"training {number}", SIZE, RATES[number % len(RATES)], PICTURES)
    chance = np.random.default_rng(number)
    thumbnails, numbers = measured(worn(render_film(film, SHOTS, KINDS, DISTURBED), film, chance))
    truth, chosen = answers(film), chance.random(len(numbers)) < FAR_SHARE
    for one in [*film.transitions, *film.disturbances, *film.ends]:
        chosen[max(0, one.start - NEAR) : one.end + NEAR] = True
    found = [(features_of(thumbnails, numbers)[chosen], truth[chosen])]
    hard = (truth[:, 1] == 1) & (truth[:, 2 + GRADUAL.index("fade")] == 0)
    for _ in range(PARTS):
        count = int(chance.integers(*PART_FRAMES))
        start = int(chance.integers(len(numbers) - count))
        part = slice(start, start + count)
        if not (hard[part][:WHOLE].any() or hard[part][-WHOLE:].any()):
            inside = numbers[part].copy()
            inside[0, CHANGES] = 0  # nothing is before the first frame
            right = truth[part].copy()
            right[0, 0] = 0
            found.append((features_of(thumbnails[part], inside), right))
    inputs, wanted = (np.concatenate(each) for each in zip(*found, strict=True))
    return inputs, wanted


def of_real_video(part: tuple[str, int]) -> Examples:
    """A part of the picture of a real video, forwards or backwards, without any transition."""
    name, number = part
    chance = np.random.default_rng(number)
    width, height = (round(side * chance.uniform(1, 2.5)) for side in REAL_SIZE)
    left, top = int(chance.integers(width - REAL_SIZE[0] + 1)), int(chance.integers(height - REAL_SIZE[1] + 1))
    order = slice(None, None, int(chance.choice([1, -1])))
    frames = real_frames(name, (width, height), REAL_FRAMES)[order]
    pictures = (frame[top:, left:][: REAL_SIZE[1], : REAL_SIZE[0]] for frame in frames)
    thumbnails, numbers = measured(pictures)
    return features_of(thumbnails, numbers), np.zeros((len(numbers), 2 + len(GRADUAL)), np.uint8)


def worn(pictures: Iterator[np.ndarray], film: ShotFilm, chance: np.random.Generator) -> Iterator[np.ndarray]:
    """The pictures as they are, or with noise, or as a codec leaves them that renews a worn picture at key frames."""
    codec = chance.choice(["", "", "mpeg4", "mpeg4", "libx264"])
    if not codec:
        level = chance.choice([0, 0, 2, 5])  # grey levels
        for picture in pictures:
            yield np.clip(picture + chance.normal(0, level, picture.shape), 0, 255).astype(np.uint8)
        return
    options = (
        {"crf": str(chance.integers(20, 38))} if codec == "libx264" else {"b": str(chance.integers(40_000, 250_000))}
    )
    between = int(chance.choice([12, 12, 24, 50, 250]))
    with tempfile.TemporaryDirectory(prefix="clipmill-train-") as place:
        path = Path(place) / "film.mkv"
        render.encode(path, pictures, film.size, film.fps, codec=codec, keyframe_interval=between, options=options)
        with av.open(str(path)) as video:
            for frame in video.decode(video=0):
                yield frame.to_ndarray(format="bgr24")


def measured(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What decoding stores of frames: thumbnails and NUMBERS."""
    signals = FrameSignals()
    pictures = map(np.ascontiguousarray, pictures)
    rows = [signals.measure(picture, cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)) for picture in pictures]
    thumbnails = np.array([np.frombuffer(row["thumbnail"], np.uint8) for row in rows])  # type: ignore[arg-type]
    return thumbnails, np.array([[row[name] for name in NUMBERS] for row in rows])


def features_of(thumbnails: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.concatenate(list(features(thumbnails, numbers))).astype(np.float16)


def answers(film: ShotFilm) -> np.ndarray:
    """What the network shall answer to each frame of a film: frames × (cut, gradual, *GRADUAL)."""
    truth = np.zeros((len(film.shot), 2 + len(GRADUAL)), np.uint8)
    truth[:, 1] = film.mixed
    for one in [*film.transitions, *film.ends]:
        if one.start == one.end:
            truth[one.start, 0] = 1
        else:
            truth[one.start : one.end, 2 + GRADUAL.index(KIND_OF.get(one.kind, "fade"))] = 1
    return truth


def trained(inputs: np.ndarray, wanted: np.ndarray, rounds: int) -> dict[str, np.ndarray]:
    """The layers of the NETWORKS perceptrons, as `combined` reads them: networks × inputs × outputs."""
    import torch

    some = inputs[::7].astype(np.float32)
    mean, spread = torch.from_numpy(some.mean(0)), torch.from_numpy(some.std(0) + 1e-3)
    known, truth = torch.from_numpy(inputs), torch.from_numpy(wanted)
    networks = []
    for seed in range(NETWORKS):
        torch.manual_seed(seed)
        networks.append(layers_of(known, truth, mean, spread, rounds))
    found = {"mean": mean.numpy(), "spread": spread.numpy()}
    for place, layers in enumerate(zip(*networks, strict=True), 1):
        found[f"weights_{place}"] = np.stack([layer.weight.detach().numpy().T for layer in layers])
        found[f"bias_{place}"] = np.stack([layer.bias.detach().numpy()[None] for layer in layers])
    return {name: array.astype(np.float16) for name, array in found.items()}


def layers_of(
    known: torch.Tensor, truth: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor, rounds: int
) -> list[torch.nn.Linear]:
    """The three layers of one perceptron."""
    import torch

    layers = [torch.nn.Linear(len(mean), FIRST), torch.nn.Linear(FIRST, SECOND), torch.nn.Linear(SECOND, len(WEIGHTS))]
    first, second, third = layers
    network = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Dropout(DROPPED), second, torch.nn.ReLU(), third)
    steps = rounds * -(-len(known) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_of = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHTS))
    noise = NOISE * torch.randn(4 * BATCH, len(mean))
    for number in range(rounds):
        total = 0.0
        for chosen in torch.randperm(len(known)).split(BATCH):
            begin = int(torch.randint(0, 3 * BATCH, (1,)))
            values = ((known[chosen].float() - mean) / spread).clamp(-6, 6) + noise[begin : begin + len(chosen)]
            loss = loss_of(network(values), truth[chosen].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"round {number + 1}: loss {total / len(known):.4f}", flush=True)
    return layers


if __name__ == "__main__":
    main()
