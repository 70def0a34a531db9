"""Who trains in a run: this process, worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.executors import Executor
    from nas.search.session import Session


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What the user said of who trains; None where nothing was said.

    Raises:
        ConfigError: For a number that is none, and for settings of Ray without it.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be 1 or more, got {self.workers}")
        for option in ("address", "cpus_per_trial", "gpus_per_trial"):
            if getattr(self, option) is not None and self.executor != "ray":
                raise ConfigError(
                    f"--{option.replace('_', '-')} goes with --executor ray only; next: add that or drop it"
                )
        for option, least in (("cpus_per_trial", 0.0), ("gpus_per_trial", -1e-9)):
            value = getattr(self, option)
            if value is not None and not least < value < float("inf"):
                raise ConfigError(f"--{option.replace('_', '-')} must be above zero, got {value:g}")

    def __str__(self) -> str:
        if self.executor == "ray":
            return f"trained by ray at {self.address or 'this machine'}"
        return f"{self.workers} trainings at a time" if (self.workers or 1) > 1 else "one training at a time"

    def executor_of(self, session: Session) -> Executor:
        """Returns what trains the session's trials; a context manager."""
        from nas.executors.local import LocalExecutor
        from nas.executors.training import TrainingSpec

        config = session.config
        trial_seconds = None if config.trial_minutes is None else 60 * config.trial_minutes
        spec = TrainingSpec.of(config)
        if self.executor == "ray":
            from nas.executors.ray import RayExecutor

            return RayExecutor(
                spec,
                address=self.address,
                num_workers=self.workers,
                cpus_per_trial=1.0 if self.cpus_per_trial is None else self.cpus_per_trial,
                gpus_per_trial=self.gpus_per_trial,
                trial_seconds=trial_seconds,
            )
        if (self.workers or 1) > 1 or trial_seconds is not None:  # a trial that hangs ends with its process
            from nas.executors.processes import ProcessExecutor

            return ProcessExecutor(spec, num_workers=self.workers or 1, trial_seconds=trial_seconds)
        return LocalExecutor(spec.over(session.splits))
