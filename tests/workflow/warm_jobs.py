"""The tools of jobs, started from a process that has imported their packages already.

In the shells of jobs that a Snakemake of `warm` starts, `python` is a function. It asks this process for a fork, which
gets the arguments, the environment, the working directory and the open files of the shell. Nothing of clipmill is
imported before the fork, and nothing of torch.
"""

from __future__ import annotations

import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys

PYTHON = os.path.join(os.path.dirname(sys.executable), "python")
# Only where `python` is the one that runs the tests: a rule may have an environment of its own.
FUNCTION = """() {{
    if [[ $(type -P python) = {python} && $1 = *.py ]]; then
        {python} -I -S {program} {name} "$@"
    else
        command python "$@"
    fi
}}"""


def start() -> dict[str, str]:
    """Start the process, which ends with this one. In the environment that is returned each bash asks it."""
    name = f"clipmill-tools-{os.getpid()}"
    settings = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as the Snakefile has it
    subprocess.Popen([PYTHON, __file__, name], stdin=subprocess.PIPE, env=settings, cwd="/")
    return {"BASH_FUNC_python%%": FUNCTION.format(python=PYTHON, program=os.path.abspath(__file__), name=name)}


def ask(name: str, arguments: list[str]) -> int:
    """Have a tool run with `arguments`: its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"\0{name}")
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        connection.sendall(json.dumps([arguments, dict(os.environ), os.getcwd()]).encode() + b"\n")
        return int(connection.makefile().readline())


def serve(name: str) -> None:
    """Fork for each that asks, until the input of this process ends. A tool whose asker is killed is ended."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as events:
        listener.bind(f"\0{name}")
        listener.listen(64)
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(listener, selectors.EVENT_READ)
        while (key := events.select()[0][0]).fileobj is not sys.stdin:
            if key.fileobj is listener:
                connection, _ = listener.accept()
                child = fork(connection)
                events.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))
                events.register(connection, selectors.EVENT_READ, child)
            elif isinstance(key.fileobj, socket.socket):
                events.unregister(key.fileobj)
                os.kill(key.data, signal.SIGTERM)
            else:
                events.unregister(key.fd)
                os.close(key.fd)
                child, connection = key.data
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if connection in events.get_map():
                    events.unregister(connection)
                    connection.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
                connection.close()


def fork(connection: socket.socket) -> int:
    """Start the tool that is asked for: its process."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    arguments, environment, cwd = json.loads(connection.makefile().readline())
    if not (child := os.fork()):
        become_tool(arguments, environment, cwd, files)
    for file in files:
        os.close(file)
    return child


def become_tool(arguments: list[str], environment: dict[str, str], cwd: str, files: list[int]) -> None:
    """Do what `python` does with these arguments, of which the first is the tool."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    runpy.run_path(arguments[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    import av  # noqa: F401
    import cv2  # noqa: F401
    import imageio_ffmpeg  # noqa: F401
    import jinja2  # noqa: F401
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401
    import yaml  # noqa: F401

    serve(sys.argv[1])
