"""Measures the model-backed scores against the same models run in the original's way; `make bench-models`.

    python tests/bench/bench_models.py                        all scores
    python tests/bench/bench_models.py --only laion clip      some of them
    python tests/bench/bench_models.py --clips 0              reading and preparing alone, without the models
    python tests/bench/bench_models.py --lines 1080           videos enlarged first, as footage is larger than samples
    python tests/bench/bench_models.py --tiny                 narrow models, to try the script itself

Models have random weights of the published sizes. clipmill's `score_shard` reads archives that its own decoding made;
the original reads files of the same clips. Both look at the same frames, on the GPU where there is one, with as many
threads or processes as a job there has by default; on the CPU with as many as there are cores. Trust the ratios of one
run, not the seconds. A score that fails is told on stderr, the others go on, and the status is 1.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPTS = REPOSITORY / "config" / "prompts"
os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

import imageio_ffmpeg
import original_way
import pyarrow.compute as pc
import torch
import usual_way
from torch.utils.flop_counter import FlopCounterMode

import bench
import checkpoints
from clipmill.base.errors import SetupError
from clipmill.decode.reading import FrameChoice, KeptFrames, read_signals
from clipmill.decode.shard import decode_shard
from clipmill.decode.video import DecodeSettings
from clipmill.inputs.discovery import update_index
from clipmill.models import backends, gpu, leases
from clipmill.scores import Backend
from clipmill.scores import shard as shards
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store.index import read_json_lines
from clipmill.store.layout import Paths
from default_config import SPLIT_SETTINGS

SHARD = "000000"
CORES = len(os.sched_getaffinity(0))
CLIPS_ON_CPU, CLIPS_ON_GPU, CLIPS_TINY = 1, 256, 8
CLIPS_READ = 8 * CORES  # at least so many, where reading is measured alone
ROUNDS = 3

PICTURE = ("image", "short_side", "crop")  # sizes of a model's picture

# Of each score: its step, and what its settings name: a maker of tests/checkpoints.py, and what differs from its true
# sizes. CLIP's tokenizer is made with few words, and so is the text tower that goes with it, which is not run here.
MODELS: dict[str, tuple[str, dict[str, tuple[str, dict[str, int]]]]] = {
    "siglip-v2.5": ("aesthetic", {"model": ("siglip", {}), "head": ("siglip_head", {})}),
    "laion": ("aesthetic", {"model": ("clip", {"image": 224}), "head": ("laion_head", {})}),
    "clip": ("consistency", {"model": ("clip", {})}),
    "dinov2": ("consistency", {"model": ("dinov2", {})}),
    "easyocr": ("text", {"model": ("craft", {})}),
    "videoclip-xl": ("alignment", {"model": ("videoclip_xl", {"vocabulary": checkpoints.VOCABULARY})}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME", help="scores")
    parser.add_argument("--clips", type=int, help="clips that the models see, the shortest first; 0: none")
    parser.add_argument("--tiny", action="store_true", help="narrow models of few layers, on pictures of the true size")
    parser.add_argument("--lines", type=int, help="enlarge the videos to so many lines first")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of reading and preparing alone")
    parser.add_argument("--videos", type=Path, default=bench.REAL_VIDEOS)
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with leases.lease(gpus()), tempfile.TemporaryDirectory(prefix="clipmill-bench-") as place:
        args.threads = min(leases.THREADS, CORES) if on_gpu() else CORES
        torch.set_num_threads(args.threads)
        if args.clips is None:
            args.clips = CLIPS_ON_GPU if on_gpu() else CLIPS_TINY if args.tiny else CLIPS_ON_CPU
        if args.clips == 0:
            args.tiny = True  # pictures have the true size
        failed = measure_all(args, Path(place))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def gpus() -> int:
    """How many GPUs to use: one where there is one."""
    try:
        return min(1, len(leases.visible_devices()))
    except SetupError:
        return 0


def on_gpu() -> bool:
    return gpu.device().type == "cuda"


def measure_all(args: argparse.Namespace, place: Path) -> list[str]:
    """Print what is found of each score at once, and of all together at the end. The names of those that failed."""
    size = "small" if args.tiny else "true"
    print(f"{device_name()}, {CORES} cores, {args.threads} reader threads, models of {size} size")
    films = made_films(args.videos, args.lines, place)
    results, failed, peak = [], [], 0.0
    for name in args.only:
        try:
            if args.clips:
                peak = max(peak, peak_of_device())
            with tempfile.TemporaryDirectory(dir=place) as folder:
                results.append(measured(name, Path(folder), films, args))
            print(f"\n# {name}")
            print_results(results[-1:], peak)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        gc.collect()
        if on_gpu():
            torch.cuda.empty_cache()
    if len(results) > 1:
        print("\n# All")
        print_results(results, peak)
    return failed


# --- what is measured on ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Films:
    """Decoded videos: their clips, as rows of `score_shard` and as files of their own."""

    outdir: Path
    clips: list[dict[str, Any]]  # in order of length
    files: dict[str, Path]  # by the clips' ids

    def rows(self, count: int) -> list[dict[str, Any]]:
        """The `count` shortest clips, from the beginning again where there are fewer; each with an id of its own."""
        chosen = islice(cycle(self.clips), count)
        return [{**clip, "clip_id": f"{clip['clip_id']}#{number}"} for number, clip in enumerate(chosen)]

    def clip_files(self, rows: list[dict[str, Any]], choice: FrameChoice) -> list[original_way.ClipFile]:
        """The files of clips, with the times of the same frames that `choice` chooses."""
        samples = KeptFrames(self.outdir, SHARD)
        made = []
        for row in rows:
            table = read_signals(self.outdir, SHARD, row["video_id"], ["time", "sample"])
            table = table.filter(pc.is_valid(table["sample"]))
            times = dict(zip(table["sample"].to_pylist(), table["time"].to_pylist(), strict=True))
            wanted = [times[sample] - row["start"] for sample in samples.of(row, choice)]
            made.append(original_way.ClipFile(self.files[row["clip_id"].rpartition("#")[0]], wanted))
        return made


def made_films(videos: Path, lines: int | None, place: Path) -> Films:
    """Decode and split the videos, and cut their clips as is usual; not measured."""
    if lines:
        videos = enlarged(videos, lines, place / "videos")
    outdir = place / "out"
    update_index(videos, outdir, 1000)
    listed = read_json_lines(Paths(outdir).shard(SHARD))
    rows, parts = decode_shard(listed, outdir, SHARD, DecodeSettings(**bench.CONFIG["decode"]), CORES, 1.0)
    clips, files = [], {}
    paths = {video["video_id"]: Path(video["path"]) for video in listed}
    videos = [{"error_kind": None, **video} for video in rows]
    found = split_shard(videos, parts, outdir, SHARD, SplitSettings(**SPLIT_SETTINGS)).clips
    for clip in (clip for clip in found if not clip["unfit"]):
        target = place / f"{clip['clip_id']}.mp4"
        usual_way.encode((paths[clip["video_id"]], clip["start"], clip["seconds"], target, bench.CONFIG["cut"]))
        clips.append(clip)
        files[clip["clip_id"]] = target
    return Films(outdir, sorted(clips, key=lambda clip: clip["seconds"]), files)


def enlarged(videos: Path, lines: int, folder: Path) -> Path:
    folder.mkdir()
    for video in bench.videos_of(videos):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", video, "-an"]
        command += ["-vf", f"scale=-2:{lines}:flags=lanczos", "-preset", "veryfast", "-crf", "18"]
        subprocess.run([*command, folder / f"{video.stem}.mp4"], check=True)
    return folder


# --- measuring --------------------------------------------------------------------------------------------------------


class Clock:
    """Seconds by what they were spent on. With a network to watch, and its work on the GPU waited for; `exact=False`
    waits for nothing, so that work overlaps as in a job, and tells no parts."""

    def __init__(self, exact: bool = True) -> None:
        self._now = now if exact else time.perf_counter
        self.seconds: dict[str, float] = defaultdict(float)
        self.seen: tuple[tuple, dict] = (), {}  # the network's last input
        self._start = 0.0

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[what] += self._now() - start

    @contextmanager
    def watching(self, network: torch.nn.Module) -> Iterator[None]:
        """Count the time of the network's own work as `network`."""
        hooks = (
            network.register_forward_pre_hook(self._before, with_kwargs=True),
            network.register_forward_hook(self._after),
        )
        yield
        for hook in hooks:
            hook.remove()

    def _before(self, _: Any, args: tuple, kwargs: dict) -> None:
        self.seen = args, kwargs
        self._start = now()

    def _after(self, *_: Any) -> None:
        self.seconds["network"] += now() - self._start


