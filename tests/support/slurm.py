"""A real Slurm of one node on this machine, with a configuration, state and daemons of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAEMONS = ("munged", "slurmctld", "slurmd")
PLUGIN = "snakemake_executor_plugin_slurm"

# Without accounting, as small clusters are. The GPU is a stand-in: nothing here computes on it.
CONFIGURATION = """\
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=600
KillWait=30
SchedulerParameters=batch_sched_delay=1,sched_interval=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=60000 Gres=gpu:1 State=UNKNOWN
PartitionName=tiny Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
GPU = "NodeName={host} Name=gpu File=/dev/zero\n"


def python_with_plugin() -> Path | None:
    """The interpreter that has the plugin: that of `make slurm-env`, or this one; None if there is none."""
    own = ROOT / ".venv-slurm/bin/python"
    if own.exists():
        return own
    return Path(sys.executable) if importlib.util.find_spec(PLUGIN) else None


def what_is_missing() -> str | None:
    """Why no Slurm can be started here, or None."""
    missing = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)} here (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root"
    if python_with_plugin() is None:
        return f"{PLUGIN} is not installed (make slurm-env)"
    return None


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Look again and again until something holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


@dataclass(frozen=True)
class Job:
    """A job in the queue, by Slurm's number. comment: the rule and its wildcards. state: such as `RUNNING`."""

    number: str
    state: str
    comment: str


@dataclass(frozen=True)
class Cluster:
    """The running Slurm, whose configuration is in a folder."""

    folder: Path

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Variables with what a command needs to reach it."""
        path = os.pathsep.join([str(self.folder / "bin"), base.get("PATH", os.defpath)])
        return {**base, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """Output of one of Slurm's commands, which must end well."""
        done = subprocess.run(command, env=self.environment(), check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self, rule: str = "", wildcards: str = "") -> list[Job]:
        """All jobs of a rule, those that ended too, in their order; `wildcards` is a part of them."""
        lines = self.run("squeue", "--noheader", "--states=all", "--sort=i", "--format=%i|%T|%k").splitlines()
        jobs = [Job(*line.split("|", 2)) for line in lines]
        return [job for job in jobs if job.comment.startswith(f"rule_{rule}") and wildcards in job.comment]

    def set_node(self, state: str) -> None:
        self.run("scontrol", "update", f"NodeName={socket.gethostname()}", f"State={state}", "Reason=test")

    def details(self, job: Job) -> str:
        return self.run("scontrol", "show", "job", job.number)

    def cancel_all(self) -> None:
        """End all jobs, which are no children of this process."""
        self.run("scancel", "--user=root")
        wait_until(self.settled, "the jobs end", 60)

    def settled(self) -> bool:
        """Whether no job waits or runs."""
        return not self.run("squeue", "--noheader").strip()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Slurm with an idle node, until the block ends; its own processes are ended, and no others."""
    # A socket's path is short, pytest's folders are long.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Cluster(folder)
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    places = [f"--{name}={folder}/munge.{ending}" for name, ending in files.items()]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder)
        stack.enter_context(_daemon(cluster, "munged", "--foreground", "--force", *places))
        wait_until((folder / "munge.socket").exists, "munged listens", 20)
        stack.enter_context(_daemon(cluster, "slurmctld", "-D"))
        stack.enter_context(_daemon(cluster, "slurmd", "-D"))
        wait_until(lambda: _is_idle(cluster), "the node is idle", 60)
        stack.callback(cluster.cancel_all)
        yield cluster


def _configure(folder: Path) -> None:
    folder.chmod(0o755)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    host, (controller, node) = socket.gethostname(), _free_ports()
    text = CONFIGURATION.format(host=host, folder=folder, controller=controller, node=node)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(GPU.format(host=host))
    # The plugin takes all of Slurm's variables from a job before its `srun`, this one, too.
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)


@contextmanager
def _daemon(cluster: Cluster, name: str, *arguments: str) -> Iterator[None]:
    program = shutil.which(name, path=_path())
    assert program
    with (cluster.folder / f"{name}.out").open("w") as output:
        process = subprocess.Popen(
            [program, *arguments],
            env=cluster.environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_idle(cluster: Cluster) -> bool:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"],
        env=cluster.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip() == "idle"


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _path() -> str:
    """PATH with the folders of daemons, which a user's often lacks."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
