"""The progress of a search: the hypervolume of its front and its best accuracy after each trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from results import records
from results.trials import dominated, reference_of

Points = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """Steps of two curves, each as (trials asked by then, value)."""

    hypervolume: tuple[tuple[int, float], ...]
    """As a share of the hypervolume between the reference and a perfect accuracy at no cost."""
    best: tuple[tuple[int, float], ...]
    """Of the first accuracy among the objectives, on the last rung."""
    num_asked: int
    reference: Mapping[str, float]
    """The worst value of each objective."""


def progress(table: pd.DataFrame, limits: Mapping[str, float]) -> SearchProgress:
    """Follows the complete trials in the order of their numbers.

    Args:
        table: Of all trials.
        limits: The budget by column; a cost without a limit is measured from the largest among complete trials.
    """
    names = records.objectives_of(table)
    done = records.complete(table, names).sort_values("number")
    if done.empty:
        return SearchProgress(hypervolume=(), best=(), num_asked=len(table), reference={})
    worst = reference_of(table, names) | {name: limits[name] for name in names if name in limits}
    points, numbers = done[names].to_numpy(dtype="float64"), [int(each) + 1 for each in done["number"]]
    whole = float(np.prod([1.0 if records.is_accuracy(name) else max(worst[name], 1e-12) for name in names]))
    first = next(index for index, name in enumerate(names) if records.is_accuracy(name))
    best = np.maximum.accumulate(points[:, first])
    areas = _areas(points, [worst[name] for name in names], names)
    return SearchProgress(
        hypervolume=_steps(numbers, [area / whole for area in areas]),
        best=_steps(numbers, best.tolist()),
        num_asked=int(table["number"].max()) + 1,
        reference=worst,
    )


def _areas(points: Points, worst: list[float], names: list[str]) -> list[float]:
    """Returns the hypervolume after each point; a dominated point changes nothing."""
    signs = np.asarray([-1.0 if records.is_accuracy(name) else 1.0 for name in names])
    kept, area, areas = points[:0], 0.0, []
    for point in points:
        if not ((kept * signs <= point * signs).all(axis=1)).any():
            beaten = (kept * signs >= point * signs).all(axis=1)
            kept = np.vstack([kept[~beaten], point])
            area = dominated(kept, worst, names)
        areas.append(area)
    return areas


def _steps(numbers: list[int], values: list[float]) -> tuple[tuple[int, float], ...]:
    """Keeps the first point and those at which the value changes."""
    pairs = list(zip(numbers, values, strict=True))
    return tuple(pair for index, pair in enumerate(pairs) if index == 0 or pair[1] != pairs[index - 1][1])
