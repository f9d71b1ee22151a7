"""A SLURM of one node for tests: plain processes on the loopback, no systemd, no root, fake GPUs.

Needs Debian's packages slurmctld, slurmd, slurm-client and munge, and a host name that stands for 127.0.0.1. Nothing
outside its folder is touched. Its GPUs are links to /dev/null: SLURM hands them out as it hands out real ones.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
# The packages put the daemons where an ordinary user's PATH does not look.
SBIN = "/usr/sbin:/sbin"
COMMANDS = ("sinfo", "squeue", "sbatch", "srun", "scancel", "scontrol", "sacct", "sacctmgr", "sshare")
PACKAGES = "slurmctld slurmd slurm-client munge"
LOOPBACK = "127.0.0.1"
LONGEST_SOCKET = 107
CPUS, GPUS, MEMORY_MB = 32, 2, 64_000

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}({address})
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
SlurmdPort={next_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
AccountingStorageType=accounting_storage/none
# Memory is enforced without cgroups: the limit is looked at every two seconds.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MailProg=/bin/true
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr={address} CPUs={cpus} RealMemory={memory} Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE DefMemPerCPU=500 State=UP
"""


def why_not(folder: Path) -> str | None:
    """Return why no SLURM can be brought up here, and what to do; None if one can."""
    missing = [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no SLURM here (lacks {', '.join(missing)}): apt-get install {PACKAGES}"
    address = _address()
    if address != LOOPBACK:
        host = socket.gethostname().split(".")[0]
        return f"SLURM: the host name {host} stands for {address}: put the line `{LOOPBACK} {host}` first in /etc/hosts"
    if len(f"{folder}/munge.sock") > LONGEST_SOCKET:
        return f"SLURM: {folder} is too long for the name of a socket: put the checkout nearer to the root"
    return None


class OneNodeSlurm:
    """A running cluster. ``path`` is what ``PATH`` has to begin with for its commands to be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        self.name = f"test{os.getpid()}"
        self.path = str(folder / "bin")
        self._environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def up(self) -> None:
        """Start the daemons and wait until jobs can run."""
        self._write_files()
        self._start(
            "munged",
            "--force",  # it dislikes folders that are closed to others, as those of tests are
            f"--socket={self.folder}/munge.sock",
            f"--key-file={self.folder}/munge.key",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        wait_until(lambda: (self.folder / "munge.sock").exists(), "munged")
        self._start("slurmctld", "-f", f"{self.folder}/slurm.conf")
        wait_until(lambda: "UP" in self.command("scontrol", "ping", check=False), "slurmctld")
        self.start_node()

    def start_node(self) -> None:
        """Start the node's daemon and wait until the node takes jobs."""
        self._start("slurmd", "-f", f"{self.folder}/slurm.conf")
        wait_until(lambda: self.node_state() in ("idle", "mixed", "allocated"), "slurmd")

    def kill_node(self) -> None:
        """Let the node die: its daemon and all that runs on it, at once."""
        jobs = [process for process in psutil.process_iter() if self._is_of_a_job(process)]
        steps = [parent for process in jobs for parent in process.parents() if parent.name().startswith("slurmstepd")]
        pid = self._pid("slurmd")
        for process in [*([] if pid is None else [psutil.Process(pid)]), *steps, *jobs]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        (self.folder / "slurmd.pid").unlink(missing_ok=True)

    def down(self) -> None:
        """Cancel all jobs and stop the daemons, by their process numbers."""
        if self._pid("slurmctld") is not None:
            self.command("scancel", "--user", getpass.getuser(), check=False)
            running = ("squeue", "--noheader", "--states", "RUNNING,COMPLETING", "--format", "%A")
            wait_until(lambda: not self.command(*running, check=False).strip(), "the end of all jobs", raises=False)
        for name in reversed(DAEMONS):
            pid = self._pid(name)
            if pid is None:
                continue
            process = psutil.Process(pid)
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                process.terminate()
                process.wait(15)
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run one of SLURM's commands and return what it printed."""
        done = subprocess.run(arguments, env=self._environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done.stdout

    def node_state(self) -> str:
        """Return what SLURM says of its node: idle, mixed, allocated, down, ..."""
        return self.command("sinfo", "--noheader", "--format", "%T", check=False).strip()

    def jobs(self) -> list[dict[str, str]]:
        """Return SLURM's own record of every job since the cluster came up, oldest first."""
        printed = self.command("scontrol", "--oneliner", "--details", "show", "jobs", check=False)
        lines = [line for line in printed.splitlines() if line.startswith("JobId=")]
        records = [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines]
        return sorted(records, key=lambda record: int(record["JobId"]))

    def jobs_of(self, rule: str) -> list[dict[str, str]]:
        """Return the records of a rule's jobs; the plugin names the rule in the comment."""
        return [job for job in self.jobs() if job.get("Comment", "").split("_wildcards_")[0] == f"rule_{rule}"]

    def _write_files(self) -> None:
        for name in ("state", "spool", "bin", "dev"):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        key.write_bytes(secrets.token_bytes(1024))
        port, next_port = _free_ports()
        conf = SLURM_CONF.format(
            name=self.name,
            host=self.host,
            address=LOOPBACK,
            user=getpass.getuser(),
            folder=self.folder,
            port=port,
            next_port=next_port,
            cpus=CPUS,
            gpus=GPUS,
            memory=MEMORY_MB,
        )
        (self.folder / "slurm.conf").write_text(conf, encoding="utf-8")
        # The other versions of the plugin look for a file system that containers often lack.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")
        gpus = []
        for number in range(GPUS):
            device = self.folder / "dev" / f"gpu{number}"
            device.symlink_to("/dev/null")
            gpus.append(f"Name=gpu Type=fake File={device}\n")
        (self.folder / "gres.conf").write_text("".join(gpus), encoding="utf-8")
        # Snakemake's job step strips SLURM_* from the environment, and SLURM_CONF with it.
        for name in COMMANDS:
            wrapper = self.folder / "bin" / name
            real = shutil.which(name, path=_path())
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {real} "$@"\n', encoding="utf-8")
            wrapper.chmod(0o755)

    def _start(self, *arguments: str) -> None:
        done = subprocess.run(arguments, env=self._environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise AssertionError(f"{arguments}: {done.stdout}{done.stderr}")

    def _pid(self, daemon: str) -> int | None:
        """Return a daemon's process number, if it runs and is this cluster's."""
        try:
            pid = int((self.folder / f"{daemon}.pid").read_text(encoding="utf-8"))
            return pid if self._is_mine(psutil.Process(pid)) else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def _is_of_a_job(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("SLURM_CLUSTER_NAME") == self.name
        except psutil.Error:
            return False

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return f"{self.folder}/" in " ".join(process.cmdline()) or process.environ().get(
                "SLURM_CONF", ""
            ).startswith(f"{self.folder}/")
        except psutil.Error:
            return False


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 60.0, raises: bool = True) -> None:
    """Wait until a condition holds; fail, naming what was waited for, if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            if raises:
                raise AssertionError(f"waited {seconds:g} s in vain for {what}")
            return
        time.sleep(0.1)


def _path() -> str:
    return f"{os.environ['PATH']}:{SBIN}"


def _address() -> str | None:
    try:
        return socket.gethostbyname(socket.gethostname().split(".")[0])
    except OSError:
        return None


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind((LOOPBACK, 0))
        return one.getsockname()[1], other.getsockname()[1]
