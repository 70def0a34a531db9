"""One record a trial: the table `trials.csv` of a run folder.

The study of a run is its only source of truth; this table is derived from it and can be made again at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from results.pareto import nondominated

TRIALS_CSV = "trials.csv"
OUTCOMES = ("complete", "stopped", "rejected", "cached", "failed")

COLUMNS: Mapping[str, str] = {
    "number": "Int64",
    "outcome": "string",
    "reason": "string",
    "origin": "string",
    "retry_of": "Int64",
    "key": "string",
    "macs": "Int64",
    "params": "Int64",
    "weight_bytes": "Int64",
    "activation_bytes": "Int64",
    "input_height": "Int64",
    "input_width": "Int64",
    "levels": "string",
    "objective": "string",
    "latency_ms": "Float64",
    "latency_low_ms": "Float64",
    "latency_high_ms": "Float64",
    "latency_unsupported_share": "Float64",
    "accuracy": "Float64",
    "ap": "Float64",
    "ap50": "Float64",
    "ap_small": "Float64",
    "ap_medium": "Float64",
    "ap_large": "Float64",
    "epochs": "Float64",
    "images_seen": "Int64",
    "seconds": "Float64",
    "sampler_seed": "Int64",
}
"""The columns of every table, in order, with their types; after them come the parameters as `axis_NAME`.

`macs` counts multiply-adds in fvcore's convention; `epochs` and `images_seen` say how much training the trial got
(its fidelity), `seconds` how long it took; `accuracy` is what the search maximised, and all accuracies lie in 0..1.
`objective` names the column that it minimised. Latencies are predicted for the run's device, with their interval, and
the share of the time that lies in operators never measured there; they are missing where the run has no device.
"""

LATER = ("objective", "latency_ms", "latency_low_ms", "latency_high_ms", "latency_unsupported_share")
"""Columns that tables of the first runs do not have."""


def frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Makes the table of trials from rows of plain values; missing columns become missing values.

    Raises:
        ValueError: If a row holds a column that is neither known nor named `axis_...`, or an unknown outcome.
    """
    listed = [dict(row) for row in rows]
    axes = list(dict.fromkeys(name for row in listed for name in row if name.startswith("axis_")))
    unknown = {name for row in listed for name in row} - set(COLUMNS) - set(axes)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}; known: {', '.join(COLUMNS)}, axis_...")
    wrong = {row.get("outcome") for row in listed} - set(OUTCOMES)
    if wrong:
        raise ValueError(f"unknown outcomes {sorted(map(str, wrong))}; known: {', '.join(OUTCOMES)}")
    texts = [{name: _text(value) if name in axes else value for name, value in row.items()} for row in listed]
    table = pd.DataFrame(texts, columns=[*COLUMNS, *axes], dtype="object")
    typed: pd.DataFrame = table.astype({**COLUMNS, **dict.fromkeys(axes, "string")})
    return typed


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV under a temporary name and renames it: a reader never sees half a file."""
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False)
    os.replace(part, path)


def load(run_dir: Path | str) -> pd.DataFrame:
    """Reads the table of trials of a run folder, one row a trial, with the types of `COLUMNS`.

    Raises:
        FileNotFoundError: If the folder has no table.
        ValueError: If the file is not such a table.
    """
    path = Path(run_dir) / TRIALS_CSV
    if not path.is_file():
        raise FileNotFoundError(f"{run_dir} is not the folder of a run: it has no {TRIALS_CSV}")
    # Only an empty cell is a missing value: 'none' and 'null' can be choices of an axis.
    table = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    for name in LATER:
        if name not in table.columns:
            table[name] = pd.NA
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it was not written by this version")
    typed: pd.DataFrame = table.astype(dict(COLUMNS))
    return typed


def front(table: pd.DataFrame) -> pd.DataFrame:
    """Selects the front: complete trials that no other beats in accuracy and in MACs, or in whatever the run minimised.

    The most accurate comes first.

    Stopped, rejected and failed trials never count; a cached trial repeats a complete one and is left out.
    """
    objective = objective_of(table)
    complete = table[(table["outcome"] == "complete") & table["accuracy"].notna() & table[objective].notna()]
    points = complete[["accuracy", objective]].to_numpy(dtype="float64")
    chosen = complete[nondominated(points, (True, False))].drop_duplicates("key")
    order = ["accuracy", objective, "number"]
    members: pd.DataFrame = chosen.sort_values(order, ascending=[False, True, True], ignore_index=True)
    return members


def objective_of(table: pd.DataFrame) -> str:
    """Returns the column that a run minimised."""
    named = list(table["objective"].dropna()) if "objective" in table else []
    return str(named[0]) if named else "macs"


def tally(table: pd.DataFrame) -> dict[str, int]:
    """Counts the trials asked for and what became of them; the outcomes always add up to `asked`."""
    counts = {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}
    return {"asked": len(table), **counts}


def _text(value: object) -> str | None:
    """Returns a parameter as it is written in the table; a missing one stays missing."""
    return None if value is None else str(value)
