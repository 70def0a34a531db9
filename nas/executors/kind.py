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
    trial_minutes: float | None = None
    """How long a job may take before it is ended, whatever it does; None: as long as it does."""

    @property
    def trial_seconds(self) -> float | None:
        """The time limit of a job in seconds."""
        return None if self.trial_minutes is None else 60 * self.trial_minutes


@dataclass(frozen=True, kw_only=True)
class ExecutorKind:
    """One way to evaluate jobs."""

    open: Callable[[Workers], Executor]
    """Returns the executor; raises ConfigError where it cannot be had."""
    takes: tuple[str, ...] = ()
    """The settings that mean something to it, of `workers`, `address`, `cpus_per_trial`, `gpus_per_trial` and
    `trial_minutes`: any other one is refused."""


EXECUTORS: Registry[ExecutorKind] = Registry("executor")
