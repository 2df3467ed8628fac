"""Real runs of the workflow on small videos, and what they print, write and run.

A `Run` is one use of clipmill: a folder of videos, an output folder and a working directory of its own. Finished runs
are dear, so a test that changes one works on a `Saved` run: always in the same place, put back as it was for each test.
"""

from __future__ import annotations

import csv
import ctypes
import itertools
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import warm
import yaml
from warm import PATIENCE

from clipmill import steps
from clipmill.demo import render
from clipmill.steps import STEPS

REPOSITORY = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
SHARD_RULES = tuple(dict.fromkeys("score_clips" if step.metric else step.rule for step in STEPS))  # embedded backends
AFTER_FILTER = tuple(step.rule for step in steps.after_filter(()))
LAST = {"export_dataset": 1, "write_report": 1}
CHECKS = {"check_embedded": 1}  # of all embedded backends, once
SIZE = (160, 120)
# Small and short videos are let through, and many that are alike.
SETTINGS = {
    "split": {"min_seconds": 0.5},
    "filters": {"area": {"min": None}},
    "text_checks": {"same_text": None},
    "videos_per_shard": 4,
}
# Small models say anything: nothing is asked of their texts.
NO_TEXT_CHECKS = {"min_words": None, "max_words": None, "cut_off": False, "refusals": False, "meta_phrases": False}
NO_TEXT_CHECKS |= {
    "thoughts": False,
    "repeated_words": None,
    "repeated_trigrams": None,
    "script": None,
    "same_text": None,
}
SMALL_MODELS_ON_THE_CPU = {step: {"gpu": 0, "mem_mb": 4000} for step in ("caption", "rewrite")}
DROP_FROM_BOUNDING_SET = 24  # prctl
PAST_MODES = (1, 2)  # the capabilities that read and write whatever a file's mode says


def whole_plan(shards: int) -> dict[str, int]:
    """Jobs by rule of a run that has everything to do."""
    return {**CHECKS, **all_of(shards)}


def all_of(shards: int) -> dict[str, int]:
    """Jobs by rule of a later run that has everything to do in so many shards: the backends have been checked."""
    return {**dict.fromkeys(SHARD_RULES, shards), **LAST}


def apart(jobs: dict[str, int]) -> dict[str, int]:
    """The same jobs, with one of its own for each score, as models and thresholds over all shards need it."""
    jobs = dict(jobs)
    return {**dict.fromkeys((step.rule for step in STEPS if step.metric), jobs.pop("score_clips")), **jobs}


def make_video(path: Path, seconds: float = 1.5, speed: float = 20, picture: str = "coffee.png", **settings) -> Path:
    """A small video of a camera moving over a photograph at `speed` pixels a second; at 0 nothing moves."""
    size, fps = settings.pop("size", SIZE), settings.pop("fps", 10)
    path.parent.mkdir(parents=True, exist_ok=True)
    shot = (render.photograph(picture), size, seconds, fps)
    frames = render.pan(*shot, speed) if speed else render.still(*shot)
    render.encode(path, frames, size, fps, **settings)
    return path


def make_shots(path: Path, *pictures: str) -> None:
    """A small video of two seconds of each photograph, one cut after the other."""
    shots = (render.pan(render.photograph(name), SIZE, 2, 10, 20) for name in pictures)
    render.encode(path, itertools.chain(*shots), SIZE, 10)


def heed_interrupts() -> None:
    """Makes this process heed Ctrl-C, which a shell makes those ignore that it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Outcome:
    """What a user sees of one call of Snakemake."""

    code: int
    output: str

    @property
    def planned(self) -> dict[str, int]:
        """Jobs by rule of the plan of a dry run; empty where there is nothing to do."""
        table = re.search(r"^job +count\n-[- ]+\n(.*?)^total +(\d+)$", self.output, re.MULTILINE | re.DOTALL)
        if table is None:
            return {}
        counts = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        assert sum(counts.values()) == int(table[2])
        counts.pop("all", None)  # the target, which has no work of its own
        return counts

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule that ran to their end."""
        done = re.findall(r"^[\d:]{8} (\w+): ([\d,]+) of [\d,]+ jobs? done in ", self.output, re.MULTILINE)
        if unfinished := re.search(r"^[\d:]{8} Not finished: (.*)$", self.output, re.MULTILINE):
            done += re.findall(r"(\w+) ([\d,]+) of", unfinished[1])
        counts = {rule: int(count.replace(",", "")) for rule, count in done}
        return {rule: count for rule, count in counts.items() if count}

    @property
    def nothing_done(self) -> bool:
        return self.code == 0 and not self.planned and not self.jobs and "Nothing to be done" in self.output


