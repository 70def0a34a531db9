"""How long the training of an architecture takes an image, from the trials of a run that were measured.

Multiply-adds are not training time: at equal multiply-adds a detector of 320 px costs 1.8 times the time of one of
192 px, because its maps are larger. Before a run has measured anything, the time is taken as proportional to the bytes
of the activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.engine.ladder import Ladder
from results.trial import Trial

Vector = NDArray[np.float64]
Costs = Mapping[str, float]

FEATURES = ("macs", "activation_bytes", "input_px")
PRIOR = np.array([0.0, 1.0, 0.0])
"""Exponents of the features before anything is fitted."""
MIN_TRIALS = 5
"""With fewer measured trials only the scale is fitted."""
RIDGE = 2.0
"""Weight of the prior exponents against one trial, in standardised features."""
RANGE = (0.5, 2.0)
"""Limits of the relative time of a candidate: the time leans on the choice, and does not make it."""


@dataclass(frozen=True, kw_only=True)
class TrainingTime:
    """Predicts the seconds that the training of an architecture takes an image: a product of powers of its costs."""

    exponents: Vector
    """`(3,)`, of `FEATURES`."""
    scale: float
    """Logarithm of the factor, in seconds."""

    def seconds_an_image(self, points: Sequence[Costs]) -> Vector:
        """Returns the `(n,)` seconds of points with these costs."""
        return np.exp(self.scale + _logs(points) @ self.exponents)

    def relative(self, points: Sequence[Costs]) -> Vector:
        """Returns the `(n,)` times of points relative to their median, within `RANGE`."""
        seconds = self.seconds_an_image(points)
        return np.clip(seconds / np.median(seconds), *RANGE)


def fit_training_time(measured: Sequence[tuple[Costs, float]]) -> TrainingTime:
    """Fits the logarithm of the time by ridge regression towards the prior exponents.

    Args:
        measured: Costs and seconds an image of trials, one or more.
    """
    logs = _logs([costs for costs, _ in measured])
    target = np.log([seconds for _, seconds in measured])
    exponents = PRIOR.copy()
    if len(measured) >= MIN_TRIALS:
        deviation = logs.std(axis=0)
        scales = np.where(deviation > 1e-9, deviation, 1.0)
        inputs = (logs - logs.mean(axis=0)) / scales
        rest = target - logs @ PRIOR
        gram = inputs.T @ inputs + RIDGE * np.eye(len(FEATURES))
        exponents = PRIOR + np.linalg.solve(gram, inputs.T @ (rest - rest.mean())) / scales
    return TrainingTime(exponents=exponents, scale=float((target - logs @ exponents).mean()))


def measured_seconds_an_image(trial: Trial, ladder: Ladder) -> float | None:
    """Returns the seconds that a trial took an image of its own rung; None where they were not measured.

    They are those of the training alone where these are known. The images of the rungs below, which `images_seen`
    counts, are left out, as the time does not include them.
    """
    seconds = trial.training_seconds or trial.seconds
    if not seconds or not trial.images_seen or not trial.rung or not trial.is_evaluated:
        return None
    share = ladder.effort(trial.rung) / sum(ladder.epochs[: trial.rung])
    return seconds / (trial.images_seen * share)


def _logs(points: Sequence[Costs]) -> Vector:
    return np.log(np.maximum([[float(costs[name]) for name in FEATURES] for costs in points], 1e-12))
