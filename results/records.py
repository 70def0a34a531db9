"""The table of trials, `trials.csv` of a run folder: one row a trial, read and written.

The study of a run is the source of truth; the table is derived from it and can be rewritten at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from results.pareto import nondominated
from results.ties import format_draws, parse_draws
from results.trial import HELD_OUT, Cause, Origin, Outcome, Trial
from results.visible import as_cell, from_cell

TRIALS_CSV = "trials.csv"
OUTCOMES = tuple(each.value for each in Outcome if each is not Outcome.RUNNING)
"""Of the trials in a table, which have ended."""

COLUMNS: Mapping[str, str] = {
    "number": "Int64",
    "outcome": "string",
    "cause": "string",
    "reason": "string",
    "origin": "string",
    "retry_of": "Int64",
    "promoted_from": "Int64",
    "repeat_of": "Int64",
    "imported_from": "string",
    "rung": "Int64",
    "rungs": "Int64",
    "attempt": "Int64",
    "training_seed": "Int64",
    "worker": "string",
    "key": "string",
    "macs": "Int64",
    "params": "Int64",
    "weight_bytes": "Int64",
    "activation_bytes": "Int64",
    "memory_bytes": "Int64",
    "input_height": "Int64",
    "input_width": "Int64",
    "levels": "string",
    "objectives": "string",
    "latency_ms": "Float64",
    "latency_low_ms": "Float64",
    "latency_high_ms": "Float64",
    "latency_unsupported_share": "Float64",
    "proxy": "Float64",
    "accuracy": "Float64",
    "accuracy_low": "Float64",
    "accuracy_high": "Float64",
    "ap": "Float64",
    "ap50": "Float64",
    "ap_small": "Float64",
    "ap_medium": "Float64",
    "ap_large": "Float64",
    "epochs": "Float64",
    "images_seen": "Int64",
    "seconds": "Float64",
    "peak_memory_bytes": "Int64",
    "accuracy_draws": "string",
}
"""The columns of every table, in order, with their types. After them come those of `SOME_COLUMNS` that a trial of the
run has, APs of size bins as `ap_LOW_HIGH`, and the choices on the axes as `axis_NAME`.

`macs` counts multiply-adds in fvcore's convention. `memory_bytes` is the peak of one image's activations as 32-bit
floats, counted; `peak_memory_bytes` is what the training was measured to take. `rung` of `rungs`, `epochs` and
`images_seen` say how much training the trial got, `seconds` how long it took. All accuracies lie in 0..1. `objectives`
names the columns that the run searched by. `accuracy_low` and `accuracy_high` are the 95 % interval of the bootstrap
over the validation images, `accuracy_draws` its draws in units of 1e-4: the same images in the same order for all
trials, so that two of them can be compared draw by draw. Latencies are predicted for the run's device, with their
interval and the share of the time in operators never measured there; they are missing where the run has no device.
"""
SOME_COLUMNS: Mapping[str, str] = {
    "pretrained_params": "Float64",
    "pretrained_macs": "Float64",
    "audit_of": "Int64",
    "donor": "Int64",
    "inherited_macs": "Float64",
    "images_in_all": "Int64",
    "peak_learning_rate": "Float64",
    "training_seconds": "Float64",
    "held_out_accuracy": "Float64",
    "held_out_accuracy_low": "Float64",
    "held_out_accuracy_high": "Float64",
    "held_out_ap": "Float64",
    "held_out_ap50": "Float64",
    "held_out_ap_small": "Float64",
}
"""The columns of some tables only, with their types.

Where trials start from pretrained weights: the share of the parameters, and that of the multiply-adds, whose weights
came from there, in 0..1. They are missing for trials that continue from the weights of a lower rung.

Where trials start from donors: the number of the trial that is the donor, the share of the multiply-adds that it gave
usable weights for (`nas.transfer.usable_macs`), the images that the weights have seen in all, those of the donors
included, and the peak learning rate of a training with a donor. `audit_of` is the number of the trial with a donor
whose architecture a trial trains from scratch, to check its score.

