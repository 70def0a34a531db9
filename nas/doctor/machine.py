"""Check Python, cores, memory, GPUs and writable folders."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from nas.doctor.machine_check import Check, gib
from nas.locking import locked
from search_space.errors import UserError

OLDEST_PYTHON = (3, 10)
LEAST_MEMORY_BYTES = 2 * 2**30
"""A search on the built-in set needs about 1 GiB; Ray and larger inputs need more."""
LEAST_DISK_BYTES = 2**30
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def check_machine(runs: Path) -> list[Check]:
    """Checks this machine.

    Args:
        runs: Folder for runs. It need not exist; the check leaves nothing in it.
    """
    return [python(), cores(), memory(), gpus(), folder("runs", runs), folder("temporary", Path(tempfile.gettempdir()))]


def python() -> Check:
    """Checks the version of Python and the system."""
    found = f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return Check(name="python", found=found, state="fault", advice="next: Python 3.10 or newer")
    if platform.system() != "Linux":
        return Check(name="python", found=found, state="note", advice="tested on Linux only")
    return Check(name="python", found=found)


def cores() -> Check:
    """Checks the CPU cores that this process may use, and limits on the threads of torch."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share, found = _cpu_share(), f"{usable} of {os.cpu_count()} usable"
    threads = os.environ.get("OMP_NUM_THREADS")
    found += f", OMP_NUM_THREADS={threads}" if threads else ""
    if share is not None and share < usable:
        advice = f"next: --threads {max(1, int(share))}, because more threads would wait for each other"
        return Check(name="cores", found=f"{found}, limited to {share:g} by the container", state="note", advice=advice)
    return Check(name="cores", found=found)


def memory() -> Check:
    """Checks the memory available to this process, in GiB."""
    total, free = _memory_bytes()
    found = f"{gib(free)} free of {gib(total)}"
    if free < LEAST_MEMORY_BYTES:
        return Check(name="memory", found=found, state="note", advice="next: --batch 2, smaller inputs, one worker")
    return Check(name="memory", found=found)


def gpus() -> Check:
    """Checks for GPUs that torch can use."""
    import torch

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return Check(name="GPUs", found="; ".join(f"{each.name}, {gib(each.total_memory)}" for each in devices))
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        advice = "next: a build of torch for your driver (pytorch.org/get-started), in this environment"
        return Check(name="GPUs", found=f"torch {torch.__version__} does not see the GPU", state="note", advice=advice)
    return Check(name="GPUs", found="none; trainings run on the CPU")


def folder(name: str, path: Path) -> Check:
    """Checks that a folder, or its nearest existing parent, is writable, takes locks and links, and has free space."""
    existing = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    elsewhere = "another folder with --out" if name == "runs" else "another folder in TMPDIR"
    try:
        with tempfile.TemporaryDirectory(prefix=".nas-doctor-", dir=existing) as scratch:
            _use(Path(scratch))
        free = shutil.disk_usage(existing).free
    except (OSError, UserError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        advice = f"next: {elsewhere}, or fix its permissions"
        return Check(name=f"{name} folder", found=f"{path}: {reason}", state="fault", advice=advice)
    found = f"{path}: writable, locks work, {gib(free)} free"
    if free < LEAST_DISK_BYTES:
        return Check(name=f"{name} folder", found=found, state="note", advice=f"next: free some space, or {elsewhere}")
    return Check(name=f"{name} folder", found=found)


def _use(scratch: Path) -> None:
    """Does in a folder what a run does: takes a lock, makes a symbolic link (as the journal does), renames a file."""
    with locked(scratch, "another process holds it"):
        (scratch / "part").write_text("whole")
        os.replace(scratch / "part", scratch / "whole")
        (scratch / "link").symlink_to(scratch / "whole")


def _cpu_share() -> float | None:
    """Returns the core limit of the container, or None without one."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else float(quota) / float(period)


def _memory_bytes() -> tuple[float, float]:
    """Returns the total and the free bytes of the machine or its container."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        total, free = (1024.0 * int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        total = free = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit, used = (float((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return total, free
    return min(total, limit), min(free, limit - used)
