"""Fit a profile to measurements: maximum a posteriori constants around the data sheet, a residual, and their error.

The constants are fitted as logarithms. Each constant is its prior times a factor shared by all constants of its kind
times its own factor, which is regularised towards 1. Constants that are not measured thus follow those that are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.cost.families import (
    KIND_DEVIATION,
    TERM_DEVIATION,
    composition_scale,
    covariance,
    family_quantiles,
    precisions,
)
from nas.cost.measurements import Measurements
from nas.cost.operators import CLASSES
from nas.cost.profile import GRID, SHARE_CLASS, ErrorModel, Profile, prior
from nas.cost.residual import MIN_MEASURED, Residual, fit_residual
from nas.cost.terms import KIND_OF, KINDS, Vector

MIN_SHARE = 0.01
"""Smallest share of its time that a network must spend in a class to count as a measurement of that class."""
FEW = 20
"""Below this number of networks the error is a Student's t with an assumed spread, not an empirical quantile."""
ASSUMED_SPREAD, ASSUMED_COUNT = 0.10, 2.0
"""Assumed spread of the log error, and the number of networks that this assumption counts as."""
MAX_FOLDS = 20
NEAR_FOLDS = 10
"""Random folds held out in turn. They check the interval near measured networks; the family folds check it far away."""

FAMILIES_OUT = "leave one family out"

Folds = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Predictions for networks that were held out of the fit; arrays `(n,)`."""

    latency_ms: Vector
    distance: Vector
    """Distance to the measured networks, 0 to 1, as `Residual` returns it; 1 without a residual."""
    scale: Vector
    """Scale of the error by composition, as `families.composition_scale` returns it."""


def fit_constants(start: Vector, measurements: Measurements) -> Vector:
    """Returns the constants, seconds per unit of each term, that fit the measurements best; `start` is their prior."""
    from scipy.optimize import least_squares

    if not len(measurements):
        return start
    seconds = measurements.terms * start
    used = np.flatnonzero(seconds.any(axis=0))
    kind = KIND_OF[used]
    one_hot = (kind[:, None] == np.arange(len(KINDS))).astype(float)
    target = np.log(measurements.latency_ms / 1e3)
    precision = 1.0 / np.concatenate([np.full(len(KINDS), KIND_DEVIATION), np.full(len(used), TERM_DEVIATION)])

    def scaled(logs: Vector) -> Vector:
        return np.asarray(seconds[:, used] * np.exp(logs[: len(KINDS)][kind] + logs[len(KINDS) :]))

    def residuals(logs: Vector) -> Vector:
        off = (np.log(scaled(logs).sum(axis=1)) - target) / measurements.noise
        return np.concatenate([off, logs * precision])

    def slopes(logs: Vector) -> Vector:
        parts = scaled(logs)
        shares = parts / parts.sum(axis=1, keepdims=True) / measurements.noise[:, None]
        return np.vstack([np.hstack([shares @ one_hot, shares]), np.diag(precision)])

    begin = np.zeros(len(KINDS) + len(used))
    logs = least_squares(residuals, begin, jac=slopes, max_nfev=60, xtol=1e-6, ftol=1e-6).x
    factors = logs[: len(KINDS)][KIND_OF]
    factors[used] += logs[len(KINDS) :]
    return np.asarray(start * np.exp(factors))


def square_root_shares(terms: Vector, constants: Vector) -> Vector:
    """Returns the square root of each term's share of the time, `(n, len(TERMS))`."""
    seconds = terms * constants
    return np.asarray(np.sqrt(seconds / seconds.sum(axis=1, keepdims=True)))


def learn_residual(constants: Vector, measurements: Measurements) -> Residual | None:
    """Returns the residual of measured networks, or None if too few were measured."""
    if len(measurements) < MIN_MEASURED:
        return None
    ratio = np.log(measurements.latency_ms / 1e3 / (measurements.terms @ constants))
    precise = precisions(measurements.families, measurements.noise)
    return fit_residual(square_root_shares(measurements.terms, constants), ratio, precise)


def hold_out(start: Vector, measurements: Measurements, folds: Folds, *, skip: int | None = None) -> HeldOut:
    """Predicts each network from a fit on the other folds. Networks of the fold `skip` are always in the fit."""
    latency_ms = np.full(len(measurements), np.nan)
    distance, scale = np.ones(len(measurements)), np.ones(len(measurements))
    for fold in np.unique(folds):
        if fold == skip:
            continue
        tested = folds == fold
        known, unknown = measurements.kept(~tested), measurements.terms[tested]
        constants = fit_constants(start, known)
        residual = learn_residual(constants, known)
        seconds, roots = unknown @ constants, square_root_shares(unknown, constants)
        shares = square_root_shares(known.terms, constants) ** 2
        scale[tested] = composition_scale(roots**2, covariance(shares, precisions(known.families, known.noise)))
        if residual is not None:
            learned, distance[tested] = residual(roots)
            seconds = seconds * np.exp(learned)
        latency_ms[tested] = 1e3 * seconds
    return HeldOut(latency_ms=latency_ms, distance=distance, scale=scale)


