"""The trials of a run for a notebook: a tidy frame, its front, its hypervolume."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from results import pareto, records

RENAMED = {"input_height": "input_height_px", "input_width": "input_width_px"}


def load(run: Path | str) -> pd.DataFrame:
    """Reads all trials of a run, one row each, in the order of their numbers.

    Args:
        run: Folder of the run.

    Returns:
        The columns of `trials.csv` (see `results.records.COLUMNS`), with the sides of the input as `input_height_px`
        and `input_width_px`, and two more: `gmacs`, which are fvcore's GFLOPs, and `gflops_2x`, which count a
        multiply-add as two. Accuracies are shares between 0 and 1; missing values are `pandas.NA`.

    Raises:
        FileNotFoundError: The folder has no table of trials.
        ValueError: The table is damaged or was not written by this version.

    Warns:
        UserWarning: The study has more trials than the table.
    """
    loaded = records.load(run)
    missing = records.shortfall(run, loaded)
    if missing:
        warnings.warn(missing, stacklevel=2)
    return tidy(loaded)


def tidy(records_table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table of `trials.csv` in the columns of `load`."""
    table: pd.DataFrame = records_table.sort_values("number", ignore_index=True).rename(columns=RENAMED)
    place = list(table.columns).index("macs") + 1
    table.insert(place, "gmacs", table["macs"].astype("Float64") / 1e9)
    table.insert(place + 1, "gflops_2x", 2 * table["macs"].astype("Float64") / 1e9)
    return table


def front(frame: pd.DataFrame, objectives: Sequence[str] | None = None) -> pd.DataFrame:
    """Selects the trials that no other dominates in the objectives, the best in the first accuracy first.

    Only trials on the last rung count, each architecture once, without repetitions with other seeds. While there is
    none, the trials of the highest rung that has any count: their `rung` is below their `rungs`.

    Args:
        frame: As returned by `load`, or a part of its rows.
        objectives: Columns; accuracies are maximised, all others minimised. None: the objectives of the run.

    Raises:
        ValueError: An objective is not a numeric column, or none of them is an accuracy.
    """
    if objectives is not None:
        frame = frame.assign(objectives=" ".join(_checked(frame, objectives)))
    return records.front(frame)


def hypervolume(
    frame: pd.DataFrame, objectives: Sequence[str] | None = None, *, reference: Mapping[str, float] | None = None
) -> float:
    """Returns the hypervolume of the front: an area for two objectives, a volume for three, a length for one.

    Only trials on the last rung count.

    Args:
        frame: As returned by `load`, or a part of its rows.
        objectives: As in `front`.
        reference: The worst value of interest by objective, in the unit of its column. Default: 0 for an accuracy,
            the largest value among the trials on the last rung for a cost. To compare runs, pass the same to all.

    Returns:
        The hypervolume in the product of the units of all objectives; 0 while no trial is on the last rung.

    Raises:
        ValueError: See `front`; or a reference is not for an objective.
    """
    names = list(objectives or records.objectives_of(frame))
    unknown = set(reference or {}) - set(names)
    if unknown:
        raise ValueError(f"the reference names {', '.join(sorted(unknown))}; allowed: {', '.join(names)}")
    if objectives is not None:
        _checked(frame, names)
    members = front(records.complete(frame, names), objectives)
    if members.empty:
        return 0.0
    worst = reference_of(frame, names) | dict(reference or {})
    return dominated(members[names].to_numpy(dtype="float64"), [worst[name] for name in names], names)


def reference_of(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Returns the default reference: 0 for an accuracy, the largest value among complete trials for a cost."""
    done = records.complete(frame, names)
    return {name: 0.0 if records.is_accuracy(name) else float(done[name].max()) for name in names}


def dominated(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], worst: Sequence[float], names: Sequence[str]
) -> float:
    """Returns the hypervolume of points `(N, M)` in one to three objectives, bounded by the worst values `(M,)`."""
    maximise = [records.is_accuracy(name) for name in names]
    if len(names) > 1:
        return pareto.hypervolume(points, worst, maximise)
    gains = points[:, 0] - worst[0] if maximise[0] else worst[0] - points[:, 0]
    return float(max(gains.max(initial=0.0), 0.0))


def _checked(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Returns the names of objectives, checked as `front` says."""
    numbers = [str(name) for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    for name in names:
        if name not in numbers:
            raise ValueError(f"objective {name!r} is no number of a trial; allowed: {', '.join(numbers)}")
    if not any(records.is_accuracy(name) for name in names):
        raise ValueError(f"none of the objectives {', '.join(names) or '(none)'} is an accuracy; add accuracy or ap50")
    return list(names)
