"""The ffmpeg that cuts clips is checked before a run: a wrong one ends the start with a line that says what to do."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from clipmill.base.errors import SetupError
from clipmill.cut import program
from clipmill.decode import deinterlace

CUT = Path(program.__file__).parent
VERSION = "ffmpeg version 7.0\nlibavcodec     61.  3.100 / 61.  3.100\n"
EVERYTHING = {kind: "".join(f" V....D {name} of a kind\n" for name in names) for kind, names in program.NEEDED.items()}


def fake(path: Path, version: str = VERSION, listed: dict[str, str] = EVERYTHING) -> Path:
    """A program that answers like ffmpeg."""
    answers = {"version": version, **listed}
    cases = "\n".join(f"*-{option}*) cat <<'END'\n{answer}\nEND\n;;" for option, answer in answers.items())
    path.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\nesac\n')
    path.chmod(0o755)
    return path


def test_the_program_of_the_package_is_good():
    program.check_ffmpeg()


def test_a_build_from_git_with_all_parts_is_good(tmp_path: Path, monkeypatch):
    exe = fake(tmp_path / "ffmpeg", VERSION.replace("7.0", "N-117001-g5a1b"))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(exe))
    program.check_ffmpeg()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, r"cannot be run \(No such file or directory\)"),
        (lambda path: path.mkdir(), r"cannot be run \(Permission denied\)"),
        (lambda path: path.write_text("no program"), r"cannot be run \(Permission denied\)"),
        (lambda path: fake(path).write_text("no program"), r"cannot be run \(Exec format error\)"),
        (lambda path: fake(path, "ffprobe version 7.0\n"), "is another program"),
        (lambda path: fake(path, ""), "is another program"),
        (
            lambda path: fake(path, "ffmpeg version 4.4.2\nlibavcodec     58.134.100 /"),
            "is version 4.4.2, 6.1 or newer",
        ),
        (
            lambda path: fake(path, "ffmpeg version n6.0.1\nlibavcodec     60.  3.100 /"),
            "is version n6.0.1, 6.1 or newer",
        ),
        (
            lambda path: fake(path, listed={**EVERYTHING, "encoders": " V....D libx264rgb x\n A....D aac x\n"}),
            r"without parts that cutting needs \(encoders: libx264\)",
        ),
        (
            lambda path: fake(path, listed={"encoders": EVERYTHING["encoders"], "filters": "", "bsfs": "setts\n"}),
            "filters: avgblur, .*, vstack",
        ),
    ],
)
def test_a_wrong_program_is_told_with_what_to_do(tmp_path: Path, monkeypatch, make, told: str):
    exe = tmp_path / "ffmpeg"
    make(exe)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(exe))
    with pytest.raises(SetupError, match=rf"^ffmpeg: {re.escape(str(exe))} .*{told}.*; unset IMAGEIO_FFMPEG_EXE"):
        program.check_ffmpeg()


def test_a_program_that_never_answers(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(program, "ANSWER_SECONDS", 0.1)
    exe = tmp_path / "ffmpeg"
    exe.write_text("#!/bin/sh\nexec sleep 60\n")
    exe.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(exe))
    with pytest.raises(SetupError, match="did not answer in 0.1 s"):
        program.check_ffmpeg()


def test_a_full_machine_is_not_taken_for_a_wrong_program(monkeypatch):
    def full(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(OSError, match="Too many open files"):
        program.run_ffmpeg([])


def test_the_filters_that_are_asked_for_are_those_that_cutting_names():
    files = [*CUT.glob("*.py"), Path(deinterlace.__file__)]
    code = "".join(path.read_text() for path in files if path.name != "program.py")
    named = set(re.findall(r"(?:\.filter(?:_multi_output)?|apply)\(\s*\"(\w+)\"", code))
    assert len(named) > 10
    assert named <= set(program.NEEDED["filters"])
    assert [name for name in program.NEEDED["filters"] if f'"{name}"' not in code] == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["-frames:v", "1", "-f", "null", "-"], 0), (["-vf", "crop=999:999", "-f", "null", "-"], None)],
)
def test_a_program_that_reads_no_further_is_no_error_of_the_writer(arguments, status):
    """It may have enough, or have failed: it says so itself."""

    def write(pipe: program.Pipe) -> None:
        with av.open(pipe, "w", format="nut") as target:
            stream = target.add_stream("rawvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
            for number in range(60):
                frame = av.VideoFrame(320, 180, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                target.mux(stream.encode(frame))

    result = program.run_ffmpeg(["-v", "error", "-f", "nut", "-i", "pipe:0", *arguments], write)
    assert result.returncode == status if status is not None else result.returncode != 0
    assert bool(result.stderr) == (status is None)