def now() -> float:
    if on_gpu():
        torch.cuda.synchronize()
    return time.perf_counter()


class Timed(Backend):
    """A backend, clipmill's or an original one, whose measuring is timed, or left out where there is no clock."""

    def __init__(self, backend: Any, clock: Clock | None = None):
        self._backend, self._clock = backend, clock
        self.choice, self.about = getattr(backend, "choice", None), getattr(backend, "about", {})
        self.batch, self.prepare = backend.batch, backend.prepare

    def measure(self, units: list[Any]) -> list[Any]:
        """The values; None each without a clock."""
        return self._timed(self._backend.measure, units) if self._clock else [None] * len(units)

    def start(self, units: list[Any]) -> Callable[[], list[Any]]:
        """The same of clipmill's, which are waited for later."""
        if self._clock is None:
            return lambda: [None] * len(units)
        fetch = self._timed(self._backend.start, units)

        def timed_fetch() -> list[Any]:
            with self._clock("measure"):
                return fetch()

        return timed_fetch

    def _timed(self, function: Callable[[list[Any]], Any], units: list[Any]) -> Any:
        self._clock.seconds["units"] += len(units)
        with self._clock("measure"):
            return function(units)

    def finish(self, values: list[Any]) -> dict[str, Any]:
        """The columns; none without a clock."""
        return self._backend.finish(values) if self._clock else {}


