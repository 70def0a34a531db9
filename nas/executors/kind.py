"""The registry of executors: how each is opened, and which settings it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.executors import Evaluator, EvaluatorFactory, Executor
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The settings of an executor; None: not given."""

    factory: EvaluatorFactory
    """Makes an evaluator in a worker process; picklable."""
    here: Callable[[], Evaluator]
    """Makes the evaluator of this process, with the data that is open already."""
    workers: int | None = None
    """Number of jobs that run at the same time."""
    address: str | None = None
    """Address of a cluster."""
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    trial_minutes: float | None = None
    """Time limit of a job; None: no limit."""

    @property
    def trial_seconds(self) -> float | None:
        """The time limit of a job in seconds."""
        return None if self.trial_minutes is None else 60 * self.trial_minutes


@dataclass(frozen=True, kw_only=True)
class ExecutorKind:
    """How an executor is opened, and the settings that it accepts."""

    open: Callable[[Workers], Executor]
    """Returns the executor; raises ConfigError where it cannot be opened."""
    takes: tuple[str, ...] = ()
    """The settings that it accepts: `workers`, `address`, `cpus_per_trial`, `gpus_per_trial`, `trial_minutes`. Others
    are refused."""


EXECUTORS: Registry[ExecutorKind] = Registry("executor")
