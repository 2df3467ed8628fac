"""The ffmpeg program that cuts clips: found, checked before a run, and run."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import IO

import imageio_ffmpeg

from clipmill.base.errors import SetupError
from clipmill.base.processes import die_with

NOT_A_PROGRAM = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.ELOOP, errno.ENOEXEC}
OLDEST, OLDEST_LIBAVCODEC = "6.1", (60, 31)  # the same release; versions of builds from git are not numbers
ANSWER_SECONDS = 30  # a program that takes longer to name its version is not ffmpeg
# What cutting asks for, by the option that lists what the program has.
NEEDED = {
    "encoders": ("aac", "libx264"),
    "filters": (
        *("avgblur", "blend", "bwdif", "crop", "format", "fps", "hflip", "lut", "lut3d", "maskedmerge", "scale"),
        *("setparams", "setpts", "setsar", "settb", "split", "tpad", "transpose", "trim", "vflip", "vstack"),
    ),
    "bsfs": ("setts",),
}
REMEDY = "unset IMAGEIO_FFMPEG_EXE to use the one of imageio-ffmpeg, or set it to a full build of ffmpeg " + OLDEST

_LIBAVCODEC = re.compile(r"^libavcodec\s+(\d+)\.\s*(\d+)\.", re.MULTILINE)
_LISTED = re.compile(r"^ *(?:[A-Z.]{2,6} +)?(\w+)(?:\s|$)", re.MULTILINE)


class Pipe:
    """ffmpeg's standard input. What is written after ffmpeg has closed it is lost."""

    def __init__(self, pipe: IO[bytes]):
        self._pipe = pipe
        self.is_closed = False

    def write(self, data: bytes) -> int:
        """Called by PyAV, in which an error would become another one."""
        try:
            self._pipe.write(data)
        except BrokenPipeError:
            self.is_closed = True
        return len(data)


def run_ffmpeg(
    arguments: list[str], write: Callable[[Pipe], None] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg, which dies with this process. Raises SetupError if there is no program to run.

    `write`: fills its standard input; what it raises is raised. `timeout`: seconds after which ffmpeg is killed and
    TimeoutExpired is raised.
    """
    process = _start(arguments, subprocess.PIPE if write else subprocess.DEVNULL)
    with process, ThreadPoolExecutor(1) as pool:
        pipe, process.stdin = process.stdin, None  # `communicate` would close it
        written = pool.submit(_fill, pipe, write) if pipe and write else None
        try:
            output, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if written:
            written.result()
    return subprocess.CompletedProcess(process.args, process.returncode, output, said)


def _start(arguments: list[str], stdin: int) -> subprocess.Popen[bytes]:
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise SetupError(
            f"no ffmpeg to run ({error}); install imageio-ffmpeg with its binary, or set IMAGEIO_FFMPEG_EXE to one"
        ) from error
    try:
        return subprocess.Popen(
            [program, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=partial(die_with, os.getpid()),
        )
    except OSError as error:
        if error.errno not in NOT_A_PROGRAM:
            raise
        raise SetupError(f"ffmpeg: {program} cannot be run ({error.strerror}); {REMEDY} or newer") from error


def _fill(pipe: IO[bytes], write: Callable[[Pipe], None]) -> None:
    """Write all to ffmpeg, which may have enough before the end: it says by itself what is wrong."""
    with suppress(BrokenPipeError), pipe:
        write(Pipe(pipe))


def check_ffmpeg() -> None:
    """Raise SetupError unless ffmpeg runs, is new enough and has all that cutting asks for."""
    program = os.environ.get("IMAGEIO_FFMPEG_EXE") or "the program of imageio-ffmpeg"
    try:
        about = _said("version")
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"ffmpeg: {program} did not answer in {ANSWER_SECONDS} s; {REMEDY} or newer") from error
    version = _LIBAVCODEC.search(about)
    if not about.startswith("ffmpeg version ") or version is None:
        raise SetupError(f"ffmpeg: {program} is another program; {REMEDY} or newer")
    if (int(version[1]), int(version[2])) < OLDEST_LIBAVCODEC:
        name = about.split()[2]
        raise SetupError(f"ffmpeg: {program} is version {name}, {OLDEST} or newer is needed; {REMEDY} or newer")
    lacking = {kind: sorted({*names} - {*_LISTED.findall(_said(kind))}) for kind, names in NEEDED.items()}
    if any(lacking.values()):
        told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in lacking.items() if names)
        raise SetupError(f"ffmpeg: {program} was built without parts that cutting needs ({told}); {REMEDY} or newer")


def _said(option: str) -> str:
    return run_ffmpeg(["-hide_banner", f"-{option}"], timeout=ANSWER_SECONDS).stdout.decode("utf-8", "replace")
