"""Shows everything that needs a GPU in one go, and writes each result as soon as it is known.

    python tests/gpu/show.py OUTPUT                     on a machine with a GPU
    python tests/gpu/show.py OUTPUT --wheels FOLDER     install these wheels first, without an index
    python tests/gpu/show.py OUTPUT --minutes 9         in so many minutes: what does not fit is named, not left out
    python tests/gpu/show.py OUTPUT --tiny              rehearse on the CPU, with the smallest sizes

The parts, in this order (`--only` chooses some of them):

    tests      the tests of tests/gpu: values of every backend in fp32, fp16 and bf16, leases, a full memory
    models     clips per second of each score and share of the card's peak, against the original's way
    run        a whole run with models of true size: what each step takes, and how busy the GPU is meanwhile
    resumed    the same run, killed while it scores and started again: whether the dataset is the same
    decode     decoding on the card against a decode job on eight cores, at 1080 lines
    quantize   a small Llama in 4 bits, made by `snakemake quantize` and loaded by vLLM

`results.md` in OUTPUT grows part by part, with its versions and commands. `log.txt` has what the commands print. The
status is 1 if a part failed or was not shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = "site"  # folder beside the wheels into which they are installed
PACKAGES = ("torch", "transformers", "vllm", "snakemake", "av", "opencv-python-headless", "onnxruntime", "numpy")
MODELS = ("siglip", "siglip_head", "clip", "craft", "videoclip_xl")
SAMPLE_MILLISECONDS = 200  # between two looks at how busy the GPU is
SCORED = ("text", "aesthetic", "consistency")  # steps during which the run is killed
CORES_OF_A_JOB = 8  # that decode beside the card
LINES, SECONDS = 1080, 20  # of the film that is decoded
WORTH_IT = 3.0  # times faster than eight cores, from which decoding on the card would be worth an option
NOTHING_ASKED = {"area": {"min": None}, "motion": {"min": None}, "frozen_share": {"max": None}}
LOADS = """
import sys, vllm
engine = vllm.LLM(sys.argv[1], enforce_eager=True, max_model_len=256, max_num_seqs=2, gpu_memory_utilization=0.3)
answer = engine.generate(["a car"], vllm.SamplingParams(max_tokens=8, temperature=0, ignore_eos=True))[0]
print("tokens:", len(answer.outputs[0].token_ids))
"""


class NotShown(Exception):
    """A part cannot be shown here, for this reason."""


class TimeUp(NotShown):
    """The time ended."""


class CommandFailed(Exception):
    """A command ended with another status than 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for results.md and log.txt")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install first")
    parser.add_argument("--minutes", type=float, default=14, help="time for everything")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="parts to show")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, on the CPU")
    parser.add_argument("--videos", type=Path, default=REPOSITORY / "tests" / "data" / "videos")
    parser.add_argument("--copies", type=int, default=8, help="how often the run has each video")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    show = Show(args.output.resolve(), args.videos.resolve(), time.monotonic() + 60 * args.minutes, args.tiny)
    show.copies = 1 if args.tiny else args.copies
    if args.wheels:
        show.install(args.wheels.resolve())
    show.say(f"# {show.card}\n\n{show.versions()}\n")
    failed = [name for name in args.only if not show.part(name, PARTS[name])]
    if failed:
        sys.exit(f"failed or not shown: {', '.join(failed)}")


