"""Baseline predictors of latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost.operators import CLASSES, Operators
from nas.cost.terms import Vector

Mask = NDArray[np.bool_]
Fit = Callable[[Mask], Vector]
"""Fits to the masked networks and returns predictions in milliseconds for all networks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Networks:
    """Measured networks as input of the baselines."""

    operators: Operators
    """Operators of all networks; only those of `rows` are used."""
    num_networks: int
    """Number of networks in `operators`."""
    rows: NDArray[np.intp]
    """Indices of the measured networks, `(n,)`."""
    bytes_per_element: float
    latency_ms: Vector

    def total(self, per_operator: Vector) -> Vector:
        """Sums a figure per operator over each measured network, `(n,)`."""
        sums = np.bincount(self.operators.model, weights=per_operator, minlength=self.num_networks)
        return np.asarray(sums[self.rows], dtype=np.float64)


def gflops_line(networks: Networks) -> Fit:
    """A straight line in GFLOPs."""
    return _linear(networks, [networks.total(networks.operators.macs)])


def counts_plane(networks: Networks) -> Fit:
    """A plane in FLOPs, parameters and activation elements."""
    operators = networks.operators
    return _linear(
        networks, [networks.total(each) for each in (operators.macs, operators.weights, operators.out_elements)]
    )


def roofline(networks: Networks) -> Fit:
    """A roofline: each operator takes a launch and the maximum of arithmetic and traffic; four constants."""
    from scipy.optimize import least_squares

    operators = networks.operators
    gflops = 2e-9 * operators.macs
    moved = operators.in_elements + operators.out_elements + operators.weights
    gbytes = 1e-9 * networks.bytes_per_element * moved
    launches = networks.total(np.ones(len(operators)))
    begin = np.log([10.0, 100.0, 0.03, 1.0])  # ms per GFLOP, ms per GB, ms per launch, ms to start

    def predict(logs: Vector) -> Vector:
        per_gflop, per_gbyte, launch, start = np.exp(logs)
        longer = networks.total(np.maximum(per_gflop * gflops, per_gbyte * gbytes))
        return np.asarray(longer + launch * launches + start)

    def fit(known: Mask) -> Vector:
        nonlocal begin
        target = np.log(networks.latency_ms[known])
        begin = least_squares(lambda logs: np.log(predict(logs)[known]) - target, begin, max_nfev=30, xtol=1e-4).x
        return predict(begin)

    return fit


def boosted_trees(networks: Networks) -> Fit:
    """Boosted trees on `_features`.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    trees = _trees()
    features, target = _features(networks), np.log(networks.latency_ms)

    def fit(known: Mask) -> Vector:
        return np.asarray(np.exp(trees.fit(features[known], target[known]).predict(features)))

    return fit


def ridge_and_trees(networks: Networks) -> Fit:
    """Ridge regression on the same features, and boosted trees on its residuals.

    Fails on a family that uses operators in other ways than all families of the fit.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    trees = _trees()
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-4, 2, 13)))
    features, target = _features(networks), np.log(networks.latency_ms)

    def fit(known: Mask) -> Vector:
        straight = line.fit(features[known], target[known]).predict(features)
        left = trees.fit(features[known], (target - straight)[known]).predict(features)
        return np.asarray(np.exp(straight + left))

    return fit


def _trees() -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError:
        raise ImportError(
            "the boosted trees need scikit-learn; install it with pip install 'pyramidnas[study]'"
        ) from None
    return HistGradientBoostingRegressor(max_iter=150, learning_rate=0.08, random_state=0)


def _features(networks: Networks) -> Vector:
    """Returns the logarithms of MACs, parameters, activations and operators, together and by class, `(n, features)`."""
    operators = networks.operators
    figures = (operators.macs, operators.weights, operators.out_elements, np.ones(len(operators)))
    sums = [networks.total(each) for each in figures]
    of_class = [operators.kind == kind for kind in range(len(CLASSES))]
    sums += [networks.total(each * mask) for each in figures for mask in of_class if mask.any()]
    return np.log1p(np.stack(sums, axis=1))


def _linear(networks: Networks, columns: list[Vector]) -> Fit:
    """Fits positive coefficients to the log time, so that relative errors count."""
    from scipy.optimize import least_squares

    design = np.stack([*columns, np.ones(len(networks.rows))], axis=1)
    design = design / design.mean(axis=0)
    begin = np.full(design.shape[1], np.log(networks.latency_ms.mean() / design.shape[1]))

    def fit(known: Mask) -> Vector:
        nonlocal begin
        target = np.log(networks.latency_ms[known])
        begin = least_squares(lambda logs: np.log(design[known] @ np.exp(logs)) - target, begin).x
        return np.asarray(design @ np.exp(begin))

    return fit


PEERS: dict[str, Callable[[Networks], Fit]] = {
    "line in GFLOPs": gflops_line,
    "FLOPs + parameters + activations": counts_plane,
    "roofline": roofline,
    "boosted trees": boosted_trees,
    "ridge + boosted trees": ridge_and_trees,
}
"""The baselines by name."""
