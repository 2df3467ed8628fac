"""GPUs that are not there: who holds which, what is said when there are too few, and what a full memory costs."""

from __future__ import annotations

import ctypes.util
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clipmill.base.errors import SetupError
from clipmill.models import gpu, leases

SCRIPTS = Path(leases.__file__).resolve().parents[2]
DEVICES = ["GPU-aa11", "GPU-aa22", "GPU-bb33"]


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine with three devices and no scheduler, and a folder for its locks."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(leases, "all_devices", lambda: list(DEVICES))
    monkeypatch.setattr(leases, "TRY_SECONDS", 0.02)
    for name in (leases.VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def visible() -> str | None:
    return os.environ.get(leases.VISIBLE)


# --- which devices there are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "devices"),
    [
        (None, DEVICES),
        ("", []),
        ("-1", []),
        ("1", DEVICES[1:2]),
        ("2,0", [DEVICES[2], DEVICES[0]]),
        (" 2 , 0,", [DEVICES[2], DEVICES[0]]),
        ("0,7,1", DEVICES[:1]),  # nothing that follows one that is not there
        ("0,-1,1", DEVICES[:1]),
        ("1,1", DEVICES[1:2]),
        ("GPU-bb33,0", [DEVICES[2], DEVICES[0]]),
        ("GPU-b", DEVICES[2:]),
        ("GPU-aa", []),  # two begin so
        ("GPU-cc,0", []),
        ("NoDevFiles", []),
        ("MIG-1/2/0,MIG-2", ["MIG-1/2/0", "MIG-2"]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(monkeypatch, wanted, devices):
    if wanted is not None:
        monkeypatch.setenv(leases.VISIBLE, wanted)
    assert leases.visible_devices() == devices


DRIVER = """
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { return FAIL; }
int cuDeviceGetCount(int *count) { *count = getenv("CUDA_VISIBLE_DEVICES") ? 0 : 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = 10 * index; return 0; }
int cuDeviceGetUuid(unsigned char *uuid, int device) {
    for (int place = 0; place < 16; place++) uuid[place] = device + place;
    return 0;
}
"""


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """Puts a driver of NVIDIA's interface in place, whose start ends with a status."""
    monkeypatch.undo()
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")

    def put(status: int) -> None:
        source = tmp_path / "driver.c"
        source.write_text(DRIVER)
        library = tmp_path / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", f"-DFAIL={status}", "-o", library, source], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    return put


def test_the_driver_is_asked_for_all_devices(driver, monkeypatch):
    driver(0)
    monkeypatch.setenv(leases.VISIBLE, "0")
    assert leases.all_devices() == [
        "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f",
        "GPU-0a0b0c0d-0e0f-1011-1213-141516171819",
    ]
    assert visible() == "0"
    assert leases.visible_devices() == ["GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"]


def test_a_driver_that_does_not_start_is_named(driver):
    driver(803)
    message = (
        r"^no GPU visible \(the NVIDIA driver's cuInit failed with status 803\); set resources.<step>.gpu: 0 to run"
    )
    with pytest.raises(SetupError, match=message), leases.lease(1):
        pass


@pytest.mark.skipif(ctypes.util.find_library("cuda") is not None, reason="has a driver")
def test_a_machine_without_a_driver(monkeypatch):
    monkeypatch.undo()
    message = r"^no GPU visible \(there is no NVIDIA driver \(libcuda.so.1\)\); set resources.<step>.gpu: 0 to run"
    with pytest.raises(SetupError, match=message), leases.lease(1):
        pass


# --- leases -----------------------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_no_gpu_is_leased_for_the_cpu(machine, monkeypatch):
    monkeypatch.setattr(leases, "all_devices", lambda: 1 / 0)
    with leases.lease(0) as devices:
        assert devices == []
        assert visible() is None
        assert gpu.device().type == "cpu"
    assert list(machine.iterdir()) == []


@pytest.mark.torch
@pytest.mark.parametrize("before", [None, "0,1,2", "GPU-aa11,GPU-b,GPU-aa22"])
def test_a_lease_is_what_the_process_sees(monkeypatch, before):
    if before:
        monkeypatch.setenv(leases.VISIBLE, before)
    with leases.lease(2) as devices:
        assert devices == ([DEVICES[0], DEVICES[2]] if before and "GPU" in before else DEVICES[:2])
        assert visible() == ",".join(devices)
    assert visible() == before
    with pytest.raises(KeyError), leases.lease(1) as devices:
        assert devices == DEVICES[:1]  # free again
        raise KeyError("any error")
    assert visible() == before
    assert gpu.device().type == "cpu"


@pytest.mark.parametrize(
    ("hidden", "count", "message"),
    [
        (None, 4, r"^3 of 4 GPUs visible; set resources.<step>.gpu: 0 to run on the CPU$"),
        ("1", 2, r"^1 of 2 GPUs visible \(CUDA_VISIBLE_DEVICES is '1'\); set"),
        ("", 1, r"^no GPU visible \(CUDA_VISIBLE_DEVICES is ''\); set resources.<step>.gpu: 0 to run on the CPU$"),
    ],
)
def test_too_few_devices(monkeypatch, hidden, count, message):
    if hidden is not None:
        monkeypatch.setenv(leases.VISIBLE, hidden)
    with pytest.raises(SetupError, match=message), leases.lease(count):
        pass


def test_jobs_inside_one_of_slurm_share_out_what_it_gave(machine, monkeypatch, caplog):
    """As a run of the local profile below `sbatch --gres=gpu:1` does: its second job waits for the first."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv(leases.VISIBLE, "2")
    holder = child(machine, HOLD, 1)
    assert holder.stdout.readline().split() == ["2"]
    threading.Timer(0.6, holder.stdin.close).start()
    with leases.lease(1) as devices:
        assert devices == ["2"]
        assert visible() == "2"
        assert holder.wait() == 0
        monkeypatch.setenv("SLURM_JOB_ID", "2")  # its 2 is another device
        with child(machine, HOLD, 1) as other:
            assert other.stdout.readline().split() == ["2"]
            other.stdin.close()
        monkeypatch.setenv("SLURM_JOB_ID", "1")
    holder.stdout.close()
    waits, waited, runs = caplog.messages
    assert waits.startswith("waits for 1 of 1 GPUs to be free")
    assert re.fullmatch(r"waited \d s for a GPU", waited)
    assert runs == "runs on GPU 2"
    with pytest.raises(SetupError, match="^1 of 2 GPUs visible"), leases.lease(2):
        pass


def test_a_lock_folder_of_somebody_else_is_refused(machine):
    (machine / "elsewhere").mkdir()
    (machine / f"clipmill-gpu-{os.getuid()}").symlink_to("elsewhere")
    message = r"clipmill-gpu-\d+ is not a folder of yours; remove it, or set TMPDIR"
    with pytest.raises(SetupError, match=message), leases.lease(1):
        pass


def child(folder: Path, program: str, *arguments: object) -> subprocess.Popen:
    """Another process on the machine, with its own lease."""
    start = (
        "import os, sys, time\nfrom clipmill.models import leases\n"
        f"leases.all_devices = lambda: {DEVICES}\nleases.TRY_SECONDS = 0.01\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start + program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


TAKE_TURNS = """
from pathlib import Path
for turn in range(15):
    with leases.lease(int(sys.argv[2])) as devices:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(devices)
        marks = [Path(sys.argv[1]) / device for device in devices]
        for mark in marks:
            mark.touch(exist_ok=False)  # fails where another process holds the device
        time.sleep(0.005)
        for mark in marks:
            mark.unlink()
        print(*devices)
"""


@pytest.mark.slow
def test_no_two_processes_hold_a_device(machine):
    """Five of them, some with two devices at once, on three devices."""
    (machine / "marks").mkdir()
    others = [child(machine, TAKE_TURNS, machine / "marks", count) for count in (1, 2, 1, 2, 1)]
    told = [other.communicate(timeout=60)[0] for other in others]
    assert [other.returncode for other in others] == [0] * 5
    assert [text.count("\n") for text in told] == [15] * 5
    assert len(set(" ".join(told).split())) > 1


HOLD = """
with leases.lease(int(sys.argv[1])) as devices:
    print(*devices, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_lease_of_a_dead_process_is_free_at_once(machine, monkeypatch, death):
    holder = child(machine, HOLD, 2)
    assert holder.stdout.readline().split() == DEVICES[:2]
    with leases.lease(1) as devices:
        assert devices == DEVICES[2:]
    if death:
        holder.send_signal(death)
    holder.communicate()
    monkeypatch.setattr(leases, "TRY_SECONDS", 1e9)  # the first try must do
    with leases.lease(3) as devices:
        assert devices == DEVICES


@pytest.mark.slow
def test_a_job_waits_for_devices_and_holds_none_meanwhile(machine, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(leases, "TELL_SECONDS", 0.2)
    holder = child(machine, HOLD, 2)
    holder.stdout.readline()
    waiting = child(machine, HOLD, 3)
    time.sleep(0.3)
    for _ in range(20):  # the one that is free stays free for those who want no more
        with leases.lease(1) as devices:
            assert devices == DEVICES[2:]
    waiting.kill()
    waiting.communicate()
    threading.Timer(0.7, holder.stdin.close).start()
    with leases.lease(2) as devices:  # any two: the holder lets go of one after the other
        assert len(devices) == 2 and set(devices) < set(DEVICES)
    holder.wait()
    holder.stdout.close()
    folder = machine / f"clipmill-gpu-{os.getuid()}"
    told = [line for line in caplog.messages if "waits" in line]
    assert set(told) == {f"waits for 2 of 3 GPUs to be free; their locks are in {folder}"}
    assert len(told) >= 3
    assert re.fullmatch("waited [01] s for 2 GPUs", caplog.messages[-2])
    assert caplog.messages[-1] == f"runs on GPU {', '.join(devices)}"


# --- how it computes --------------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_device_of_a_lease(monkeypatch):
    import torch

    assert gpu.device() == torch.device("cpu")
    with leases.lease(1):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(SetupError, match=r"^torch \S+ cannot use GPU GPU-aa11 .*; install a torch that fits"):
            gpu.device()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert gpu.device() == torch.device("cuda:0")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("dtype", "wanted"), [("auto", "float32"), ("fp32", "float32"), ("fp16", "float32"), ("bf16", "bfloat16")]
)
def test_precision_on_the_cpu(dtype, wanted):
    import torch

    layer = torch.nn.Linear(2, 2)
    with gpu.autocast(dtype):
        result = layer(torch.ones(1, 2))
    assert result.dtype == getattr(torch, wanted)
    assert result.is_inference()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("dtype", "has_bf16", "wanted"),
    [("auto", True, "bfloat16"), ("auto", False, "float16"), ("fp16", True, "float16"), ("bf16", False, "bfloat16"),
     ("fp32", True, None)],
)  # fmt: skip
def test_precision_on_a_gpu(monkeypatch, dtype, has_bf16, wanted):
    import torch

    seen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    monkeypatch.setattr(
        torch, "autocast", lambda kind, half, enabled: seen.append((kind, half, enabled)) or torch.inference_mode()
    )
    with leases.lease(1), gpu.autocast(dtype):
        pass
    assert seen == [("cuda", wanted and getattr(torch, wanted), wanted is not None)]


@pytest.mark.torch
def test_an_unknown_precision():
    message = "^dtype `fp8` is not known; choose from: auto, fp32, bf16, fp16$"
    with pytest.raises(SetupError, match=message), gpu.autocast("fp8"):
        pass


@pytest.mark.slow
def test_steps_without_a_model_do_not_import_torch():
    program = (
        "import sys\nfrom clipmill.models import batches\n"
        "import clipmill.models.gpu, clipmill.scores.shard, clipmill.scores.aesthetic.classic\n"
        "assert batches.in_batches(lambda items: items, [1, 2], 1) == [1, 2]\nassert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
