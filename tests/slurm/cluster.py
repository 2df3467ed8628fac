"""A SLURM cluster on one machine: the real daemons, four nodes that are only claimed, and GPUs that are not there.

    python tests/slurm/cluster.py start FOLDER    makes FOLDER and starts the cluster; prints what to set to use it
    python tests/slurm/cluster.py stop FOLDER     ends its daemons and its jobs, and removes FOLDER

Nodes c1 and c2 are the partition `cpu`, nodes g1 and g2 with two GPUs each, of one model a node, the partition `gpu`.
All files lie in the folder, all ports are on the loopback device, and no accounting is kept. Needs no cgroups, and no
root where there are terminals to stand for GPUs. SLURM hands out GPUs, CPUs and memory as always, but only use of
memory is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
INSTALL = "apt install munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins"
CPU_NODES, GPU_NODES, GPUS_A_NODE = ("c1", "c2"), {"g1": "a100", "g2": "h100"}, 2  # GPUs by their model
NODES = (*CPU_NODES, *GPU_NODES)
CPUS, MEMORY = 2, 8000  # that a node claims to have; MB
START_SECONDS = 60
DAEMONS = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])  # not in every user's PATH


def search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), DAEMONS])


def missing() -> str | None:
    """Why no cluster can be started here; None where one can."""
    lacking = [name for name in NEEDED if shutil.which(name, path=search_path()) is None]
    if lacking:
        return f"SLURM is not installed ({', '.join(lacking)} not found); {INSTALL}"
    return None


@dataclass(frozen=True)
class Job:
    """A job in the controller's own record."""

    number: int
    comment: str  # rule and shard, as the plugin writes them
    state: str
    partition: str
    nodes: str
    start: datetime | None
    end: datetime | None
    minutes: int  # time limit
    memory: str
    gpus: int
    output: Path
    name: str

    @classmethod
    def read(cls, text: str) -> Job:
        """From a job's lines of `scontrol show job --details`."""

        def value(key: str) -> str:
            found = re.search(rf"(?:^|\s){key}=(.*?)(?=\s[\w:/]+=|$)", text, re.MULTILINE)
            return found[1].strip() if found else ""

        state = value("JobState")
        days, hours, minutes = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):\d+", value("TimeLimit")).groups()
        return cls(
            number=int(value("JobId")),
            comment=value("Comment"),
            state=state,
            partition=value("Partition"),
            nodes=value("NodeList"),
            start=moment(value("StartTime")),
            # A job that is COMPLETING has a time, but not yet the state that stays.
            end=None if state == "COMPLETING" else moment(value("EndTime")),
            minutes=(int(days or 0) * 24 + int(hours)) * 60 + int(minutes),
            memory=value("MinMemoryNode"),
            gpus=int(gres[1]) if (gres := re.fullmatch(r"gpu:(?:\w+:)?(\d+)", value("JOB_GRES"))) else 0,
            output=Path(value("StdOut")),
            name=value("JobName"),
        )


def moment(text: str) -> datetime | None:
    return None if text in ("", "Unknown", "None") else datetime.fromisoformat(text)


