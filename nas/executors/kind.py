"""What is known of an executor: what it is opened with, and which settings of a run it takes."""

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
