"""The surrogate: it predicts the accuracy of detectors that were not trained.

A Gaussian process (Rasmussen and Williams, 2006) on what is known before training: the logarithms of the costs, and the
choices that two points share. Its hyperparameters are fitted by marginal likelihood over a small grid: with tens of
points a grid is as good as gradients, and deterministic. It is fitted on the evaluated trials alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.space import INPUT_AXES

Vector = NDArray[np.float64]

LENGTHS = (1.0, 2.0, 4.0)
"""Length scales of the squared-exponential part, in standard deviations of the log costs."""
MIXES = ((1.0, 1.0, 1.0), (1.0, 0.3, 0.3), (0.3, 1.0, 1.0))
"""Weights of the linear part, of the squared-exponential part and of the shared choices."""
NOISES = (1e-3, 1e-2, 5e-2, 0.2, 0.6)
"""Variances of the noise, in the unit of the weights."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """The inputs of the process."""

    costs: Vector
    """`(n, c)` logarithms of the costs, each column standardised."""
    choices: Vector
    """`(n, v)` one-hot choices: 1 where a point has this choice on this axis."""

    def __getitem__(self, index: Any) -> Features:
        return Features(costs=self.costs[index], choices=self.choices[index])


def describe(points: Sequence[tuple[Mapping[str, Any], Mapping[str, float]]]) -> Features:
    """Returns the features of points, given as (params, costs), standardised over all of them.

    Costs that not all points have are left out. The input size counts as a cost, not as a choice.
    """
    common = sorted(set.intersection(*(set(costs) for _, costs in points)))
    logs = np.log(np.maximum([[float(costs[name]) for name in common] for _, costs in points], 1e-12))
    pairs = [{(name, choice) for name, choice in params.items() if name not in INPUT_AXES} for params, _ in points]
    words = sorted(set.union(*pairs), key=str)
    index = {word: column for column, word in enumerate(words)}
    choices = np.zeros((len(points), len(words)))
    for row, own in enumerate(pairs):
        choices[row, [index[word] for word in own]] = 1.0
    deviation = logs.std(axis=0)
    return Features(costs=(logs - logs.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0), choices=choices)


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """The parts of the kernel between two sets of points, before they are weighted; each `(n, m)`."""

    products: Vector
    squares: Vector
    """Squared distances of the costs."""
    shared: Vector
    """Jaccard similarity of the choices."""


def similarity(left: Features, right: Features) -> Similarity:
    """Compares each of `n` points with each of `m` points."""
    products = left.costs @ right.costs.T
    sums = (left.costs**2).sum(axis=1)[:, None] + (right.costs**2).sum(axis=1)[None]
    common = left.choices @ right.choices.T
    either = left.choices.sum(axis=1)[:, None] + right.choices.sum(axis=1)[None] - common
    return Similarity(
        products=products / max(1, left.costs.shape[1]),
        squares=np.maximum(sums - 2 * products, 0.0),
        shared=np.asarray(np.where(either > 0, common / np.maximum(either, 1.0), 1.0)),
    )


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The covariance: linear and squared-exponential parts on the costs, and the similarity of the choices."""

    length: float
    mix: tuple[float, float, float]

    def __call__(self, pairs: Similarity) -> Vector:
        """Returns the `(n, m)` covariances."""
        smooth = np.exp(-pairs.squares / (2 * self.length**2))
        return np.asarray(self.mix[0] * (pairs.products + 1.0) + self.mix[1] * smooth + self.mix[2] * pairs.shared)

    def diagonal(self, points: Features) -> Vector:
        """Returns the `(n,)` variances of points."""
        linear = (points.costs**2).sum(axis=1) / max(1, points.costs.shape[1])
        return np.asarray(self.mix[0] * (linear + 1.0) + self.mix[1] + self.mix[2])


@dataclass(frozen=True, kw_only=True)
class Process:
    """A Gaussian process conditioned on some points."""

    kernel: Kernel
    noise: float
    amplitude: float
    """The kernel is multiplied by this variance."""
    centre: float
    seen: Features
    values: Vector
    """`(n,)` of the points seen."""

    def predict(self, points: Features) -> tuple[Vector, Vector]:
        """Returns the `(m,)` means and standard deviations of points, without noise."""
        factor = np.linalg.cholesky(self._covariance())
        across = np.linalg.solve(factor, self.kernel(similarity(self.seen, points)))
        mean = self.centre + across.T @ np.linalg.solve(factor, self.values - self.centre)
        variance = self.amplitude * (self.kernel.diagonal(points) - (across**2).sum(axis=0))
        return mean, np.sqrt(np.maximum(variance, 1e-12 * self.amplitude))

    def also(self, points: Features, values: Vector) -> Process:
        """Returns the process conditioned on further points, with the same hyperparameters."""
        seen = Features(
            costs=np.vstack([self.seen.costs, points.costs]), choices=np.vstack([self.seen.choices, points.choices])
        )
        return Process(
            kernel=self.kernel,
            noise=self.noise,
            amplitude=self.amplitude,
            centre=self.centre,
            seen=seen,
            values=np.concatenate([self.values, values]),
        )

    def left_out(self) -> Vector:
        """Returns the leave-one-out predictions `(n,)` (Rasmussen and Williams, equation 5.12)."""
        inverse = np.linalg.inv(self._covariance())
        return np.asarray(self.values - inverse @ (self.values - self.centre) / np.diag(inverse))

    def _covariance(self) -> Vector:
        return self.kernel(similarity(self.seen, self.seen)) + self.noise * np.eye(len(self.values))


def fit(seen: Features, values: Vector) -> Process:
    """Returns the process with the largest marginal likelihood over the grid.

    Args:
        seen: Of n points, one or more.
        values: `(n,)`
    """
    # One eigendecomposition serves all noises of a kernel: K + noise I has the same eigenvectors. For each pair the
    # amplitude that maximises the likelihood has a closed form. An improvement must exceed rounding errors, so that
    # the choice does not depend on the platform.
    centre = float(values.mean())
    rest = values - centre
    spread = float(rest @ rest) / len(rest)
    best, settings = -math.inf, (next(_grid()), NOISES[0], 1.0)
    pairs = similarity(seen, seen)
    for kernel in _grid():
        eigenvalues, vectors = np.linalg.eigh(kernel(pairs))
        squared = (vectors.T @ rest) ** 2
        for noise in NOISES:
            scales = np.maximum(eigenvalues, 0.0) + noise
            amplitude = max(float((squared / scales).mean()), 1e-12 * max(spread, 1.0))
            likelihood = -0.5 * len(rest) * math.log(amplitude) - 0.5 * float(np.log(scales).sum())
            if likelihood > best + 1e-9:
                best, settings = likelihood, (kernel, noise, amplitude)
    kernel, noise, amplitude = settings
    return Process(kernel=kernel, noise=noise, amplitude=amplitude, centre=centre, seen=seen, values=values)


def _grid() -> Iterator[Kernel]:
    return (Kernel(length=length, mix=mix) for length in LENGTHS for mix in MIXES)
