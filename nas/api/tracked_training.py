"""What trackers are told of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from nas.trackers import TrackedRun, Tracking, Value

if TYPE_CHECKING:
    from nas.api.train_results import Training
    from nas.api.train_settings import TrainSettings
    from trainers import Score, TrainProgress

T = TypeVar("T")
Metrics = Mapping[str, float]


class TrackedTraining:
    """Tells trackers of the settings, the steps and the end of a training.

    A training in which no step is done, because it had ended before, is not tracked again.
    """

    def __init__(self, tracking: Tracking, settings: TrainSettings) -> None:
        self._tracking, self._settings = tracking, settings
        self._rows: int | None = None
        """How many rows of the history were told; None before the first step."""

    def stepped(self, progress: TrainProgress) -> None:
        """Called after each step."""
        if not self._tracking:
            return
        self._tracking.start(self._run)
        if self._rows is None:
            self._rows = sum(row["step"] < progress.step for row in progress.history)
        rows, self._rows = progress.history[self._rows :], len(progress.history)
        for row in rows:
            self._log(_row_metrics, row, int(row["step"]), lambda interval: interval is None)
        is_scored, step = progress.val is not None, progress.step
        self._log(
            _step_metrics, progress, step, lambda interval: interval is not None and (is_scored or step % interval == 0)
        )

    def ended(self, training: Training) -> None:
        """Called with the result."""
        results: dict[str, Value] = {
            **_scores("best", training.score),
            **_scores("last", training.last_score),
            "epochs": training.epochs,
            "images_seen": training.images_seen,
            "seconds": training.seconds,
            "ended_by": training.ended_by,
            "weights": str(training.weights.resolve()),
        }
        self._tracking.call(lambda tracker: tracker.log_results(results))

    def _log(
        self, metrics_of: Callable[[T], Metrics], subject: T, step: int, takes: Callable[[int | None], bool]
    ) -> None:
        self._tracking.call(lambda tracker: tracker.log_metrics(finite(metrics_of(subject)), step), takes)

    def _run(self) -> TrackedRun:
        settings = self._settings
        shown = {**vars(settings.request), "training": settings.config.to_dict()}
        return TrackedRun(
            folder=settings.out,
            name=settings.out.resolve().name,
            is_search=False,
            settings={"architecture": settings.architecture.key(), **shown},
        )


def _row_metrics(row: Metrics) -> dict[str, float]:
    """Returns a row of the history without its step."""
    from trainers.logs import SCORES

    return {f"{'val' if name in SCORES else 'train'}/{name}": row[name] for name in row if name != "step"}


def _step_metrics(progress: TrainProgress) -> dict[str, float]:
    """Returns losses and learning rate of one step, and the scores where it was followed by an evaluation."""
    losses = {f"train/{name}": value for name, value in progress.losses.items()}
    return {**losses, "train/learning_rate": progress.learning_rate, **_scores("val", progress.val)}


def _scores(group: str, score: Score | None) -> dict[str, float]:
    from trainers.logs import SCORES

    return {} if score is None else {f"{group}/{name}": getattr(score, name) for name in SCORES}


def finite(metrics: Metrics) -> dict[str, float]:
    """Returns the metrics that are finite numbers."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
