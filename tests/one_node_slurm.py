"""SLURM on this machine alone, from the packages of the distribution, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
CONFIG = """ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={first}
SlurmdPort={second}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def run_slurm(folder: Path) -> Iterator[None]:
    """Start munged, slurmctld and slurmd; the test is skipped where they are not installed or this is not root."""
    os.environ["PATH"] = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    if not all(map(shutil.which, PROGRAMS)) or os.geteuid() != 0:
        pytest.skip("needs root and SLURM: `apt-get install slurm-wlm`")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    first, second = _free_port(), _free_port()
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=socket.gethostname().split(".")[0], folder=folder, first=first, second=second))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    os.environ["SLURM_CONF"] = str(config)
    lines = (
        [
            "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed",
        ],
        ["slurmctld", "-D", "-f", str(config), "-L", str(folder / "slurmctld.log")],
        ["slurmd", "-D", "-f", str(config), "-L", str(folder / "slurmd.log")],
    )  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        for line in lines:
            started.append(subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1.0)
        _wait_until_idle(folder)
        yield
    finally:
        del os.environ["SLURM_CONF"]
        for process in reversed(started):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _wait_until_idle(folder: Path) -> None:
    until = time.monotonic() + 90
    said = ""
    while time.monotonic() < until:
        told = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
        said = told.stdout.strip() or told.stderr.strip()
        if said == "idle":
            return
        time.sleep(1.0)
    logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    raise RuntimeError(f"SLURM does not start: {said}\n{logs}")


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