@dataclass
class Show:
    """Where results go, and what the parts share."""

    output: Path
    videos: Path
    end: float  # of the time, by time.monotonic
    tiny: bool
    copies: int = 1
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ, "PYTHONUNBUFFERED": "1"})

    def __post_init__(self) -> None:
        paths = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)

    @cached_property
    def place(self) -> Path:
        """A folder for models and runs, beside the results, emptied first."""
        place = self.output / "work"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    @cached_property
    def card(self) -> str:
        """The GPU's name and driver, and the CPU's."""
        cores = len(os.sched_getaffinity(0))
        try:
            command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            found = "no GPU"
        return f"{found}; {cores} cores of {platform.machine()}"

    def versions(self) -> str:
        found = [f"Python {platform.python_version()}"]
        for name in PACKAGES:
            with suppress(metadata.PackageNotFoundError):
                found.append(f"{name} {metadata.version(name)}")
        return ", ".join(found)

    def install(self, wheels: Path) -> None:
        """Install the wheels into a folder beside them, for this process and all that it starts."""
        site = wheels / SITE
        files = sorted(map(str, wheels.glob("*.whl")))
        if not files:
            sys.exit(f"{wheels} has no wheels")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
        subprocess.run([*pip, "--target", str(site), *files], check=True)
        sys.path.insert(0, str(site))
        self.environment["PYTHONPATH"] += os.pathsep + str(site)

    def say(self, text: str) -> None:
        """Add to the results, and print it."""
        print(text, flush=True)
        with open(self.output / "results.md", "a", encoding="utf-8") as handle:
            handle.write(text + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def part(self, name: str, function: Callable[[Show], None]) -> bool:
        """Show one part. Whether that went well; whatever happened stands in the results."""
        self.say(f"\n## {name}\n")
        start = time.monotonic()
        try:
            if start >= self.end:
                raise TimeUp("no time was left")
            function(self)
        except NotShown as error:
            self.say(f"**Not shown**: {error}.")
            return False
        except Exception as error:
            self.say(f"**Failed**: {type(error).__name__}: {error}")
            return False
        finally:
            self.say(f"\n{time.monotonic() - start:.0f} s.")
        return True

    def call(self, *command: str | Path, lines: Callable[[str], bool] = lambda line: False) -> None:
        """Run a command to its end, or to that of the time. What it prints goes into the log, and chosen lines into
        the results. Raises TimeUp, or CommandFailed with the last line that it printed."""
        words = [str(word) for word in command]
        self.say(f"`{shlex.join(['python' if word == sys.executable else word for word in words])}`\n")
        said = last = ""
        with self.started(words) as process:
            for line in process.stdout or ():
                self.log(line)
                last = line.strip() or last
                if lines(line):
                    begins = line.startswith("|") and not said.startswith("|")  # a table, before which Markdown
                    self.say("\n" * begins + line.rstrip("\n"))  # wants an empty line
                    said = line
            if time.monotonic() >= self.end:
                raise TimeUp("the time ended while it ran")
            if status := process.wait():
                raise CommandFailed(f"it ended with {status}, and {last!r}; log.txt has the rest")

    def log(self, text: str) -> None:
        with open(self.output / "log.txt", "a", encoding="utf-8") as handle:
            handle.write(text)

    @contextmanager
    def started(self, words: list[str]) -> Iterator[subprocess.Popen[str]]:
        """A command at work, in a group of processes that ends with the time, and at the latest here."""
        process = subprocess.Popen(
            words,
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        timer = threading.Timer(max(0.0, self.end - time.monotonic()), kill, [process])
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            kill(process)
            process.wait()


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def missing(*packages: str) -> list[str]:
    """Which of these packages cannot be imported."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


# --- tests, models ----------------------------------------------------------------------------------------------------


def tests(show: Show) -> None:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", REPOSITORY / "tests" / "gpu"]
    words = (" passed", " failed", " skipped", "FAILED", "SKIPPED", "ERROR")
    if not show.tiny:
        show.environment["CLIPMILL_NO_SKIPS"] = "1"  # a test that is skipped has shown nothing
    show.call(*command, lines=lambda line: any(word in line for word in words))


def models(show: Show) -> None:
    """The scores against the original's way."""
    script = REPOSITORY / "tests" / "bench" / "bench_models.py"
    small = ["--tiny", "--only", "laion", "--clips", "1", "--rounds", "1"]
    sizes = small if show.tiny else ["--clips", "128", "--rounds", "1"]
    show.call(
        sys.executable, script, "--videos", show.videos, *sizes, lines=lambda line: line.startswith(("|", "#", "TFLOP"))
    )


# --- a whole run ------------------------------------------------------------------------------------------------------


@dataclass
class Busy:
    """How busy the GPU is, sampled beside a run."""

    times: list[float] = field(default_factory=list)  # by time.time
    shares: list[float] = field(default_factory=list)  # of the time in which something ran on it, in percent
    memory: list[float] = field(default_factory=list)  # taken, in MiB

    @contextmanager
    def watched(self) -> Iterator[Busy]:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        try:
            watcher = subprocess.Popen([*query, f"--loop-ms={SAMPLE_MILLISECONDS}"], stdout=subprocess.PIPE, text=True)
        except OSError:
            yield self
            return
        thread = threading.Thread(target=self._read, args=[watcher])
        thread.start()
        try:
            yield self
        finally:
            watcher.kill()
            thread.join()
            watcher.wait()

    def _read(self, watcher: subprocess.Popen[str]) -> None:
        for line in watcher.stdout or ():
            with suppress(ValueError):
                share, memory = map(float, line.split(","))
                self.times.append(time.time())
                self.shares.append(share)
                self.memory.append(memory)

    def between(self, start: float, end: float) -> str:
        """Cells of the table: mean share, most memory."""
        chosen = slice(bisect_left(self.times, start), bisect_right(self.times, end))
        if not self.shares[chosen]:
            return "| not measured | not measured |"
        return f"| {statistics.fmean(self.shares[chosen]):.0f} % | {max(self.memory[chosen]) / 1024:.1f} |"


def whole_run(show: Show) -> None:
    """A run with models, and what each of its steps took."""
    outdir = show.place / "out"
    config = run_config(show, outdir)
    with Busy().watched() as busy:
        show.call(*snakemake(show, config))
    print_steps(show, outdir, busy)


def run_config(show: Show, outdir: Path) -> Path:
    """Make the models and the videos once; write the config of a run into `outdir`, and return its path."""
    sections = show.place / "sections.json"
    if not sections.exists():
        make_videos(show)
        sections.write_text(json.dumps(sections_with_models(show)), encoding="utf-8")
    config = {"videos": str(show.place / "videos"), "outdir": str(outdir), **json.loads(sections.read_text("utf-8"))}
    path = show.place / f"{outdir.name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def make_videos(show: Show) -> None:
    folder = show.place / "videos"
    folder.mkdir(exist_ok=True)
    found = sorted(path for path in show.videos.iterdir() if path.suffix == ".mp4")
    for path in found[:1] if show.tiny else found:
        for number in range(show.copies):
            shutil.copy(path, folder / f"{path.stem} {number}.mp4")


def sections_with_models(show: Show) -> dict[str, Any]:
    """The sections of the config that name models of random weights, which are made first."""
    from model_runs import ANY, MODEL_STEPS, Models  # all packages are there only now
    from runs import NO_TEXT_CHECKS

    sizes = [] if show.tiny else ["--true-sizes"]
    folder, seeing = show.place / "models", show.place / "seeing"
    makers = REPOSITORY / "tests"
    made = [makers / "checkpoints.py", folder, "--only", *MODELS, *sizes]
    speaking = [makers / "language_checkpoints.py", seeing, "--only", "qwen2_5_vl"]
    for command in (made, speaking):
        show.call(sys.executable, *command)
    backend = "transformers" if missing("vllm") else "vllm"
    if backend != "vllm":
        show.say("vLLM is not installed here: captions come from transformers.\n")
    caption: dict[str, Any] = {"backend": backend, "frames": 4, "max_tokens": 48}
    caption[backend] = {"model": str(seeing / "qwen2_5_vl")}
    if backend == "vllm":
        caption[backend] |= {"max_model_len": 4096, "gpu_memory_utilization": 0.3}
    resources = {"gpu": int(not show.tiny), **({"mem_mb": 4000} if show.tiny else {})}
    sections = Models(folder).sections()
    sections["text"] = {"backend": "easyocr", "easyocr": {"model": sections["text"]["easyocr"]["model"]}}
    sections["consistency"]["backend"] = "clip"
    return {
        **sections,
        "filters": {**NOTHING_ASKED, **ANY},
        "caption": caption,
        "text_checks": NO_TEXT_CHECKS,
        "resources": dict.fromkeys((*MODEL_STEPS, "caption"), resources),
    }


def snakemake(show: Show, config: Path, *arguments: str | Path) -> list[str | Path]:
    cores = str(len(os.sched_getaffinity(0)))
    start = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile"]
    return [
        *start,
        "--profile",
        REPOSITORY / "profiles" / "local",
        "--cores",
        cores,
        "--configfile",
        config,
        *arguments,
    ]


def print_steps(show: Show, outdir: Path, busy: Busy) -> None:
    """One row per step: its jobs, what they took, clips per second, and the GPU meanwhile."""
    from clipmill.steps import STEPS
    from clipmill.store import benchmarks

    clips = json.loads((outdir / "summary.json").read_text(encoding="utf-8"))["clips"]["found"]
    show.say(f"{clips} clips.\n")
    show.say("| step | jobs | wall, s | of it start, s | clips/s after it | GPU busy | GPU memory, GiB |")
    show.say("| --- | --- | --- | --- | --- | --- | --- |")
    for step in dict.fromkeys(step.name for step in STEPS):
        ended = {path: path.stat().st_mtime for path in sorted((outdir / "benchmarks" / step).glob("*.tsv"))}
        jobs = [(job, ended[path]) for path in ended if (job := benchmarks.read(path))]
        if not jobs:
            continue
        wall = sum(job.wall_seconds for job, _ in jobs)
        start = sum(job.start_seconds or 0 for job, _ in jobs)
        first, last = min(end - job.wall_seconds for job, end in jobs), max(end for _, end in jobs)
        speed = clips / max(wall - start, 1e-3)
        show.say(f"| {step} | {len(jobs)} | {wall:.1f} | {start:.1f} | {speed:.1f} {busy.between(first, last)}")


def resumed(show: Show) -> None:
    """Kill the same run while a model scores, and start it again."""
    outdir, whole = show.place / "again", show.place / "out"
    command = snakemake(show, run_config(show, outdir))
    journals = outdir / "work" / "journals"
    with show.started([str(word) for word in command]) as process:
        reader = threading.Thread(target=lambda: [show.log(line) for line in process.stdout or ()])
        reader.start()
        while not (begun := [path.parent.name for path in journals.glob("*/*") if path.parent.name in SCORED]):
            if process.poll() is not None:
                raise RuntimeError(f"snakemake ended with {process.poll()} before a model had scored a clip")
            time.sleep(0.02)
        kill(process)
        reader.join()
    show.say(f"Killed by SIGKILL while it scored ({', '.join(sorted(set(begun)))}).")
    show.call(*command)
    if not (whole / "dataset").exists():
        raise NotShown("it went on to its end; there is no whole run to compare it with")
    ones, others = (dataset_of(folder) for folder in (whole, outdir))
    differing = sorted(name for name in ones.keys() | others.keys() if ones.get(name) != others.get(name))
    same = f"{len(ones)} files of the dataset are the same bytes"
    show.say(f"{same}." if not differing else f"These differ: {', '.join(differing[:10])}, of {len(ones)} files.")


def dataset_of(outdir: Path) -> dict[str, bytes]:
    dataset = outdir / "dataset"
    return {str(path.relative_to(dataset)): path.read_bytes() for path in dataset.rglob("*") if path.is_file()}


# --- decoding, quantizing ---------------------------------------------------------------------------------------------


def decoding(show: Show) -> None:
    """Frames per second of a decode job on eight cores, of its bare decoding, and of decoding on the card."""
    lines, seconds = (120, 2) if show.tiny else (LINES, SECONDS)
    program = Path(__file__).with_name("decoding.py")
    found: dict[str, float] = {}

    def is_rate(line: str) -> bool:
        name, _, rate = line.partition(": ")
        with suppress(ValueError):
            found[name] = float(rate.removesuffix(" frames/s\n"))
            return True
        return False

    for way in ("job", "bare", "pynvvideocodec", "torchcodec"):
        command = [sys.executable, program, way, show.place / "film.mp4", "--lines", lines, "--seconds", seconds]
        try:
            show.call(*map(str, command), "--threads", str(CORES_OF_A_JOB), lines=is_rate)
        except CommandFailed as error:
            show.say(f"{way} does not run here: {error}.")
    on_the_card = [found[name] for name in ("pynvvideocodec", "torchcodec") if name in found]
    if "job" not in found:
        raise RuntimeError("the decode job failed")
    if not on_the_card:
        raise NotShown("no decoder of the card runs here")
    times = max(on_the_card) / found["job"]
    # A job would still have to measure the frames, so bare decoding on the card is the most that it could gain.
    verdict = "worth trying" if times >= WORTH_IT else "not worth an option"
    show.say(
        f"\nThe card alone is {times:.1f} times as fast as a job; from {WORTH_IT:g} on that is worth it: {verdict}."
    )


def quantizing(show: Show) -> None:
    """A small Llama in 4 bits, then in vLLM."""
    show.call(sys.executable, REPOSITORY / "tests" / "language_checkpoints.py", show.place, "--only", "llama")
    backends = {"autoawq": "awq", "llm-compressor": "llmcompressor"}
    backend = next((name for name, package in backends.items() if not missing(package)), None)
    if backend is None:
        raise NotShown("neither AutoAWQ nor llm-compressor is installed")
    small = show.place / "small"
    few = {"calibration_samples": 2, "calibration_tokens": 48}
    path = show.place / "quantize.json"
    path.write_text(json.dumps({"quantize": {"backend": backend, **few}, "outdir": str(show.place / "quantized")}))
    named = ["--config", f"model={show.place / 'llama'}", f"out={small}"]
    gpu = ["--set-resources", f"quantize:gpu={int(not show.tiny)}"]
    show.call(*snakemake(show, path, *named, *gpu, "--", "quantize"))
    size = sum(file.stat().st_size for file in small.glob("*.safetensors"))
    show.say(f"{backend} made {size / 2**20:.1f} MiB of weights.")
    if missing("vllm"):
        raise NotShown("vLLM is not installed, so it was not loaded")
    show.call(sys.executable, "-c", LOADS, small, lines=lambda line: line.startswith("tokens:"))


PARTS: dict[str, Callable[[Show], None]] = {
    "tests": tests,
    "models": models,
    "run": whole_run,
    "resumed": resumed,
    "decode": decoding,
    "quantize": quantizing,
}


if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY / folder) for folder in ("scripts", "tests", "tests/workflow")]
    main()