@dataclass
class Run:
    """One use of the workflow: `settings` go into its config file.

    `videos`, `below` (the output) and `start`, where Snakemake is started, lie in `place`.
    """

    place: Path
    settings: dict[str, Any] = field(default_factory=lambda: dict(SETTINGS))
    videos: str = "videos"
    below: str = "out"
    start: str = "here"
    cores: int = 2

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.workdir.mkdir(exist_ok=True)

    @property
    def folder(self) -> Path:
        """The folder of videos."""
        return self.place / "videos"

    @property
    def workdir(self) -> Path:
        """Where Snakemake is started and keeps its own records."""
        return self.place / self.start

    @property
    def said(self) -> Path:
        return self.workdir / "said.txt"

    @property
    def outdir(self) -> Path:
        return self.place / self.below

    def video(self, name: str, **settings) -> Path:
        """Make a small video in the folder."""
        return make_video(self.folder / name, **settings)

    def command(self, *arguments: str, config: Mapping[str, Any] | None = None) -> list[str]:
        """The command line; `config` is merged over the settings."""
        file = self.workdir / "my.yaml"
        settings = {"videos": str(self.place / self.videos), "outdir": f"../{self.below}", **self.settings}
        file.write_text(yaml.safe_dump(merged(settings, config or {}), allow_unicode=True), encoding="utf-8")
        return [*snakemake(), "--configfile", file.name, "--cores", str(self.cores), *arguments]

    def run(self, *arguments: str, config: Mapping[str, Any] | None = None, **options) -> Outcome:
        """Run the workflow to its end."""
        return call(self.command(*arguments, config=config), self.workdir, **options)

    def done(self, *arguments: str, config: Mapping[str, Any] | None = None) -> Outcome:
        """The same, and it must go well."""
        outcome = self.run(*arguments, config=config)
        assert outcome.code == 0, outcome.output
        return outcome

    def job(self, rule: str, shard: str, **environment: str) -> Outcome:
        """Run one job as another machine does: by a Snakemake of its own, which is told the job and not the target."""
        command = [
            *(*SNAKEMAKE, "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--configfile", "my.yaml", "--cores", "1", "--mode", "remote", "--nolock"),
            *("--target-jobs", f"{rule}:shard={shard}", "--allowed-rules", rule, "--force"),
        ]
        return call(command, self.workdir, env={**os.environ, **environment})

    @contextmanager
    def started(
        self,
        *arguments: str,
        config: Mapping[str, Any] | None = None,
        preexec_fn: Callable[[], None] = heed_interrupts,
    ) -> Iterator[subprocess.Popen]:
        """The workflow at work, printing to `said`. In the end it is killed with all its processes, by SIGKILL."""
        with open(self.said, "wb") as output:
            process = subprocess.Popen(
                self.command(*arguments, config=config),
                cwd=self.workdir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=preexec_fn,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ended(self, process: subprocess.Popen) -> Outcome:
        """What a started run said, once it has ended of itself."""
        return Outcome(process.wait(PATIENCE), self.said.read_text(encoding="utf-8"))

    def journal(self, step: str) -> list[dict[str, Any]]:
        """The lines that a step's jobs have written down so far, those of all shards."""
        files = sorted((self.outdir / "work" / "journals" / step).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in whole_lines(file)]

    def written(self, *steps: str) -> dict[str, int]:
        """How many lines each step's journals have."""
        return {step: len(self.journal(step)) for step in steps}

    def more(self, before: Mapping[str, int]) -> dict[str, int]:
        """How many lines the journals of the steps in `before` have got since."""
        return {step: count - before[step] for step, count in self.written(*before).items()}

    def train(self) -> list[dict[str, str]]:
        return json.loads((self.outdir / "dataset" / "train.json").read_text(encoding="utf-8"))

    def verdicts(self) -> list[dict[str, Any]]:
        return pq.read_table(self.outdir / "verdicts.parquet").to_pylist()

    def kept(self) -> set[str]:
        """Names of the videos that have a clip in the dataset, each of which the train file must name."""
        kept = [row for row in self.verdicts() if row["kept"]]
        assert {f"clips/{row['video_id']}/{row['clip_id']}.mp4" for row in kept} == {
            entry["file_path"] for entry in self.train()
        }
        return {row["name"] for row in kept}

    def errors(self) -> list[dict[str, str]]:
        with open(self.outdir / "errors.csv", encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))

    def summary(self) -> dict[str, Any]:
        return json.loads((self.outdir / "summary.json").read_text(encoding="utf-8"))

    def clip_files(self) -> set[str]:
        """Clip files in the dataset, as the train file would name them."""
        dataset = self.outdir / "dataset"
        return {str(path.relative_to(dataset)) for path in (dataset / "clips").rglob("*") if path.is_file()}

    def left(self) -> dict[str, bytes]:
        """All that is there for the user: each file and its bytes; the report tells times, which differ."""
        dataset = (path for path in (self.outdir / "dataset").rglob("*") if path.is_file())
        files = [*set(self.outdir.glob("*.*")) - {self.outdir / "report.html"}, *dataset]
        return {str(path.relative_to(self.outdir)): path.read_bytes() for path in files}

    def log(self, step: str) -> str:
        """What the jobs of a step said, those of all shards."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted((self.outdir / "logs" / step).iterdir()))


def of_two_photographs(place: Path) -> Run:
    """A run in one shard: cameras over a cup of coffee, which is mostly red, and over a rocket."""
    run = Run(place)
    run.settings |= {"videos_per_shard": 4}
    run.video("coffee.mp4", picture="coffee.png", speed=20)
    run.video("rocket.mp4", picture="rocket.jpg", speed=20)
    return run


@dataclass
class Saved:
    """A finished run, kept aside, from which `fresh` puts the run back in its place."""

    run: Run

    def __post_init__(self) -> None:
        self.aside = self.run.place.with_name(f"{self.run.place.name} (saved)")
        self.run.place.rename(self.aside)

    def fresh(self) -> Run:
        shutil.rmtree(self.run.place, ignore_errors=True)
        shutil.copytree(self.aside, self.run.place, symlinks=True)  # times are kept, links between clip files are not
        return replace(self.run, settings=dict(self.run.settings))


# What of a run depends on the times of its videos: keys of clips.
WITH_KEYS = ("review.html",)


def same(one: dict[str, bytes], other: dict[str, bytes], but: Collection[str] = ()) -> bool:
    """Whether two runs have left the same, `but` for files of these names; the names of what differs are told."""
    assert one.keys() == other.keys()
    differing = [name for name in one if one[name] != other[name] and name not in but]
    assert not differing, differing
    return True


def on_a_small_disk(run: Run, size: str, below: str = ".") -> tuple[Outcome, Outcome]:
    """Run twice with a folder of `outdir` on a disk of its own: one of `size`, then a large one."""
    namespaces = (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"])
    possible = [way for way in namespaces if subprocess.run([*way, "true"], capture_output=True).returncode == 0]
    if not possible:
        pytest.skip("neither root nor user namespaces: no way to mount a small disk")
    folder = run.outdir / below
    folder.mkdir(parents=True)
    disk, copy = shlex.quote(str(folder)), shlex.quote(f"{folder} copy")
    command = shlex.join(run.command())
    script = f"""
        mount -t tmpfs -o size={size} tmpfs {disk} || exit 99
        {command}; printf '\nended with %s\n' $?
        mount -o remount,size=1g {disk} || exit 99
        {command}; printf '\nended with %s\n' $?
        cp -a {disk} {copy}
    """
    shell = call([*possible[0], "sh", "-c", script], run.workdir)
    assert shell.code == 0, shell.output
    folder.rmdir()
    Path(f"{folder} copy").rename(folder)
    first, code, second, other, _ = re.split(r"\nended with (\d+)\n", shell.output)
    return Outcome(int(code), first), Outcome(int(other), second)


def snakemake() -> list[str]:
    """Snakemake with the local profile, in the Python that runs the tests."""
    return [
        *SNAKEMAKE,
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--profile", str(REPOSITORY / "profiles" / "local")),
    ]


def call(command: list[str], cwd: Path, **options) -> Outcome:
    """Run a command and catch what it prints. Snakemake is forked where that makes no difference: see `warm`."""
    if command[: len(SNAKEMAKE)] == SNAKEMAKE and warm.can_start(options):
        return Outcome(*warm.server().run(command[len(SNAKEMAKE) :], cwd))
    process = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        **options,
    )
    return Outcome(process.returncode, process.stdout.decode("utf-8"))


def on_a_terminal(command: list[str], cwd: Path) -> str:
    """What a command shows on a terminal, with its escape sequences. It must go well."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(command, cwd=cwd, stdin=side, stdout=side, stderr=side, env=environment)
    os.close(side)
    shown = b""
    with suppress(OSError):  # the end of a terminal whose last user has gone
        while part := os.read(main, 65536):
            shown += part
    os.close(main)
    assert process.wait(PATIENCE) == 0, shown
    return shown.decode("utf-8")


