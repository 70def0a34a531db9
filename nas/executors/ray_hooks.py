"""What Tune calls between its trials: for the next job, with how one ended, and whether all is over."""

from __future__ import annotations

from typing import Any

from ray import tune

from nas.executors.ray_env import cause_of_death
from nas.executors.ray_queue import JobQueue


class Suggestions(tune.search.Searcher):
    """What Tune asks for its next trial."""

    def __init__(self, feed: JobQueue) -> None:
        super().__init__()
        self._feed = feed

    def suggest(self, trial_id: str) -> Any:
        """Returns the next job, None when there is none yet, or that all is over."""
        placed = self._feed.next()
        if placed is None:
            return tune.search.Searcher.FINISHED if self._feed.is_closed else None
        return {"job": placed.job, "bundle": placed.bundle}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: `Endings` is told more."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: all that is worth keeping is in the study."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing, as nothing was saved."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings, and a feed holds locks


class Endings(tune.Callback):
    """What Tune tells when a trial has ended."""

    def __init__(self, feed: JobQueue) -> None:
        self._feed = feed

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Passes on what the worker returned."""
        result = trial.last_result
        self._feed.end(trial.config["job"].number, result["attempt"], result["gpu_bytes"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Passes on that a worker is dead or cannot be started."""
        self._feed.end(trial.config["job"].number, cause_of_death(trial.error_file))

    def __getstate__(self) -> dict[str, Any]:
        return {}


class WhenClosed(tune.Stopper):
    """Tells Tune to end whatever runs when the feed is closed."""

    def __init__(self, feed: JobQueue) -> None:
        self._feed = feed

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Called by Tune between two events."""
        return self._feed.is_closed

    def __getstate__(self) -> dict[str, Any]:
        return {}
