"""The executors that come with the package, by name."""

from __future__ import annotations

from nas.executors import Executor
from nas.executors.kind import EXECUTORS, ExecutorKind, Workers

__all__ = ["EXECUTORS"]


def open_local(workers: Workers) -> Executor:
    """Opens this process, or processes of this machine where there are to be several jobs at a time."""
    from nas.executors.local import LocalExecutor

    return open_processes(workers) if (workers.workers or 1) > 1 else LocalExecutor(workers.here())


def open_processes(workers: Workers) -> Executor:
    """Opens processes of this machine, one unless said."""
    from nas.executors.processes import ProcessExecutor

    return ProcessExecutor(workers.factory, num_workers=workers.workers or 1)


def open_ray(workers: Workers) -> Executor:
    """Opens a Ray cluster; only this imports Ray."""
    from nas.executors.ray import RayExecutor

    return RayExecutor(
        workers.factory,
        address=workers.address,
        num_workers=workers.workers,
        cpus_per_trial=1.0 if workers.cpus_per_trial is None else workers.cpus_per_trial,
        gpus_per_trial=workers.gpus_per_trial,
    )


EXECUTORS.add("local", ExecutorKind(open=open_local, takes=("workers",)))
EXECUTORS.add("processes", ExecutorKind(open=open_processes, takes=("workers",)))
EXECUTORS.add("ray", ExecutorKind(open=open_ray, takes=("workers", "address", "cpus_per_trial", "gpus_per_trial")))