@dataclass
class Cluster:
    """A cluster in a folder of its own, whether it runs or not."""

    folder: Path

    # --- what a user of it needs --------------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> dict[str, str]:
        """The environment variables that make SLURM's commands talk to this cluster."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(self.folder / "bin"), search_path()]),
        }

    def call(self, *command: str, check: bool = True) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.settings}, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> list[Job]:
        """All jobs that there ever were, in the order of their numbers."""
        told = self.call("scontrol", "--details", "show", "job", check=False)
        return sorted(map(Job.read, re.findall(r"^JobId=.*?(?=^JobId=|\Z)", told, re.M | re.S)), key=lambda j: j.number)

    def running(self, comment: str) -> Job | None:
        """The running job of a rule and shard, if there is one."""
        return next((job for job in self.jobs() if job.comment == comment and job.state == "RUNNING"), None)

    def processes(self, job: Job) -> dict[int, str]:
        """The processes of a job, and their command lines: all that have its number in their environment."""
        return {pid: command_line(pid) for pid in all_processes() if self._belongs(pid, f"SLURM_JOB_ID={job.number}")}

    def kill_node(self, node: str) -> None:
        """As if its power failed: the node's daemon and all that runs on it are gone at once."""
        on_it = [job for job in self.jobs() if job.nodes == node and job.state == "RUNNING"]
        kill(self._daemons(f"slurmd.{node}"), signal.SIGKILL)
        for job in on_it:
            kill(self._step_daemons(job), signal.SIGKILL)
            kill(self.processes(job), signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start a node, and wait until it takes jobs."""
        self._daemon("slurmd", "-N", node)
        self._wait(lambda: self.call("sinfo", "-h", "-n", node, "-o", "%T").split()[:1] == ["idle"], f"node {node}")

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all daemons, and wait until every node takes jobs."""
        self.folder.mkdir()
        self.folder.chmod(0o755)  # munge's clients must reach its socket, whoever they are
        for name in ("bin", "log", "state", "run", "devices", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self._write_config()
        (self.folder / "munge.key").write_bytes(os.urandom(256))
        (self.folder / "munge.key").chmod(0o400)
        run, log = self.folder / "run", self.folder / "log"
        self._daemon(
            "munged",
            f"--key-file={self.folder / 'munge.key'}",
            f"--socket={run / 'munge.socket'}",
            f"--pid-file={run / 'munged.pid'}",
            f"--seed-file={run / 'munged.seed'}",
            f"--log-file={log / 'munged.log'}",
        )
        self._daemon("slurmctld")
        for node in NODES:
            self._daemon("slurmd", "-N", node)
        self._wait(lambda: self.call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES), "all nodes")

    def stop(self) -> None:
        """End the daemons and whatever their jobs have left, and remove the folder."""
        if not (self.folder / "slurm.conf").exists():
            return
        if self._daemons("slurmctld"):
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.call("scancel", *map(str, [job.number for job in self.jobs() if job.end is None]), check=False)
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged"):
            end(self._daemons(name))
        left = [pid for pid in all_processes() if self._belongs(pid)]
        kill(left, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _daemon(self, *command: str) -> None:
        """Start a daemon, which goes into the background by itself."""
        with open(self.folder / "log" / "starts.log", "ab") as said:
            done = subprocess.run(
                command,
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} did not start\n{self._complaints()}")

    def _wait(self, there: Callable[[], bool], what: str) -> None:
        end_of_wait = time.monotonic() + START_SECONDS
        while time.monotonic() < end_of_wait:
            with contextlib.suppress(RuntimeError):
                if there():
                    return
            time.sleep(0.2)
        raise RuntimeError(f"gave up waiting for {what}\n{self._complaints()}")

    def _complaints(self) -> str:
        lines = [line for log in self.folder.glob("log/*.log") for line in log.read_text(errors="replace").splitlines()]
        return "\n".join(line for line in lines if re.search("error|fatal", line, re.IGNORECASE))

    # --- its configuration --------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        folder, user, host = self.folder, subprocess.getoutput("id -un"), socket.gethostname().partition(".")[0]
        controller, *ports = free_ports(1 + len(NODES))
        options = {
            "ClusterName": "clipmill",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": controller,
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthType": "auth/munge",
            "CryptoType": "crypto/munge",
            "AuthInfo": f"socket={folder / 'run' / 'munge.socket'}",
            "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",  # loopback only
            "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool" / "%n",
            "SlurmctldPidFile": folder / "run" / "slurmctld.pid",
            "SlurmdPidFile": folder / "run" / "slurmd.%n.pid",
            "SlurmctldLogFile": folder / "log" / "slurmctld.log",
            "SlurmdLogFile": folder / "log" / "slurmd.%n.log",
            # Nothing that would need cgroups, or as many CPUs as are claimed.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SlurmdParameters": "config_overrides",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            # Memory is measured, and a job above its request killed.
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=2",
            "JobAcctGatherParams": "OverMemoryKill",
            # A dead node is noticed, and a job ended, within seconds.
            "SchedulerParameters": "sched_interval=2,bf_interval=2,batch_sched_delay=0",
            "SlurmctldTimeout": 30,
            "SlurmdTimeout": 10,
            "KillWait": 5,
            "ReturnToService": 2,
            # As on many clusters there is no accounting; the controller itself remembers all jobs for the tests.
            "AccountingStorageType": "accounting_storage/none",
            "MinJobAge": 7200,
            "GresTypes": "gpu",
        }
        lines = [f"{key}={value}" for key, value in options.items()]
        for node, port in zip(NODES, ports, strict=True):
            has = f"CPUs={CPUS} RealMemory={MEMORY}" + (
                f" Gres=gpu:{GPU_NODES[node]}:{GPUS_A_NODE}" if node in GPU_NODES else ""
            )
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {has}")
        for name, nodes in (("cpu", CPU_NODES), ("gpu", GPU_NODES)):
            default = "YES" if name == "cpu" else "NO"
            lines.append(
                f"PartitionName={name} Nodes={','.join(nodes)} Default={default} MaxTime=1-0 DefaultTime=10 State=UP"
            )
        (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        files = self._gpu_files()
        (folder / "gres.conf").write_text(
            "".join(
                [
                    "AutoDetect=off\n",
                    *(f"NodeName={node} Name=gpu Type={model} File={files}\n" for node, model in GPU_NODES.items()),
                ]
            )
        )
        # The daemon of a node loads a plugin for cgroups even where none is used, and may stop at its own choice.
        version = subprocess.run(
            ["slurmd", "-V"], env={**os.environ, **self.settings}, capture_output=True, text=True, check=True
        ).stdout
        release = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
        plugin = "disabled" if release >= (23, 11) else "cgroup/v1"
        (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
        # Inside a job Snakemake calls srun without SLURM_CONF, as a cluster has its configuration in its default place.
        srun = folder / "bin" / "srun"
        real = shutil.which("srun", path=search_path())
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder / "slurm.conf"} exec {real} "$@"\n')
        srun.chmod(0o755)

    def _gpu_files(self) -> str:
        """Device files that stand for GPUs: SLURM only looks whether they are there."""
        made = [self.folder / "devices" / f"gpu{index}" for index in range(GPUS_A_NODE)]
        try:
            for path in made:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # /dev/null by another name
        except PermissionError:
            if not Path(f"/dev/tty{GPUS_A_NODE - 1}").is_char_device():
                raise RuntimeError("no right to make device files, and no terminals to stand for GPUs") from None
            return f"/dev/tty[0-{GPUS_A_NODE - 1}]"
        return f"{self.folder / 'devices' / 'gpu'}[0-{GPUS_A_NODE - 1}]"

    # --- its processes ------------------------------------------------------------------------------------------------

    def _daemons(self, name: str) -> list[int]:
        """The process of a daemon by its pid file, if it is still that daemon."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "run" / f"{name}.pid").read_text())
            if Path(f"/proc/{pid}/comm").read_text().strip() == name.partition(".")[0]:
                return [pid]
        return []

    def _step_daemons(self, job: Job) -> list[int]:
        """The processes of SLURM that look after a job."""
        title = f"slurmstepd: [{job.number}."
        return [pid for pid in all_processes() if command_line(pid).startswith(title) and self._belongs(pid)]

    def _belongs(self, pid: int, and_has: str | None = None) -> bool:
        """Whether a process is one of this cluster, or was started by a job of it."""
        if pid == os.getpid():
            return False
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            ours = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode() in environment
            in_job = any(entry.startswith(b"SLURM_JOB_ID=") for entry in environment)
            if and_has is not None:
                return ours and and_has.encode() in environment
            return ours and (in_job or Path(f"/proc/{pid}/comm").read_text().startswith("slurm"))
        return False


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command_line(pid: int) -> str:
    """A process's command line; nothing of one that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def kill(pids: Iterable[int], how: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def end(pids: list[int], patience: float = 5) -> None:
    """Ask processes to end, and kill those that do not."""
    kill(pids, signal.SIGTERM)
    limit = time.monotonic() + patience
    while any(map(lives, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    kill(filter(lives, pids), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.folder.absolute())
    if arguments.what == "stop":
        cluster.stop()
        return
    if reason := missing():
        sys.exit(reason)
    try:
        cluster.start()
    except RuntimeError as error:
        cluster.stop()
        sys.exit(str(error))
    for name, value in cluster.settings.items():
        print(f"export {name}='{value}'")


if __name__ == "__main__":
    main()