@dataclass
class Result:
    """What was measured of one score. Lists: the original, clipmill."""

    name: str
    frames: float = 0.0  # of a clip
    clips: int = 0
    walls: list[float] = field(default_factory=list)  # seconds for all clips
    clocks: list[dict[str, float]] = field(default_factory=list)  # their parts, on a GPU of a run of its own
    flops: float = 0.0  # of the network's work for all clips
    reading: list[tuple[float, float]] = field(default_factory=list)  # frames a second; of one core's time


def measured(name: str, folder: Path, films: Films, args: argparse.Namespace) -> Result:
    """The original's way, then clipmill's; both read alone in turns, as both are loaded."""
    step, parts = MODELS[name]
    files = made_files(parts, folder, args.tiny)
    section = bench.CONFIG[step]
    section = section | {"backend": name, name: section[name] | files}
    ours = backends.load(step, backends.settings(step, section, PROMPTS))
    original = original_way.SCORES[name](files, gpu.device())
    network = network_of(ours)
    result = Result(name, clips=args.clips)
    runs = {
        "original": lambda rows, clock, _: run_original(original, films, rows, ours.choice, clock, args.threads),
        "clipmill": lambda rows, clock, metric: run_clipmill(
            ours, films, rows, clock, f"{name}-{metric}", args.threads
        ),
    }
    rows = films.rows(args.clips)
    for (label, run), watched in zip(runs.items(), (original.network, network), strict=True):
        if not args.clips:
            break
        clock = Clock()
        if on_gpu():
            run(rows[:32], Clock(), "warm")
            result.walls.append(bench.timed(lambda run=run: run(rows, Clock(exact=False), "whole"))[1])
        with clock.watching(watched):
            wall = bench.timed(lambda run=run, clock=clock: run(rows, clock, "scored"))[1]
        result.clocks.append(dict(clock.seconds) | {"wall": wall})
        if not on_gpu():  # nothing overlaps there
            result.walls.append(wall)
        print(f"{name}: {label} {result.walls[-1]:.1f} s", file=sys.stderr, flush=True)
    read_alone(result, runs, films, ours.choice, args.rounds)
    if args.clips:
        del original, runs
        gc.collect()
        units = result.clocks[1]["units"]
        assert units == result.clocks[0]["units"]
        result.flops = units * flops_of(network, *clock.seen)
    return result


def made_files(parts: dict[str, tuple[str, dict]], folder: Path, tiny: bool) -> dict[str, str]:
    """The files that a score's settings name, with random weights."""
    files = {}
    for key, (maker, differs) in parts.items():
        sizes = checkpoints.TRUE_SIZES[maker] | differs
        if tiny:
            sizes = {key: size for key, size in sizes.items() if key in PICTURE}
        files[key] = str(checkpoints.MAKERS[maker](folder / key, **sizes))
    if "videoclip_xl" in (maker for maker, _ in parts.values()):
        files["tokenizer"] = str(checkpoints.make_clip_tokenizer(folder / "tokenizer"))
    return files


def network_of(backend: Any) -> torch.nn.Module:
    """The network of a backend of clipmill, loaded."""
    return backend._loaded().video if hasattr(backend, "_loaded") else backend._network


def run_original(
    original: Any, films: Films, rows: list, choice: FrameChoice, clock: Clock | None, threads: int
) -> None:
    files = films.clip_files(rows, choice)
    scored = original_way.score(Timed(original, clock), files, threads, clock or Clock())
    assert len(scored) == len(rows)


def run_clipmill(backend: Any, films: Films, rows: list, clock: Clock | None, metric: str, threads: int) -> None:
    waiting = clock or Clock()

    class Waited(shards.Readers):
        def take(self, timeout: float) -> Any:
            with waiting("pictures"):
                return super().take(timeout)

    wanted = {row["clip_id"] for row in rows}
    with mock.patch.object(shards, "Readers", Waited):
        timed = Timed(backend, clock)
        scored = shards.score_shard(metric, timed, rows, wanted, films.outdir, SHARD, 1.0, threads)
    assert not any(row.get("error") for row in scored), scored


