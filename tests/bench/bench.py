"""Measures clipmill's speed and memory; `make bench` runs all of it.

    python tests/bench/bench.py whole           whole runs of the workflow against the usual way; shards; starts
    python tests/bench/bench.py shares          which step of a whole run takes how much processor time
    python tests/bench/bench.py steps           the steps against the usual way of doing them
    python tests/bench/bench.py text            the text detector with and without an arena for its memory
    python tests/bench/bench.py decode          a decode job against `ffmpeg -f null -`
    python tests/bench/bench.py sound           decode jobs that measure sound against jobs that do not
    python tests/bench/bench.py memory          a decode worker's peak, by the video's length
    python tests/bench/bench.py plan            dry runs over long sheets

Trust the ratios of one run, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

import imageio_ffmpeg
import numpy as np
import usual_way

from clipmill.cut.shard import cut_shard
from clipmill.decode.media import open_video, sound_stream
from clipmill.decode.shard import decode_shard
from clipmill.decode.sound_signals import SoundMeter
from clipmill.decode.video import DecodeSettings
from clipmill.filters import columns, verdict
from clipmill.inputs.discovery import update_index
from clipmill.models.speech import SileroVad
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.steps import METRICS
from clipmill.store import benchmarks
from clipmill.store.index import read_json_lines
from clipmill.store.layout import Paths
from clipmill.store.tables import by_video
from default_config import CONFIG, CUT_SETTINGS, SPLIT_SETTINGS

REAL_VIDEOS = REPOSITORY / "tests" / "data" / "videos"
CORES = 2
JOB_ENVIRONMENT = {**os.environ, "CLIPMILL_FETCH": json.dumps(CONFIG["fetch"])}
EVERY = 50  # frames: so many of the text detector's frames lie apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *MEASUREMENTS], help="what to measure; all of it if left out")
    parser.add_argument("--videos", type=Path, default=REAL_VIDEOS)
    parser.add_argument("--rounds", type=int, default=3, help="repeat, and take the median (sound: the least)")
    parser.add_argument("--engine", action=argparse.BooleanOptionalAction, default=True, help="steps: also a whole run")
    parser.add_argument("--listed", type=int, nargs="+", default=[200, 2000, 2_000_000], help="plan: videos in a sheet")
    args = parser.parse_args()
    for what in args.what or MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as place:
            print(f"\n## {what}\n", flush=True)
            MEASUREMENTS[what](args, Path(place))


# --- the steps --------------------------------------------------------------------------------------------------------


def bench_steps(args: argparse.Namespace, place: Path) -> None:
    """The usual way and clipmill's, turn by turn; then a whole run of the workflow, to see what the engine adds."""
    usual, ours = [], []
    for number in range(args.rounds):
        usual.append(usual_way.run(videos_of(args.videos), place / f"usual{number}", CORES, CONFIG["cut"]))
        ours.append(our_way(args.videos, place / f"ours{number}"))
    usual.sort(key=lambda steps: sum(steps.values()))
    ours.sort(key=lambda steps: sum(steps.values()))
    columns = usual[args.rounds // 2], ours[args.rounds // 2]
    rows = [(name, *(f"{column[name]:.2f}" if name in column else "" for column in columns)) for name in STEPS]
    sums = [sum(column.values()) for column in columns]
    table(["seconds of wall time", "usual way", "clipmill"], [*rows, ("sum", *(f"{total:.2f}" for total in sums))])
    ratios = sorted(sum(one.values()) / sum(other.values()) for one, other in zip(usual, ours, strict=True))
    rounds = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    print(f"\n{ratios[len(ratios) // 2]:.1f} times less, the median of the rounds: {rounds}")
    if args.engine:
        engine_share(args.videos, place / "whole")


STEPS = ("scene detection", "decode, all signals, samples", "split, free scores, verdicts", "cut", "full-frame flow")


def our_way(videos: Path, outdir: Path) -> dict[str, float]:
    """Wall seconds of clipmill's steps, as its tools do them."""
    update_index(videos, outdir, 1000)
    listed = read_json_lines(Paths(outdir).shard("000000"))
    took = {}
    (rows, parts), took[STEPS[1]] = timed(
        lambda: decode_shard(listed, outdir, "000000", DecodeSettings(**CONFIG["decode"]), CORES, 1.0)
    )
    kept, took[STEPS[2]] = timed(lambda: kept_clips(rows, parts, outdir))
    settings = CUT_SETTINGS
    videos_by_id = {row["video_id"]: row for row in rows}
    parts_by_id = by_video(parts)
    cuts, took[STEPS[3]] = timed(
        lambda: cut_shard(kept, videos_by_id, parts_by_id, outdir, "000000", settings, CORES, 1.0)
    )
    assert not any(cut.get("error") for cut in cuts), cuts
    return took


def kept_clips(videos: list[dict[str, Any]], parts: list[dict[str, Any]], outdir: Path) -> list[dict[str, Any]]:
    """Split, score from the signals, and keep what the filters that cost nothing let through."""
    videos = [{"error_kind": None, **video} for video in videos]
    split = split_shard(videos, parts, outdir, "000000", SplitSettings(**SPLIT_SETTINGS))
    free = [name for name, source in columns.FILTERS.items() if source not in METRICS]
    bounds = verdict.active(CONFIG["filters"], free)
    known = verdict.gather(videos, split.clips, {"motion": split.motion, "technical": split.technical})
    kept = {row["clip_id"] for row in known if verdict.first_failure(row, bounds) is None}
    return [clip for clip in split.clips if clip["clip_id"] in kept]


def engine_share(videos: Path, place: Path) -> None:
    """A whole run of the workflow: how long its jobs took, and what the engine added."""
    wall = whole_run(videos, place).wall
    jobs = [benchmarks.read(file) for file in (place / "out" / "benchmarks").rglob("*.tsv")]
    took = sum(job.wall_seconds for job in jobs if job) / CORES
    print(f"whole run: {wall:.1f} s, of which jobs {took:.1f} s ({took / wall:.0%}), the engine {wall - took:.1f} s")


# --- whole runs -------------------------------------------------------------------------------------------------------


def bench_whole(args: argparse.Namespace, place: Path) -> None:
    """Whole runs, the `snakemake` command from start to end, and the usual way's three steps, turn by turn."""
    inputs = {
        "75 videos of 8 s": short_videos(args.videos, place / "short", 75),
        f"{len(videos_of(args.videos))} videos as they are": args.videos,
        "20 minutes in 4 files": long_videos(args.videos, place / "long", 4, 300),
    }
    rows = []
    for name, videos in inputs.items():
        usual, ours = [], []
        for number in range(args.rounds):
            usual.append(usual_run(videos, place / name / f"usual{number}"))
            ours.append(whole_run(videos, place / name / f"ours{number}"))
        walls = sorted(one.wall / other.wall for one, other in zip(usual, ours, strict=True))
        cores = sorted(one.cores / other.cores for one, other in zip(usual, ours, strict=True))
        middle = args.rounds // 2
        rows.append(
            (
                name,
                f"{statistics.median(run.wall for run in usual):.1f}",
                f"{statistics.median(run.wall for run in ours):.1f}",
                f"{walls[middle]:.2f} ({walls[0]:.2f}–{walls[-1]:.2f})",
                f"{cores[middle]:.2f} ({cores[0]:.2f}–{cores[-1]:.2f})",
            )
        )
        print(f"{name}: done", flush=True)
    table(["input", "usual way, s", "clipmill, s", "times less wall time", "times less processor time"], rows)
    sharding(inputs["75 videos of 8 s"], place / "shards", args.rounds)
    starts(inputs["75 videos of 8 s"], place / "starts", 2000)


def bench_shares(args: argparse.Namespace, place: Path) -> None:
    """Processor time of the steps of a whole run, and of the usual way. It depends little on what else runs."""
    inputs = {
        "15 videos of 8 s": short_videos(args.videos, place / "short", 15),
        "400 s in 4 files": long_videos(args.videos, place / "long", 4, 100),
    }
    for name, videos in inputs.items():
        usual = usual_run(videos, place / name / "usual")
        whole = whole_run(videos, place / name / "ours")
        steps: Counter[str] = Counter()
        jobs: Counter[str] = Counter()
        for file in (place / name / "ours" / "out" / "benchmarks").rglob("*.tsv"):
            job = benchmarks.read(file)
            assert job is not None, file
            steps[file.parent.name] += job.processor_seconds
            jobs[file.parent.name] += 1
        rows = [(step, jobs[step], f"{took:.2f}", f"{took / whole.cores:.0%}") for step, took in steps.most_common()]
        rest = whole.cores - steps.total()
        rows += [("the rest: Snakemake", "", f"{rest:.2f}", f"{rest / whole.cores:.0%}")]
        rows += [("sum", jobs.total(), f"{whole.cores:.1f}", ""), ("usual way", "", f"{usual.cores:.1f}", "")]
        print(f"\n{name}: {usual.cores / whole.cores:.2f} times less processor time\n")
        table(["step", "jobs", "processor time, s", "share"], rows)


class Took(NamedTuple):
    """Seconds of wall time, and of all cores together."""

    wall: float
    cores: float


def whole_run(videos: Path, place: Path, **config: Any) -> Took:
    """One run of the workflow into `place`/out."""
    place.mkdir(parents=True)
    command = snakemake(
        "--config", f"videos={videos}", "outdir=out", *(f"{key}={value}" for key, value in config.items())
    )
    with open(place / "terminal.txt", "wb") as out:
        (_, usage), wall = timed(lambda: wait_for(command, place, out))
    return Took(wall, usage.ru_utime + usage.ru_stime)


def snakemake(*arguments: str) -> list[str]:
    where = ["--profile", REPOSITORY / "profiles" / "local", "--snakefile", REPOSITORY / "Snakefile"]
    return [sys.executable, "-m", "snakemake", *map(str, where), "--cores", str(CORES), *arguments]


def usual_run(videos: Path, place: Path) -> Took:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _, wall = timed(lambda: usual_way.run(videos_of(videos), place, CORES, CONFIG["cut"]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def short_videos(videos: Path, folder: Path, count: int, seconds: float = 8.0) -> Path:
    """Pieces of the videos, which begin at different times."""
    folder.mkdir(parents=True)
    sources = videos_of(videos)
    for number in range(count):
        source = sources[number % len(sources)]
        room = max(0.0, seconds_of(source) - seconds)
        start = room * (number // len(sources)) / max(1, (count - 1) // len(sources))
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-ss", f"{start:.3f}", "-i", source]
        command += ["-t", str(seconds), "-an", "-c:v", "libx264", "-preset", "veryfast", folder / f"{number:03d}.mp4"]
        subprocess.run(command, check=True)
    return folder


def long_videos(videos: Path, folder: Path, count: int, seconds: float) -> Path:
    """Files of so many seconds, each of which repeats one of the videos."""
    sources = videos_of(videos)
    for number in range(count):
        source = sources[number % len(sources)]
        looped = loop(source, place := folder / "looped" / f"{number}.mp4", int(seconds / seconds_of(source)) + 1)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", looped, "-t", str(seconds)]
        subprocess.run([*command, "-c", "copy", folder / place.name], check=True)
    shutil.rmtree(folder / "looped")
    return folder


def sharding(videos: Path, place: Path, rounds: int) -> None:
    """Processor time by `videos_per_shard`: how near `auto` comes to the best number."""
    sizes = ("auto", 10, 19, 25, 38, 75)
    took = {size: [] for size in sizes}
    for number in range(rounds):
        for size in sizes:
            took[size].append(whole_run(videos, place / f"{number}-{size}", videos_per_shard=size))
    cores = {size: statistics.median(run.cores for run in runs) for size, runs in took.items()}
    best = min(cores.values())
    print()
    table(
        ["videos_per_shard", "processor time, s", "of the best", "wall time, s"],
        [
            (
                size,
                f"{cores[size]:.1f}",
                f"{cores[size] / best:.2f}",
                f"{statistics.median(r.wall for r in took[size]):.1f}",
            )
            for size in sizes
        ],
    )


def starts(videos: Path, place: Path, count: int) -> None:
    """What share of the time on cores the start of jobs takes, by the plan of many such videos."""
    place.mkdir(parents=True)
    sources = videos_of(videos)
    sheet = place / "sheet.csv"
    for number in range(count):
        (place / f"{number:05d}.mp4").symlink_to(sources[number % len(sources)])
    sheet.write_text("path\n" + "".join(f"{number:05d}.mp4\n" for number in range(count)))
    command = snakemake("plan", "--config", f"videos={sheet}", "outdir=out")
    said = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
    lines = re.findall(r"^  .*(?:shards|time on cores|about).*$", said.stdout + said.stderr, re.MULTILINE)
    print(f"\nThe plan of {count:,} such videos:\n\n" + "\n".join(lines))


# --- text -------------------------------------------------------------------------------------------------------------


def bench_text(args: argparse.Namespace, place: Path) -> None:
    """Processor time of the text detector per frame, with and without onnxruntime's arena, frame by frame in turn."""
    import av
    import rapidocr

    from clipmill.base.workers import tune_for_pictures
    from clipmill.scores.text.rapidocr import RapidOcr

    load, option = rapidocr.RapidOCR, "EngineConfig.onnxruntime.enable_cpu_mem_arena"
    detectors = {}
    for arena in (False, True):
        rapidocr.RapidOCR = lambda params, arena=arena: load(params=params | {option: arena})
        detectors[arena] = RapidOcr(frames=1)
        detectors[arena].load()
    tune_for_pictures()
    rows = []
    for video in videos_of(args.videos):
        took = {False: [], True: []}
        same = True
        with av.open(str(video)) as container:
            shown = enumerate(container.decode(video=0))
            frames = [frame.to_ndarray(format="bgr24") for number, frame in shown if number % EVERY == 0]
        for picture in frames:
            found = {}
            for arena, detector in detectors.items():
                begin = time.process_time()
                found[arena] = detector.prepare([picture])[0].boxes
                took[arena].append(1000 * (time.process_time() - begin))
            same = same and np.array_equal(found[False], found[True])
        without, with_arena = (statistics.median(took[arena]) for arena in (False, True))
        rows.append((video.name, len(frames), f"{without:.0f}", f"{with_arena:.0f}", "yes" if same else "no"))
    table(["video", "frames", "without, ms", "with, ms", "same boxes"], rows)


# --- decoding ---------------------------------------------------------------------------------------------------------


def bench_decode(args: argparse.Namespace, place: Path) -> None:
    """A decode job over ffmpeg's plain decoding, with the same threads, each video looped ten times."""
    rows = []
    for video in videos_of(args.videos):
        folder = place / video.stem
        looped = loop(video, folder / "videos" / f"looped{video.suffix}", 10)
        plain = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-threads", str(CORES), "-i", looped]
        plain += ["-map", "0:v:0", "-f", "null", "-"]
        theirs, ours = [], []
        for number in range(args.rounds):
            theirs.append(timed(lambda plain=plain: subprocess.run(plain, check=True))[1])
            ours.append(timed(lambda folder=folder, n=number: decode_folder(folder / "videos", folder / f"out{n}"))[1])
        pairs = sorted(one / other for one, other in zip(ours, theirs, strict=True))
        ratio = statistics.median(ours) / statistics.median(theirs)
        spread = f"{pairs[0]:.2f}–{pairs[-1]:.2f}"
        rows.append((video.name, statistics.median(theirs), statistics.median(ours), f"{ratio:.2f}", spread))
    table(["video, ten times", "ffmpeg -f null, s", "decode job, s", "ratio", "rounds"], rows)


def decode_folder(videos: Path, outdir: Path, threads: int = CORES) -> list[dict[str, Any]]:
    """A decode job of all videos, or of one file. Returns the rows of VIDEOS."""
    update_index(videos, outdir, 1000)
    listed = read_json_lines(Paths(outdir).shard("000000"))
    rows, _ = decode_shard(listed, outdir, "000000", DecodeSettings(**CONFIG["decode"]), threads, 1.0)
    assert not any(row.get("error") for row in rows), rows
    return rows


def loop(video: Path, target: Path, times: int) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-stream_loop", str(times - 1)]
    subprocess.run([*command, "-i", video, "-map", "0:v:0", "-c", "copy", target], check=True)
    return target


def bench_sound(args: argparse.Namespace, place: Path) -> None:
    """Processor time of decode jobs without sound, with its scores, and with speech, in turn: the least of rounds."""
    kinds = {"no sound": {}, "scores": {"sound": True}, "scores and speech": {"sound": True, "speech": True}}
    videos = videos_of(args.videos)
    shards = {"all of them": videos} | {video.name: [video] for video in videos if has_sound(video)}
    rows = []
    for shard, (name, files) in enumerate(shards.items()):
        folder = place / str(shard) / "videos"
        folder.mkdir(parents=True)
        for file in files:
            (folder / file.name).symlink_to(file.resolve())
        took = {kind: [] for kind in kinds}
        for number in range(args.rounds):
            for kind, extras in kinds.items():
                out = folder.parent / f"{kind} {number}"
                _, usage = wait_for(decode_command(folder, out, **extras), folder, subprocess.DEVNULL, JOB_ENVIRONMENT)
                took[kind].append(usage.ru_utime + usage.ru_stime)
                shutil.rmtree(out)
        without, *others = (min(seconds) for seconds in took.values())
        more = (f"{seconds:.2f} ({seconds / without - 1:+.1%})" for seconds in others)
        rows.append((name, sum(map(seconds_of, files)), without, *more))
    table(["videos", "seconds", *(f"{kind}, s" for kind in kinds)], rows)
    print("\nThe sound by itself, the least of ten times:\n")
    loud = [video for video in videos if has_sound(video)]
    rows = [(video.name, seconds_of(video), *sound_alone(video, place / "sound.parquet")) for video in loud]
    table(["video", "seconds", *(f"{kind}, s" for kind in [*kinds][1:])], rows)


def sound_alone(video: Path, path: Path, times: int = 10) -> list[float]:
    """Least processor time to read, decode and measure the sound of a video in a process that has done it before.

    First without speech, then with it.
    """
    vad = SileroVad()
    took = {None: [], vad: []}
    for _ in range(times):
        for speech, seconds in took.items():
            begin = time.process_time()
            with open_video(video) as container, SoundMeter(container, video, path, {}, speech) as meter:
                for packet in container.demux(sound_stream(container)):
                    meter.packet(packet, False)
            seconds.append(time.process_time() - begin)
    return [min(seconds) for seconds in took.values()]


def has_sound(video: Path) -> bool:
    with open_video(video) as container:
        return sound_stream(container) is not None


def decode_command(videos: Path, outdir: Path, **extras: bool) -> list[Any]:
    """A decode job with one thread, to be run in JOB_ENVIRONMENT. `extras`: what it makes beside the rest."""
    update_index(videos, outdir, 1000)
    command = [sys.executable, REPOSITORY / "scripts" / "decode.py", "--outdir", outdir, "--shard", "000000"]
    command += ["--settings", json.dumps({**CONFIG["decode"], **extras}), "--threads", "1"]
    command += ["--videos", Paths(outdir).shard("000000")]
    return [*command, "--output", outdir / "videos.parquet", "--parts", outdir / "parts.parquet"]


def bench_memory(args: argparse.Namespace, place: Path) -> None:
    """Peak resident memory of a decode worker: the same video six minutes and one hour long."""
    video = videos_of(args.videos)[0]
    rows = []
    for minutes in (6, 60):
        folder = place / str(minutes)
        loop(video, folder / "videos" / "looped.mp4", minutes * 60 // max(1, round(seconds_of(video))))
        command = decode_command(folder / "videos", folder / "out")
        rows.append((f"{minutes} minutes", f"{peak_memory(command):.0f}"))
    table(["length", "MiB"], rows)


def seconds_of(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        return container.duration / av.time_base


def peak_memory(command: list[Any]) -> float:
    """MiB of the largest process among `command` and its children, its own peak (not what it took over by a fork)."""
    import psutil

    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL, env=JOB_ENVIRONMENT)
    peak = 0
    while process.poll() is None:
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            try:
                peak = max(peak, one.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    assert process.returncode == 0
    return peak / 2**20


# --- plans ------------------------------------------------------------------------------------------------------------


def bench_plan(args: argparse.Namespace, place: Path) -> None:
    """Dry runs over sheets of empty files, index included, from nothing."""
    rows = []
    for count in args.listed:
        folder = place / str(count)
        per_shard = 1 if count <= 2000 else 1000
        sheet = write_sheet(folder, count)
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-n",
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--cores",
            "2",
        ]
        command += ["--config", f"videos={sheet}", "outdir=out", f"videos_per_shard={per_shard}"]
        with open(folder / "plan.txt", "wb") as out:
            (_, usage), wall = timed(lambda c=command, f=folder, o=out: wait_for(c, f, o))
        jobs = (folder / "plan.txt").read_text().rsplit("total", 1)[1].split()[0]
        rows.append((f"{count:,}", per_shard, f"{int(jobs):,}", f"{wall:.1f}", f"{usage.ru_maxrss / 1024:,.0f}"))
    table(["videos", "a shard", "jobs", "seconds", "MiB"], rows)


def write_sheet(folder: Path, count: int) -> Path:
    """A sheet of `count` files, in folders of 10,000."""
    folder.mkdir(parents=True)
    sheet = folder / "sheet.csv"
    with open(sheet, "w") as handle:
        handle.write("path\n")
        for number in range(count):
            name = f"videos/{number // 10_000:04d}/{number:08d}.mp4"
            if number % 10_000 == 0:
                (folder / name).parent.mkdir(parents=True)
            (folder / name).touch()
            handle.write(f"{name}\n")
    return sheet


def wait_for(command: list[Any], cwd: Path, output: Any, environment: dict[str, str] | None = None) -> tuple[int, Any]:
    process = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{command} failed"
    return status, usage


# --- helpers ----------------------------------------------------------------------------------------------------------


def videos_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.mp4") if path.stat().st_size)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def table(head: list[str], rows: list[tuple]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    sys.stdout.flush()


MEASUREMENTS = {
    "whole": bench_whole,
    "shares": bench_shares,
    "text": bench_text,
    "steps": bench_steps,
    "decode": bench_decode,
    "sound": bench_sound,
    "memory": bench_memory,
    "plan": bench_plan,
}

if __name__ == "__main__":
    main()
