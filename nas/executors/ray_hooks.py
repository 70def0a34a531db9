"""The hooks of Ray Tune: the next job, the end of a job, the end of the search."""

from __future__ import annotations

from typing import Any

from ray import tune

from nas.executors.ray_env import cause_of_death
from nas.executors.ray_queue import JobQueue


class Suggestions(tune.search.Searcher):
    """Gives Tune its next trial."""

    def __init__(self, jobs: JobQueue) -> None:
        super().__init__()
        self._jobs = jobs

    def suggest(self, trial_id: str) -> Any:
        """Returns the next job, None if there is none now, or `FINISHED` when the queue is closed."""
        placed = self._jobs.next()
        if placed is None:
            return tune.search.Searcher.FINISHED if self._jobs.is_closed else None
        return {"job": placed.job, "bundle": placed.bundle}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: `TrialEnds` gets more details."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the study stores the results."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: nothing was saved."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings, and the queue holds locks


class TrialEnds(tune.Callback):
    """Passes the ends of Tune's trials to the queue."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Passes the attempt of the worker to the queue."""
        result = trial.last_result
        self._jobs.end(trial.config["job"].number, result["attempt"], result["gpu_bytes"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Passes the reason why a worker died or cannot be started to the queue."""
        self._jobs.end(trial.config["job"].number, cause_of_death(trial.error_file))

    def __getstate__(self) -> dict[str, Any]:
        return {}


class WhenClosed(tune.Stopper):
    """Ends all trials of Tune when the queue is closed."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether the queue is closed; called by Tune between two events."""
        return self._jobs.is_closed

    def __getstate__(self) -> dict[str, Any]:
        return {}
