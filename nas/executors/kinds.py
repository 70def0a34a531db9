"""The executors by name: what each is opened with, and which settings of a run it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.executors import Evaluator, EvaluatorFactory, Executor
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who is to train, as the user said it; None where nothing was said."""

    factory: EvaluatorFactory
    """Makes an evaluator in a worker process; it pickles."""
    here: Callable[[], Evaluator]
    """Makes the evaluator of this process, over data that is open already."""
    workers: int | None = None
    """Jobs at a time."""
    address: str | None = None
    """Of a cluster."""
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutorKind:
    """One way to evaluate jobs."""

    open: Callable[[Workers], Executor]
    """Returns the executor; raises ConfigError where it cannot be had."""
    takes: tuple[str, ...] = ()
    """The settings that mean something to it, of `workers`, `address`, `cpus_per_trial` and `gpus_per_trial`: any other
    one is refused."""


EXECUTORS: Registry[ExecutorKind] = Registry("executor")


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
