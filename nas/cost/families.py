"""The error of predictions for a family of networks that was never measured.

Networks of one family share an error: their blocks reach another share of the board than those of other families.
The error of one more family is therefore estimated from whole families that were left out, not from networks.

Its size is measured in units of a scale that depends on the composition of a network: the standard deviation of the
logarithm of its predicted time, given the prior of the constants and the measured networks, where a family counts as
at most `NETWORKS_PER_FAMILY` independent networks (a linear Gaussian model around the fitted constants). It rises with
the share of the time in terms that few families determine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.cost.terms import KIND_OF, KINDS, TERMS, Vector

KIND_DEVIATION = 0.7
"""Prior standard deviation of the log factor shared by all constants of a kind."""
TERM_DEVIATION = 0.3
"""Prior standard deviation of the log factor of one constant."""
COPIES = ("concat", "split", "upsample", "transpose", "space_to_depth")
COPY_DEVIATION = 1.0
"""Prior standard deviation, in the scale alone, of the log factor of a constant of the `COPIES`.

A runtime leaves a copy out or makes one for each tensor, depending on what reads the tensor; no data sheet tells.
"""
NETWORKS_PER_FAMILY = 10
"""Independent networks that a family counts as. On nine boards the errors of families differ least in its units."""
MIN_NETWORKS, MIN_FAMILIES = 5, 3
"""Smallest family of which a quantile is taken, and the smallest number of such families."""
KNOWN_UP_TO, UNLIKE_FROM = 0.65, 0.8
"""Distances up to which a network counts as one of a measured family, and from which as one of no measured family.

On the Nano and the A40, 95 % of the networks of a left-out architecture of a measured family are nearer than 0.69 and
99 % of those of a left-out family farther than 0.78.
"""
_IS_COPY = np.array([name in COPIES for _, name in TERMS])


def precisions(families: Sequence[str], noise: Vector) -> Vector:
    """Returns the precision of each measured log time `(n,)`; a family has at most that of a few networks together."""
    _, index, counts = np.unique(np.asarray(families, dtype=str), return_inverse=True, return_counts=True)
    return np.asarray(np.minimum(1.0, NETWORKS_PER_FAMILY / counts[index]) / noise**2)


def covariance(shares: Vector, precision: Vector) -> Vector:
    """Returns the covariance of the log constants, `(len(TERMS), len(TERMS))`.

    Args:
        shares: Shares of the time of the measured networks by term, `(n, len(TERMS))`.
        precision: Their precisions, `(n,)`, as `precisions` returns them.
    """
    same_kind = (KIND_OF[:, None] == np.arange(len(KINDS))).astype(float)
    own = np.where(_IS_COPY, COPY_DEVIATION, TERM_DEVIATION)
    prior = np.diag(own**2) + KIND_DEVIATION**2 * same_kind @ same_kind.T
    return np.asarray(np.linalg.inv(np.linalg.inv(prior) + (shares * precision[:, None]).T @ shares))


def composition_scale(shares: Vector, of_constants: Vector) -> Vector:
    """Returns the scale of the error of networks `(n,)` from their shares and the covariance of the constants."""
    return np.asarray(np.sqrt(np.maximum(((shares @ of_constants) * shares).sum(axis=1), 0.0)))


def family_quantiles(scores: Vector, families: Sequence[str], levels: Sequence[float]) -> dict[float, float]:
    """Returns, by confidence c, the bound that holds a share c of a new family's scores with probability c.

    The c-quantiles of the families are taken as log-normal: the upper end of a prediction interval, by Student's t,
    for that of one more family.

    Args:
        scores: |log error| over scale of networks whose family was held out, `(n,)`.
        families: Their families.
        levels: Confidences, rising.

    Returns:
        The bounds; empty if fewer than `MIN_FAMILIES` families have `MIN_NETWORKS` networks.
    """
    from scipy.stats import t

    names, index, counts = np.unique(np.asarray(families, dtype=str), return_inverse=True, return_counts=True)
    large = [family for family in range(len(names)) if counts[family] >= MIN_NETWORKS]
    if len(large) < MIN_FAMILIES:
        return {}
    count = len(large)
    bounds: dict[float, float] = {}
    for level in levels:
        logs = np.log([max(float(np.quantile(scores[index == family], level)), 1e-9) for family in large])
        width = float(t.ppf(level, count - 1)) * logs.std(ddof=1) * np.sqrt(1 + 1 / count)
        bounds[level] = max([float(np.exp(logs.mean() + width)), *bounds.values()])
    return bounds


def unlikeness(distance: Vector) -> Vector:
    """Returns how far networks count as of no measured family, 0 to 1, from their distances `(n,)`."""
    return np.asarray(np.clip((distance - KNOWN_UP_TO) / (UNLIKE_FROM - KNOWN_UP_TO), 0.0, 1.0))


def new_family_half_width(near: Vector, bound: float, scale: Vector, distance: Vector) -> Vector:
    """Returns the half-widths of log intervals `(n,)`, widened from `near` where a network is of no measured family."""
    return np.asarray(near + unlikeness(distance) * np.maximum(0.0, bound * scale - near))
