"""The expected gain in hypervolume of points whose costs are known and whose accuracies are guessed.

With independent normal guesses the expectation is exact: the region that the front does not dominate is cut into boxes,
and the volume that a point takes of a box is a product of one factor an objective (Emmerich, Deutz and Klinkenberg,
2011; Yang et al., 2019). A known cost is the case of no spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Vector = NDArray[np.float64]


CHUNK = 128
"""Points at a time: three objectives take one number a point and pair of front members."""


def expected_hypervolume_improvement(mean: Vector, deviation: Vector, front: Vector, reference: Vector) -> Vector:
    """Returns the expected gain in hypervolume of each point, all objectives maximised.

    Args:
        mean: `(n, M)`, M of 2 or 3.
        deviation: `(n, M)`, 0 where a value is known.
        front: `(k, M)` points so far; dominated ones and ones below the reference change nothing.
        reference: `(M,)`

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
    last = mean.shape[1] - 1
    edges = [np.unique(np.append(front[:, axis], reference[axis])) for axis in range(last)]
    levels = _levels(front, edges, float(reference[last]))
    heights = _above(mean[:, last], deviation[:, last], levels.ravel()).reshape(len(mean), *levels.shape)
    widths = [_within(mean[:, axis], deviation[:, axis], edges[axis]) for axis in range(last)]
    if last == 1:
        return np.asarray((widths[0] * heights).sum(axis=1))
    return np.asarray(np.einsum("ni,nj,nij->n", widths[0], widths[1], heights))


def _levels(front: Vector, edges: list[Vector], bottom: float) -> Vector:
    """Returns how far up the front reaches in the last objective, in each cell that begins at the given edges."""
    levels = np.full([len(edge) for edge in edges], bottom)
    # The cell that begins at an edge is dominated by the points that lie beyond it: those above the edge.
    for point in front:
        beyond = np.ix_(*(edge < value for edge, value in zip(edges, point, strict=False)))
        levels[beyond] = np.maximum(levels[beyond], point[-1])
    return levels


def _within(mean: Vector, deviation: Vector, edges: Vector) -> Vector:
    """Returns the expected length that each point covers between each edge and the next, `(n, edges)`."""
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