def merged(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with `more` over them, section by section."""
    result = dict(settings)
    for key, value in more.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return result


def whole_lines(file: Path) -> list[str]:
    """Lines of a journal; a torn last one does not count."""
    return [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def wait_for(moment: Callable[[], Any], goes_on: Callable[[], bool] = lambda: True) -> Any:
    """What `moment` returns as soon as it is true. Fails when that never comes, or `goes_on` is false before."""
    end = time.monotonic() + PATIENCE
    while not (result := moment()):
        assert goes_on(), "the run was over before the moment came"
        assert time.monotonic() < end, "the moment never came"
        time.sleep(0.02)
    return result


def explain(outcome: Outcome, *parts: str) -> str:
    """The one line of a failed run that says what is wrong: it must hold all `parts`. There is no traceback."""
    assert outcome.code != 0, outcome.output
    assert "Traceback" not in outcome.output, outcome.output
    lines = {line for line in outcome.output.splitlines() if all(part in line for part in parts)}
    assert len(lines) == 1, outcome.output  # the line of a failed job may stand there twice: at once, and at the end
    return lines.pop()


def fill(folder: Path, number: int) -> Path:
    """Video `number` of a large set: the first three of ten move, the others stand still."""
    picture = ("coffee.png", "chelsea.png", "astronaut.png")[number % 3]
    return make_video(folder / f"{number:03d}.mp4", seconds=1, speed=20 if number % 10 < 3 else 0, picture=picture)


def obey_modes() -> None:
    """Makes file modes bind root too, in this process and those that it starts."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in PAST_MODES:
            if libc.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "cannot make file modes bind root")