`training_seconds` is the part of `seconds` that was spent on training. The columns `held_out_...` are the scores of
trials of the last rung on the validation images that are held out: those of a run with `--holdout yes`.
"""
SCORES = (
    *("proxy", "accuracy", "accuracy_low", "accuracy_high"),
    *("ap", "ap50", "ap_small", "ap_medium", "ap_large"),
    *(f"held_out_{name}" for name in HELD_OUT),
)
"""The columns that are scores of a trial, beside the APs of size bins."""
AXIS = "axis_"

TYPES: Mapping[str, Callable[[Any], Any]] = {"Int64": int, "Float64": float, "string": str}
TEXTS = ("outcome", "cause", "origin", "levels", "objectives", "accuracy_draws")
"""The columns whose texts are more than that in a `Trial`."""
REQUIRED = (
    *("number", "outcome", "key", "origin", "rung", "rungs", "input_height", "input_width", "levels"),
    *("macs", "params", "weight_bytes", "activation_bytes", "memory_bytes"),
)
"""What every trial has."""
KEY, LEVELS = r"[0-9A-Za-z_-]{1,64}", r"P\d{1,2}( P\d{1,2})*"
BIN_COLUMN = re.compile(r"ap_\d+_\d+")
ANEW = "next: nas run --resume {run} rewrites it from the study"
_ADDED = re.compile(rb'\{"op_code":4,.*?"state":(\d)')
_ENDED = re.compile(rb'\{"op_code":6,.*?"trial_id":(\d+),"state":[123],')
DEFAULT_OBJECTIVES = ("accuracy", "macs")


def frame(trials: Iterable[Trial]) -> pd.DataFrame:
    """Makes the table of trials; what a trial does not have is a missing value.

    Raises:
        ValueError: If a trial has a score that is no column, or has not ended.
    """
    rows = [as_row(trial) for trial in trials]
    names = list(dict.fromkeys(name for row in rows for name in row))
    axes = [name for name in names if name.startswith(AXIS)]
    bins = [name for name in names if BIN_COLUMN.fullmatch(name)]
    some = [name for name in SOME_COLUMNS if name in names]
    unknown = set(names) - set(COLUMNS) - set(some) - set(axes) - set(bins)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}; known: {', '.join(COLUMNS)}, ap_LOW_HIGH, axis_...")
    if any(row["outcome"] not in OUTCOMES for row in rows):
        raise ValueError(f"a trial that is under way has no place in a table; allowed: {', '.join(OUTCOMES)}")
    types: dict[str, Any] = {**_types([*some, *bins]), **dict.fromkeys(axes, "string")}
    cells: dict[str, Any] = {name: [row.get(name) for row in rows] for name in types}
    table: pd.DataFrame = pd.DataFrame({name: pd.array(cells[name], dtype=kind) for name, kind in types.items()})
    return table


def _types(further: Iterable[str]) -> dict[str, str]:
    """Returns the types of `COLUMNS`, of columns of `SOME_COLUMNS`, and of others, which are shares."""
    return {**COLUMNS, **{name: SOME_COLUMNS.get(name, "Float64") for name in further}}


def trials_of(table: pd.DataFrame) -> list[Trial]:
    """Returns the trials of a table, in its order; inverse of `frame`.

    Raises:
        ValueError: If a row is no trial.
    """
    plain = table.astype(object).where(table.notna(), None)
    return [trial_of({str(name): value for name, value in row.items()}) for row in plain.to_dict("records")]


def as_row(trial: Trial) -> dict[str, Any]:
    """Returns a trial as plain values by column, without those that it does not have."""
    fields = {name: value for name, value in vars(trial).items() if name in COLUMNS or name in SOME_COLUMNS}
    texts = {
        "outcome": trial.outcome.value,
        "cause": None if trial.cause is None else trial.cause.value,
        "reason": trial.reason or None,
        "origin": str(trial.origin),
        "worker": trial.worker or None,
        "levels": " ".join(trial.levels),
        "objectives": " ".join(trial.objectives) or None,
        "accuracy_draws": format_draws(trial.accuracy_draws) or None,
    }
    axes = {f"{AXIS}{name}": choice for name, choice in trial.axes.items()}
    row = {**fields, **texts, **trial.scores, **axes}
    return {name: value for name, value in row.items() if value is not None}


def trial_of(row: Mapping[str, Any]) -> Trial:
    """Returns the trial of plain values by column; inverse of `as_row`. Other columns are left out.

    Raises:
        ValueError: If a value that every trial has is missing, or an outcome or a cause is unknown.
    """
    known = {name: value for name, value in row.items() if value is not None and value == value}  # no NaN
    missing = [name for name in REQUIRED if name not in known]
    if missing:
        raise ValueError(f"a record lacks its {', '.join(missing)}")
    typed = {name: TYPES[kind](known[name]) for name, kind in {**COLUMNS, **SOME_COLUMNS}.items() if name in known}
    return Trial(
        **{name: value for name, value in typed.items() if name not in (*SCORES, *TEXTS)},
        outcome=Outcome(typed["outcome"]),
        cause=Cause(typed["cause"]) if "cause" in typed else None,
        origin=Origin.parse(typed["origin"]),
        levels=tuple(typed["levels"].split()),
        objectives=tuple(typed.get("objectives", "").split()),
        accuracy_draws=tuple(parse_draws(typed.get("accuracy_draws"))),
        scores={name: float(value) for name, value in known.items() if name in SCORES or BIN_COLUMN.fullmatch(name)},
        axes={name[len(AXIS) :]: str(choice) for name, choice in known.items() if name.startswith(AXIS)},
    )


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV atomically."""
    part = path.with_name(path.name + ".part")
    cells = {name: _cells(table[name]) for name in table.columns if table[name].dtype == "string"}
    try:
        table.assign(**cells).to_csv(part, index=False)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _cells(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the texts of a column as they are written; plain objects, which are written in a third of the time."""
    cells = [None if each is pd.NA else as_cell(each) for each in texts.tolist()]
    return pd.Series(cells, index=texts.index, dtype=object)


def load(run_dir: Path | str, name: str = TRIALS_CSV) -> pd.DataFrame:
    """Reads the table of trials of the folder of a run, with the types of `COLUMNS`.

    Raises:
        FileNotFoundError: The folder has no table.
        ValueError: The file is not such a table, or is damaged.
    """
    path = Path(run_dir) / name
    if not path.is_file():
        raise FileNotFoundError(f"{run_dir} is not the folder of a run: it has no {name}")
    try:
        return _read(path)
    except (ArithmeticError, TypeError, ValueError) as error:  # pandas' own errors are ValueErrors
        first = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} is damaged or no table of trials: {first}; {ANEW.format(run=run_dir)}") from None


def _read(path: Path) -> pd.DataFrame:
    # Only an empty cell is a missing value, because 'none' and 'null' may be choices of an axis.
    table = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"it lacks the columns {', '.join(missing)}, and was not written by this version")
    further = [name for name in table.columns if name in SOME_COLUMNS or BIN_COLUMN.fullmatch(name)]
    table = table.apply(lambda column: column.map(from_cell, na_action="ignore").astype("string"))
    typed: pd.DataFrame = table.astype(_types(further))
    _check(typed)
    return typed


def _check(table: pd.DataFrame) -> None:
    """Raises ValueError where a table holds what no trial has: keys become file names, levels are computed with."""
    for name, pattern in (("key", KEY), ("levels", LEVELS), ("outcome", "|".join(OUTCOMES))):
        given = table[name].dropna()
        if not (good := given.str.fullmatch(pattern)).all():
            raise ValueError(f"{name} {given[~good].iloc[0]!r} is none that a trial can have")
    if table[["number", "outcome", "key"]].isna().any(axis=None):
        raise ValueError("a record lacks its number, outcome or key")
    if table["objectives"].nunique() > 1:
        raise ValueError("its rows have different objectives")
    numbers = [name for name, kind in COLUMNS.items() if kind != "string"]
    for name in objectives_of(table):
        if name not in numbers and not (BIN_COLUMN.fullmatch(name) and name in table.columns):
            raise ValueError(f"objective {name!r} is no number of a trial")
    if not any(map(is_accuracy, objectives_of(table))):
        raise ValueError("none of its objectives is an accuracy")
    trials_of(table)


def shortfall(run_dir: Path | str, table: pd.DataFrame) -> str:
    """Returns a notice if a table has fewer trials than the study in its folder, else an empty string.

    The study of a run under way may be one trial ahead of its table for a moment.
    """
    journal = Path(run_dir) / "study.journal"
    ended = _num_ended(journal.read_bytes()) if journal.is_file() else 0
    if ended <= len(table):
        return ""
    return (
        f"{Path(run_dir) / TRIALS_CSV} has {len(table)} of the {ended} trials that have ended; "
        f"{ANEW.format(run=run_dir)}"
    )


def _num_ended(journal: bytes) -> int:
    """Counts the trials in a journal that have ended: added as ended, or ended later."""
    ended: set[int] = set()
    count = 0
    for line in journal.split(b"\n"):
        added = _ADDED.match(line)
        later = _ENDED.match(line)
        if added:
            ended |= {count} if b'"spec":' in line and added[1] != b"0" else set()
            count += 1
        elif later:
            ended.add(int(later[1]))
    return len(ended)


def front(table: pd.DataFrame) -> pd.DataFrame:
    """Selects the front: the trials of `candidates` that no other of them dominates in the objectives of the run.

    The best in the first accuracy comes first. Rejected and failed trials do not count, nor do repetitions with other
    seeds or from scratch; of several trials of an architecture the first counts. What detects nothing does not count,
    however cheap it is, unless there is nothing else.
    """
    names = objectives_of(table)
    done = candidates(table, names)
    maximise = [is_accuracy(name) for name in names]
    first = next(name for name in names if is_accuracy(name))
    detects = done[first].gt(0).fillna(False).astype(bool)
    done = done[detects] if detects.any() else done
    chosen = done[nondominated(done[names].to_numpy(dtype="float64"), maximise)]
    others = [name for name in names if name != first]
    order = [False, *(is_accuracy(name) is False for name in others), True]
    members: pd.DataFrame = chosen.sort_values([first, *others, "number"], ascending=order, ignore_index=True)
    return members


def candidates(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Selects the trials that a front is made of, each architecture once: those that are complete.

    While there is none, they are the trials of the highest rung that has any, and while there are none of these, those
    that were cut short.
    """
    found = complete(table, names)
    if found.empty:
        found = _scored(table, names, ("complete", "stopped", "cached"))
        ended = found[found["cause"].ne(Cause.TIME_UP.value).fillna(True).astype(bool)]
        found = found if ended.empty else ended[ended["rung"] == ended["rung"].max()]
    each_once: pd.DataFrame = found.drop_duplicates("key")
    return each_once


def complete(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Selects the trials on the last rung that have all these values, each architecture once."""
    scored = _scored(table, names, ("complete", "cached"))
    on_last = (scored["rung"] == scored["rungs"]).fillna(True).astype(bool)
    done: pd.DataFrame = scored[on_last].drop_duplicates("key")
    return done


def _scored(table: pd.DataFrame, names: Sequence[str], outcomes: Sequence[str]) -> pd.DataFrame:
    """Selects the trials that have one of these outcomes and all these values, without repetitions."""
    has_all = table[list(names)].notna().all(axis=1)
    chosen = table["outcome"].isin(outcomes) & ~is_repetition(table) & has_all
    found: pd.DataFrame = table[chosen.astype(bool)]
    return found


def is_repetition(table: pd.DataFrame) -> pd.Series:
    """Returns for each trial whether it trains again what another one trained; see `Trial.is_repetition`."""
    again: pd.Series = table["repeat_of"].notna()
    return again | table["audit_of"].notna() if "audit_of" in table else again


def objectives_of(table: pd.DataFrame) -> list[str]:
    """Returns the objectives of a run in their order."""
    named = list(table["objectives"].dropna())
    return str(named[0]).split() if named else list(DEFAULT_OBJECTIVES)


def is_accuracy(name: str) -> bool:
    """Whether a column is an accuracy, which is maximised; other objectives are costs."""
    return name.startswith(("accuracy", "ap"))


def tally(table: pd.DataFrame) -> dict[str, int]:
    """Counts the trials by outcome; the outcomes add up to `asked`, the number of all trials."""
    counts = {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}
    return {"asked": len(table), **counts}
