"""The trials of a run for a notebook: a tidy frame, its front, and how much that dominates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from results import pareto, records

RENAMED = {"input_height": "input_height_px", "input_width": "input_width_px"}


def load(run: Path | str) -> pd.DataFrame:
    """Reads all trials of a run, one row a trial, in the order of their numbers.

    Args:
        run: Folder of the run.

    Returns:
        The columns of `trials.csv` (`results.records.COLUMNS` says what they hold), with the sides of the input as
        `input_height_px` and `input_width_px`, and two more: `gmacs`, which is fvcore's GFLOPs, and `gflops_2x`, in
        which a multiply-add is two. Accuracies are shares between 0 and 1; what is missing is `pandas.NA`.

    Raises:
        FileNotFoundError: If the folder has no table of trials.
        ValueError: If the table is damaged or none of this version.

    Warns:
        UserWarning: If the study has more trials than the table.
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
    """Selects the trials that no other beats in the objectives, the best in the first accuracy first.

    Only trials on the last rung count, and each architecture once; repetitions with other seeds do not.

    Args:
        frame: As `load` gives it, or a part of its rows.
        objectives: Columns, of which accuracies are made large and all others small; those of the run unless said.

    Raises:
        ValueError: If an objective is no number of a trial, or none of them is an accuracy.
    """
    if objectives is not None:
        frame = frame.assign(objectives=" ".join(_checked(frame, objectives)))
    return records.front(frame)


def hypervolume(
    frame: pd.DataFrame, objectives: Sequence[str] | None = None, *, reference: Mapping[str, float] | None = None
) -> float:
    """Measures what the front dominates: an area for two objectives, a volume for three, a length for one.

    Args:
        frame: As `load` gives it, or a part of its rows.
        objectives: As in `front`.
        reference: The worst value of interest by objective, in the unit of its column. Left out: 0 of an accuracy,
            and of a cost the largest among the trials on the last rung. To compare runs, give the same to all.

    Returns:
        The product of the units of all objectives; 0 where there is no front.

    Raises:
        ValueError: As `front` does, and for a reference of something else than an objective.
    """
    names = list(objectives or records.objectives_of(frame))
    unknown = set(reference or {}) - set(names)
    if unknown:
        raise ValueError(f"the reference names {', '.join(sorted(unknown))}; allowed: {', '.join(names)}")
    members = front(frame, objectives)
    if members.empty:
        return 0.0
    worst = reference_of(frame, names) | dict(reference or {})
    return dominated(members[names].to_numpy(dtype="float64"), [worst[name] for name in names], names)


def reference_of(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Returns the worst value of each objective: 0 of an accuracy, of a cost the largest among complete trials."""
    done = records.complete(frame, names)
    return {name: 0.0 if records.is_accuracy(name) else float(done[name].max()) for name in names}


def dominated(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], worst: Sequence[float], names: Sequence[str]
) -> float:
    """Returns the hypervolume of points `(N, M)` in one to three objectives up to the worst values `(M,)`."""
    maximise = [records.is_accuracy(name) for name in names]
    if len(names) > 1:
        return pareto.hypervolume(points, worst, maximise)
    gains = points[:, 0] - worst[0] if maximise[0] else worst[0] - points[:, 0]
    return float(max(gains.max(initial=0.0), 0.0))


def _checked(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Returns the names of objectives; see `front` for what is wrong with which."""
    numbers = [str(name) for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    for name in names:
        if name not in numbers:
            raise ValueError(f"objective {name!r} is no number of a trial; allowed: {', '.join(numbers)}")
    if not any(records.is_accuracy(name) for name in names):
        raise ValueError(f"none of the objectives {', '.join(names) or '(none)'} is an accuracy; add accuracy or ap50")
    return list(names)
