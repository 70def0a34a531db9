"""The executors that come with the package, by name."""

from __future__ import annotations

from nas.executors import Executor
from nas.executors.kind import EXECUTORS, ExecutorKind, Workers

__all__ = ["EXECUTORS"]


def open_local(workers: Workers) -> Executor:
    """Opens an executor in this process, or worker processes for several jobs at a time or a time limit."""
    from nas.executors.local import LocalExecutor

    alone = (workers.workers or 1) == 1 and workers.trial_minutes is None  # only a process can be killed
    return LocalExecutor(workers.here()) if alone else open_processes(workers)


def open_processes(workers: Workers) -> Executor:
    """Opens worker processes on this machine, by default one."""
    from nas.executors.processes import ProcessExecutor

    return ProcessExecutor(workers.factory, num_workers=workers.workers or 1, trial_seconds=workers.trial_seconds)


def open_ray(workers: Workers) -> Executor:
    """Opens a Ray cluster; Ray is imported only here."""
    from nas.executors.ray import RayExecutor

    return RayExecutor(
        workers.factory,
        address=workers.address,
        num_workers=workers.workers,
        cpus_per_trial=1.0 if workers.cpus_per_trial is None else workers.cpus_per_trial,
        gpus_per_trial=workers.gpus_per_trial,
        trial_seconds=workers.trial_seconds,
    )


EXECUTORS.add("local", ExecutorKind(open=open_local, takes=("workers", "trial_minutes")))
EXECUTORS.add("processes", ExecutorKind(open=open_processes, takes=("workers", "trial_minutes")))
EXECUTORS.add(
    "ray",
    ExecutorKind(open=open_ray, takes=("workers", "address", "cpus_per_trial", "gpus_per_trial", "trial_minutes")),
)
