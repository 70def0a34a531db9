"""How fast a detector trains on this machine, and how many epochs a given time holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.engine.time_plan import MAX_FINISH_EPOCHS

if TYPE_CHECKING:
    from search_space import Detector
    from trainers import TrainProgress
    from trainers.data import Dataset

NUM_WARM, NUM_TIMED = 10, 40
"""Steps before the measurement, which fill caches, and steps that are timed."""
EVALUATION_SPEEDUP = 2.0
"""How many images are evaluated at least in the time that one image is trained on: an assumption."""
LEAST_SECONDS = 1e-9
"""Of the timed steps, where the clock is too coarse."""


def images_per_second(
    detector: Detector,
    train_set: Dataset,
    *,
    batch_size: int,
    seed: int,
    clock: Callable[[], float],
    limit_seconds: float,
) -> float:
    """Returns how many training images a second a detector is trained on, measured in a short training.

    Args:
        detector: is trained in place.
        train_set: at least `batch_size` images.
        batch_size: images per step.
        seed: of the training.
        clock: returns seconds.
        limit_seconds: the measurement is cut short after this time, but not before the third step.
    """
    from trainers import StopTraining, TrainConfig, train

    began, ends = clock(), []

    def on_step(progress: TrainProgress) -> None:
        ends.append(clock())
        if len(ends) >= 3 and ends[-1] - began > limit_seconds:
            raise StopTraining

    epochs = (NUM_WARM + NUM_TIMED) * batch_size / len(train_set)
    train(detector, train_set, config=TrainConfig(epochs=epochs, batch_size=batch_size, seed=seed), on_step=on_step)
    first = min(NUM_WARM, len(ends) // 4)
    timed = ends[first:] if first else ends
    return (len(timed) - 1) * batch_size / max(LEAST_SECONDS, timed[-1] - timed[0])


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What decides how long a member is trained."""

    images_per_second: float
    """Of training."""
    train_images: int
    evaluated_images: int
    """After the training, counted each time."""
    batch_size: int

    def epochs_within(self, seconds: float, least_evaluation: float) -> float | None:
        """Returns the epochs that the time holds beside the evaluation; None where it holds no step.

        Args:
            seconds: for training, evaluation and export.
            least_evaluation: seconds to leave for evaluation and export at least.
        """
        evaluation = self.evaluated_images / (EVALUATION_SPEEDUP * self.images_per_second)
        images = (seconds - max(evaluation, least_evaluation)) * self.images_per_second
        if images < self.batch_size:
            return None
        return min(MAX_FINISH_EPOCHS, images / self.train_images)
