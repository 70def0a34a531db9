"""The expected hypervolume improvement of points with known costs and predicted accuracies.

With independent normal predictions the expectation is exact: the region that the front does not dominate is divided
into boxes, and the volume that a point gains of a box is a product of one factor for each objective (Emmerich, Deutz
and Klinkenberg, 2011; Yang et al., 2019). A known cost has the deviation 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Vector = NDArray[np.float64]

CHUNK = 128
"""Points at a time: with three objectives the memory is one number for each point and pair of front members."""


def expected_hypervolume_improvement(mean: Vector, deviation: Vector, front: Vector, reference: Vector) -> Vector:
    """Returns the expected hypervolume improvement of each point; all objectives are maximised.

    Args:
        mean: `(n, M)`, M of 2 or 3.
        deviation: `(n, M)`, 0 where a value is known.
        front: `(k, M)` points so far; dominated ones and those below the reference change nothing.
        reference: `(M,)` the worst value of interest of each objective.

    Returns:
        `(n,)`, 0 or more.
    """
    if len(mean) > CHUNK:
        chunks = range(0, len(mean), CHUNK)
        return np.concatenate(
            [
                expected_hypervolume_improvement(mean[i : i + CHUNK], deviation[i : i + CHUNK], front, reference)
                for i in chunks
            ]
        )
    front = np.maximum(front.reshape(-1, mean.shape[1]), reference)
    # The members of the front cut all objectives but the last one into a grid of cells. Over each cell the region that
    # is not dominated begins at one height, so the gain is a sum over the cells of expected widths times height.
    last = mean.shape[1] - 1
    edges = [np.unique(np.append(front[:, axis], reference[axis])) for axis in range(last)]
    levels = _levels(front, edges, float(reference[last]))
    heights = _above(mean[:, last], deviation[:, last], levels.ravel()).reshape(len(mean), *levels.shape)
    widths = [_within(mean[:, axis], deviation[:, axis], edges[axis]) for axis in range(last)]
    if last == 1:
        return np.asarray((widths[0] * heights).sum(axis=1))
    return np.asarray(np.einsum("ni,nj,nij->n", widths[0], widths[1], heights))


def _levels(front: Vector, edges: list[Vector], bottom: float) -> Vector:
    """Returns the height of the front in the last objective over each cell, by the lower edges of the cells."""
    levels = np.full([len(edge) for edge in edges], bottom)
    # A point dominates the cells whose lower edges are below it.
    for point in front:
        beyond = np.ix_(*(edge < value for edge, value in zip(edges, point, strict=False)))
        levels[beyond] = np.maximum(levels[beyond], point[-1])
    return levels


def _within(mean: Vector, deviation: Vector, edges: Vector) -> Vector:
    """Returns the expected length that each point covers between successive edges, `(n, edges)`."""
    above = _above(mean, deviation, edges)
    return above - np.column_stack([above[:, 1:], np.zeros(len(mean))])


def _above(mean: Vector, deviation: Vector, levels: Vector) -> Vector:
    """Returns the expected excess over each level, `(n, levels)`."""
    excess = mean[:, None] - levels[None]
    if not deviation.any():
        return np.maximum(excess, 0.0)
    scale = np.maximum(deviation, 1e-300)[:, None]
    z = np.clip(excess / scale, -40.0, 40.0)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    smooth = excess * ndtr(z) + scale * density
    return np.asarray(np.where(deviation[:, None] > 0, np.maximum(smooth, 0.0), np.maximum(excess, 0.0)))
