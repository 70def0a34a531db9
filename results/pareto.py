"""Non-dominated points and their hypervolume, in plain numpy.

A point dominates another if it is at least as good in every objective and better in one. Every function takes
`maximise`, one flag for each objective.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def nondominated(points: ArrayLike, maximise: Sequence[bool]) -> NDArray[np.bool_]:
    """Marks the points that no other point dominates.

    Args:
        points: `(N, M)` values of N points in M objectives. No points give an empty mask. A point with a NaN is
            never marked and dominates nothing. Equal points do not dominate each other, so all of them may be
            marked. Infinities are ordinary values.
        maximise: M flags, True if a larger value is better.

    Returns:
        `(N,)` mask, True for the non-dominated points.

    Raises:
        ValueError: If `points` is not `(N, M)` for the M flags.
    """
    losses = _losses(points, maximise)
    mask = np.zeros(len(losses), dtype=np.bool_)
    for index in np.flatnonzero(~np.isnan(losses).any(axis=1)):
        no_worse = (losses <= losses[index]).all(axis=1)
        better = (losses < losses[index]).any(axis=1)
        mask[index] = not (no_worse & better).any()
    return mask


def hypervolume_2d(points: ArrayLike, reference: ArrayLike, maximise: Sequence[bool]) -> float:
    """Returns the area that points in two objectives dominate, bounded by a reference point.

    Args:
        points: `(N, 2)` values. Points with a NaN, points that are not better than the reference in both objectives,
            dominated and repeated points add nothing. No points give 0.
        reference: `(2,)` the worst value of interest in each objective; finite.
        maximise: Two flags, True if a larger value is better.

    Returns:
        The area, in the product of the units of both objectives; 0 or more.

    Raises:
        ValueError: If the points are not `(N, 2)` or the reference is not two finite numbers.
    """
    corner = _losses(np.asarray(reference, dtype=np.float64).reshape(1, -1), maximise)[0]
    if corner.shape != (2,) or not np.isfinite(corner).all():
        raise ValueError(f"the reference must be two finite numbers, got {reference!r}")
    losses = _losses(points, maximise)
    losses = losses[(losses < corner).all(axis=1)]
    area, ceiling = 0.0, corner[1]
    for first, second in losses[np.lexsort((losses[:, 1], losses[:, 0]))]:
        if second < ceiling:
            area += float((corner[0] - first) * (ceiling - second))
            ceiling = second
    return area


def hypervolume(points: ArrayLike, reference: ArrayLike, maximise: Sequence[bool]) -> float:
    """Returns the exact hypervolume of points in two or three objectives, bounded by a reference point.

    Args:
        points: `(N, M)` values, M of 2 or 3; see `hypervolume_2d` for the points that add nothing.
        reference: `(M,)` the worst value of interest in each objective; finite.
        maximise: M flags, True if a larger value is better.

    Returns:
        The area or volume, in the product of the units of all objectives; 0 or more.

    Raises:
        ValueError: If the points are not `(N, M)` with M of 2 or 3, or the reference is not M finite numbers.
    """
    if len(maximise) == 2:
        return hypervolume_2d(points, reference, maximise)
    corner = _losses(np.asarray(reference, dtype=np.float64).reshape(1, -1), maximise)[0]
    if corner.shape != (3,) or not np.isfinite(corner).all():
        raise ValueError(f"the reference must be two or three finite numbers, got {reference!r}")
    losses = _losses(points, maximise)
    losses = losses[(losses < corner).all(axis=1)]
    losses = losses[np.argsort(losses[:, 2], kind="stable")]
    # Sweep along the third objective: between two successive values the dominated area is that of the points so far.
    depths = np.diff(np.append(losses[:, 2], corner[2]))
    areas = (hypervolume_2d(losses[: end + 1, :2], corner[:2], (False, False)) for end in range(len(losses)))
    return float(sum(depth * area for depth, area in zip(depths, areas, strict=True) if depth > 0))


def _losses(points: ArrayLike, maximise: Sequence[bool]) -> NDArray[np.float64]:
    """Returns the points `(N, M)` with maximised objectives negated, so that smaller is better."""
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0:
        values = values.reshape(0, len(maximise))
    if values.ndim != 2 or values.shape[1] != len(maximise):
        raise ValueError(f"points must be (N, {len(maximise)}) for {len(maximise)} objectives, got {values.shape}")
    return np.asarray(np.where(np.asarray(maximise, dtype=bool), -values, values), dtype=np.float64)
