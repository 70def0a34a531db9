"""Who trains in a run: one of the registered executors, with what the user said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.executors.kind import Workers
from nas.executors.kinds import EXECUTORS
from search_space.errors import ConfigError, check_known

if TYPE_CHECKING:
    from nas.engine.session import Session
    from nas.executors import Executor

SETTINGS = ("workers", "address", "cpus_per_trial", "gpus_per_trial")


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """What the user said of who trains; None where nothing was said.

    Raises:
        ConfigError: For a number that is none, and for settings that the executor does not take.
        SpaceError: For an executor that is not known.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        check_known("executor", self.executor, EXECUTORS)
        for name in SETTINGS:
            if getattr(self, name) is not None and name not in EXECUTORS.get(self.executor).takes:
                raise _refused(name)
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be 1 or more, got {self.workers}; give another")
        for name, least in (("cpus_per_trial", 0.0), ("gpus_per_trial", -1e-9)):
            value = getattr(self, name)
            if value is not None and not least < value < float("inf"):
                raise ConfigError(f"{_option(name)} must be above zero, got {value:g}")

    def __str__(self) -> str:
        if self.executor == "local":
            return f"{self.workers} trainings at a time" if (self.workers or 1) > 1 else "one training at a time"
        at = f" at {self.address}" if self.address else ""
        return f"trained by {self.executor}{at}" + (f", {self.workers} at a time" if self.workers else "")

    def executor_of(self, session: Session) -> Executor:
        """Returns what trains the session's trials; a context manager."""
        from nas.executors.training import TrainingSpec

        kind, trial_minutes = EXECUTORS.get(self.executor), session.config.trial_minutes
        if trial_minutes is not None and "trial_minutes" not in kind.takes:
            raise _refused("trial_minutes")
        spec = TrainingSpec.of(session.config)
        said = {name: getattr(self, name) for name in SETTINGS}
        workers = Workers(factory=spec, here=lambda: spec.over(session.splits), trial_minutes=trial_minutes, **said)
        return kind.open(workers)


def _refused(name: str) -> ConfigError:
    users = " or ".join(each for each in EXECUTORS if name in EXECUTORS.get(each).takes)
    return ConfigError(f"{_option(name)} goes with --executor {users} only; next: add that or drop it")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
