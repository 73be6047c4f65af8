"""A Slurm cluster of a test's own: one node, said to have two cores and 32 GB, and two GPUs that are empty files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# srun inside a job knows no other place, since Snakemake's plugin takes SLURM_CONF from it.
SETTINGS = Path("/etc/slurm")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=600
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=32000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed: no {', '.join(absent)}"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "needs the extra `slurm`"
    if os.geteuid() != 0:
        return "only root starts Slurm"
    if (SETTINGS / "slurm.conf").exists():
        return f"this machine is part of a cluster: {SETTINGS}/slurm.conf"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with_port = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_port]
    for one in with_port:
        one.close()
    return ports


@contextmanager
def cluster() -> Iterator[None]:
    """The cluster, up; skips the test where there can be none."""
    if problem := missing():
        pytest.skip(problem)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: that of a socket has at most 107 characters
    folder.chmod(0o755)  # as munged demands
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for gpu in ("gpu0", "gpu1"):
        (folder / gpu).touch()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    controller, node = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    (SETTINGS / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    settings = CONFIGURATION.format(folder=folder, host=host, controller=controller, node=node)
    (SETTINGS / "slurm.conf").write_text(settings)
    munge = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
    daemons = [
        ["munged", "--foreground", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("wb") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
            wait_for(lambda: (folder / "munge.socket").exists())
        wait_for(lambda: call("sinfo", "--noheader", "--format=%t") == "idle")
        yield
    finally:
        call("scancel", "--user=root")  # a job would outlive its daemon
        for daemon in reversed(started):
            daemon.terminate()
            daemon.wait(60)
        for name in ("slurm.conf", "gres.conf"):
            (SETTINGS / name).unlink()
        shutil.rmtree(folder, ignore_errors=True)


def call(*command: str) -> str:
    """What a command of Slurm prints; empty where it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_for(condition, seconds: float = 120) -> None:
    """Until ``condition()`` holds; TimeoutError if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the cluster did not get there")
        time.sleep(0.2)