def family_folds(measurements: Measurements) -> tuple[Folds, str]:
    """Returns the fold of each network and how the folds were made: by family, or one network each if there are few."""
    names, folds = np.unique(np.asarray(measurements.families, dtype=str), return_inverse=True)
    if 3 <= len(names) < len(measurements):
        return folds.astype(np.intp), FAMILIES_OUT
    if len(measurements) <= MAX_FOLDS:
        return np.arange(len(measurements)), "leave one network out"
    return np.arange(len(measurements)) % MAX_FOLDS, f"{MAX_FOLDS} folds"


def calibrated(
    profile: Profile, measurements: Measurements, fitted_on: Sequence[str]
) -> tuple[Profile, Residual | None]:
    """Returns the profile with constants, residual and error fitted to the measurements.

    Args:
        profile: Where the fit starts; its own constants are not used, only its data sheet or what it is like.
        measurements: At least one.
        fitted_on: What the measurements are, one sentence each.
    """
    start = prior(profile)
    constants = fit_constants(start, measurements)
    residual = learn_residual(constants, measurements)
    by_class = class_shares(measurements.terms, constants)
    enough = (by_class >= MIN_SHARE).sum(axis=0)
    return replace(
        profile,
        constants=constants,
        measured={name: int(count) for name, count in zip(CLASSES, enough, strict=True) if count},
        fitted_on=tuple(fitted_on),
        num_measured=len(measurements),
        error=measure_error(start, measurements, by_class),
        residual=None if residual is None else residual.fingerprint(),
    ), residual


def class_shares(terms: Vector, constants: Vector) -> Vector:
    """Returns the share of its time that each network spends in each class, `(n, len(CLASSES))`."""
    return np.asarray(square_root_shares(terms, constants) ** 2 @ SHARE_CLASS)


def measure_error(start: Vector, measurements: Measurements, by_class: Vector) -> ErrorModel:
    """Returns the cross-validated error of a fit to the measurements."""
    if len(measurements) < 2:
        return _few_error(np.zeros(0), len(measurements), {})
    folds, how = family_folds(measurements)
    held_out = hold_out(start, measurements, folds)
    off = np.log(measurements.latency_ms / held_out.latency_ms)
    figures = {"held_out": how, "networks": len(measurements), **error_figures(measurements.latency_ms, held_out)}
    if len(measurements) < FEW:
        return _few_error(off, len(measurements), figures)
    scale = np.array([_weighted_quantile(np.abs(off), by_class[:, each] ** 2) for each in range(len(CLASSES))])
    far = _score_quantiles(off, by_class @ scale * held_out.distance)
    near = hold_out(start, measurements, np.random.default_rng(0).permutation(len(measurements)) % NEAR_FOLDS)
    near_off = np.log(measurements.latency_ms / near.latency_ms)
    beside = _score_quantiles(near_off, by_class @ scale * near.distance)
    return ErrorModel(
        quantiles={level: max(far[level], beside[level]) for level in GRID},
        class_scale={name: float(value) for name, value in zip(CLASSES, scale, strict=True)},
        family_quantiles=_of_families(off, held_out, measurements, how),
        figures=figures,
    )


def _of_families(off: Vector, held_out: HeldOut, measurements: Measurements, how: str) -> dict[float, float]:
    """Returns the quantiles of families that were held out; none without them, or without a learned residual."""
    if how != FAMILIES_OUT or len(measurements) < MIN_MEASURED:
        return {}
    return family_quantiles(np.abs(off) / held_out.scale, measurements.families, GRID)


def _score_quantiles(off: Vector, expected: Vector) -> dict[float, float]:
    """Returns, by confidence, the conformal quantile of |off| in units of the expected error."""
    scores = np.sort(np.abs(off) / expected)
    ranks = [min(len(scores), int(np.ceil((len(scores) + 1) * level))) for level in GRID]
    return {level: float(scores[rank - 1]) for level, rank in zip(GRID, ranks, strict=True)}


def error_figures(measured_ms: Vector, held_out: HeldOut) -> dict[str, float]:
    """Returns the error of predictions in percent, JSON-ready."""
    percent = 100 * np.abs(held_out.latency_ms / measured_ms - 1)
    return {
        "mean_percent": round(float(percent.mean()), 2),
        "median_percent": round(float(np.median(percent)), 2),
        "within_10_percent": round(float(100 * (percent <= 10).mean()), 1),
    }


def _few_error(off: Vector, count: int, figures: dict[str, object]) -> ErrorModel:
    """Returns a Student's t error with an assumed spread, for too few networks to take quantiles of."""
    from scipy.stats import t

    freedom = ASSUMED_COUNT + len(off)
    spread = np.sqrt((ASSUMED_COUNT * ASSUMED_SPREAD**2 + float(off @ off)) / freedom) * np.sqrt(1 + 1 / max(count, 1))
    return ErrorModel(
        quantiles={level: float(spread * t.ppf(0.5 + level / 2, freedom)) for level in GRID}, figures=figures
    )


def _weighted_quantile(values: Vector, weights: Vector, level: float = 0.9) -> float:
    """Returns the smallest value with at least `level` of the weight up to it; weights of all 0 count as equal."""
    weights = weights + 1e-12
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])