def read_alone(result: Result, runs: dict[str, Callable], films: Films, choice: FrameChoice, rounds: int) -> None:
    """Frames a second of reading and preparing: the same as a whole run, with nothing measured. In turns."""
    rows = films.rows(max(CLIPS_READ, len(films.clips)))
    frames = sum(len(file.times) for file in films.clip_files(rows, choice))
    took: dict[str, list[tuple[float, float]]] = {label: [] for label in runs}
    for number in range(rounds):
        for label, run in runs.items():
            before = sum(os.times()[:4])  # user and system, of this process and of those that have ended
            wall = bench.timed(lambda run=run, n=number: run(rows, None, f"read{n}"))[1]
            took[label].append((wall, sum(os.times()[:4]) - before))
    result.frames = frames / len(rows)
    for times in took.values():
        wall, processor = map(statistics.median, zip(*times, strict=True))
        result.reading.append((frames / wall, frames / processor))


def flops_of(network: torch.nn.Module, args: tuple, kwargs: dict) -> float:
    """Floating point operations (two a multiply-add) of the network for one of the units that it was given."""
    network = network.to("meta")
    args = tuple(part[:1].to("meta", torch.float32) for part in args)
    kwargs = {name: part[:1].to("meta", torch.float32) for name, part in kwargs.items()}
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*args, **kwargs)
    return float(counter.get_total_flops())


def peak_of_device() -> float:
    """FLOP/s of a large matrix product: in bf16 on a GPU, in float32 on the CPU; the best of some."""
    size, dtype = (8192, torch.bfloat16) if on_gpu() else (2048, torch.float32)
    left, right = torch.randn(2, size, size, device=gpu.device()).to(dtype)
    best, end = float("inf"), now() + 3
    while now() < end:
        start = now()
        left @ right
        best = min(best, now() - start)
    return 2 * size**3 / best


def device_name() -> str:
    return torch.cuda.get_device_name() if on_gpu() else "CPU"


# --- what came out ----------------------------------------------------------------------------------------------------


def print_results(results: list[Result], peak: float) -> None:
    if results[0].clips:
        print_speed(results, peak)
        print_times(results)
    print_reading(results)


def print_speed(results: list[Result], peak: float) -> None:
    """Clips a second, and the share of the device's peak over the whole time."""
    print(f"\nClips a second, the shortest {results[0].clips}; a large matrix product: {peak / 1e12:.3g} TFLOP/s.\n")
    rows = []
    for result in results:
        theirs, ours = result.walls
        shares = [f"{result.flops / wall / peak:.0%}" for wall in (theirs, ours)]
        speeds = [f"{result.clips / wall:.3g}" for wall in (theirs, ours)]
        work = f"{result.flops / result.clips / 1e12:.2f}"
        rows.append((result.name, work, *speeds, f"{theirs / ours:.2f}", *shares))
    head = ["score", "TFLOP a clip", "original, clips/s", "clipmill, clips/s", "ratio"]
    bench.table([*head, "of the peak: original", "of the peak: clipmill"], rows)


def print_times(results: list[Result]) -> None:
    """Where the time goes, in shares of each way's own time; the limit is the largest of clipmill's."""
    print("\nWhere the time goes: waiting for pictures; the network; around it (to the device and back, normalising,")
    print(
        "boxes, head); the rest (a clip's numbers, the journal). On a GPU each is waited for, so that none overlap.\n"
    )
    names = ("pictures", "network", "around it", "rest")
    rows = []
    for result in results:
        shares = [parts_of(clock) for clock in result.clocks]
        limit = names[max(range(len(names)), key=lambda place: shares[1][place])]
        rows.append((result.name, *(" / ".join(f"{share:.1%}" for share in of) for of in shares), limit))
    parts = " / ".join(names)
    bench.table(["score", f"original: {parts}", f"clipmill: {parts}", "limit"], rows)


def parts_of(clock: dict[str, float]) -> list[float]:
    """Shares of the wall time: pictures, network, around it, rest."""
    around = clock["measure"] - clock["network"]
    rest = clock["wall"] - clock["measure"] - clock["pictures"]
    return [part / clock["wall"] for part in (clock["pictures"], clock["network"], around, rest)]


def print_reading(results: list[Result]) -> None:
    """Frames a second of reading and preparing, and what a core's second of processor time is good for."""
    print("\nReading and preparing alone, without a model: frames a second; the median of all rounds.\n")
    rows = []
    for result in results:
        by_wall, by_core = zip(*result.reading, strict=True)
        cells = [
            cell for pair in (by_wall, by_core) for cell in (*map("{:.0f}".format, pair), f"{pair[1] / pair[0]:.1f}")
        ]
        rows.append((result.name, f"{result.frames:.1f}", *cells))
    head = ["score", "frames a clip", "original", "clipmill", "ratio"]
    bench.table([*head, "original, a core", "clipmill, a core", "ratio"], rows)


if __name__ == "__main__":
    main()
