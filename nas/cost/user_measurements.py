"""A user's measured latencies: read them, check them for wrong units and rows, and fit a profile to them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.cost.calibration import MAX_FOLDS, calibrated, hold_out
from nas.cost.latency import LatencyModel
from nas.cost.measurements import Measurements, joined, load
from nas.cost.operators import read_operators
from nas.cost.profile import Profile, device_names, prior
from nas.cost.residual import Residual
from nas.cost.terms import Vector, network_terms
from search_space import DESIGNS, Architecture, lower
from search_space.errors import DataError, SpaceError, UserError, counted, nearest, unknown_name
from search_space.files import read_bytes
from search_space.trained_section import read_trained

MAX_BYTES = 16_000_000
MOST = 100_000
"""Largest number of classes, and of pixels per side."""
NEEDED = ("model", "latency_ms")
OPTIONAL = ("input_h", "input_w", "num_classes", "family")
DEFAULT_CLASSES = 80
"""Classes of an architecture file if the row gives none; a design has its own."""
NOISE = 0.03
"""Standard deviation of the log ratio of a user's measurement to the model; lower than for published tables."""
WRONG_UNIT = 50.0
"""Median ratio of measured to predicted time, or its inverse, from which the unit is assumed to be wrong."""
OUTLIER = 20.0
"""Largest factor between a row's ratio and the median ratio of the others."""
REPEAT = 2.0
"""Largest factor between measurements of one network."""
OWN = "own measurement"
"""Marks a user's rows in the `fitted_on` of a profile."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """One measured latency from the user's table."""

    line: int
    """Line of the file, from 1."""
    model: str
    latency_ms: float
    input_hw: tuple[int, int] | None = None
    num_classes: int | None = None
    family: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnMeasurements:
    """A user's measurements, in the order of the rows."""

    rows: tuple[MeasuredRow, ...]
    measurements: Measurements
    labels: tuple[str, ...]
    """Names of the measured networks for messages."""
    network: NDArray[np.intp]
    """Index of the network of each row; repeated measurements share one."""
    guessed_classes: bool
    """Whether the default number of classes was used for some row."""

    @property
    def num_networks(self) -> int:
        """Number of different networks."""
        return int(self.network.max()) + 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A calibrated profile, and the predictions for the user's rows before and after."""

    profile: Profile
    residual: Residual | None
    names: list[str]
    """Names of all networks of the fit, in the order of the residual's rows."""
    before_ms: Vector
    after_ms: Vector | None
    """Predictions from fits without the predicted network; None if nothing can be held out."""
    held_out: str
    num_shipped: int


def read_rows(path: Path) -> tuple[tuple[MeasuredRow, ...], tuple[str, ...]]:
    """Reads a CSV of measured latencies and returns its rows and its unused columns.

    Raises:
        DataError: The file cannot be read, or a value is invalid; the error names row and value.
    """
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text, newline=""))]
    except FileNotFoundError:
        raise DataError(f"no measurements {path}; give a CSV with columns {', '.join(NEEDED)}") from None
    except (OSError, OverflowError, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a CSV: {reason}; give one with columns {', '.join(NEEDED)}") from None
    header = lines[0] if lines else []
    known = (*NEEDED, *OPTIONAL)
    missing = [name for name in NEEDED if name not in header]
    if missing:
        has = f"it has: {' '.join(', '.join(header).split())[:300]}" if any(header) else "it is empty"
        has += "; separate cells with commas" if any(mark in "".join(header) for mark in ";\t") else ""
        near = "".join(nearest(name, [missing[0]]) and f"; is {name} {missing[0]}?" for name in header)
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; {has}{near}; needed: {', '.join(NEEDED)}, "
            f"optional: {', '.join(OPTIONAL)}"
        )
    ignored = tuple(name for name in header if name not in known)
    for name in ignored:
        if name and nearest(name, OPTIONAL):
            raise DataError(f"{path}: {unknown_name('column', name, known)}")
    if len(set(header)) < len(header):
        raise DataError(f"{path} has a column twice: {' '.join(', '.join(header).split())[:300]}; name each once")
    rows = [_row(path, line, header, cells) for line, cells in enumerate(lines[1:], start=2) if any(cells)]
    if not rows:
        raise DataError(f"{path} contains no measurements; give one row per measured network")
    return tuple(rows), ignored


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> MeasuredRow:
    where = f"{path}, row {line}"
    if len(cells) != len(header):
        raise DataError(f"{where} has {len(cells)} cells, the header has {len(header)}; write decimals with a point")
    cell = dict(zip(header, cells, strict=True))
    if not cell["model"]:
        raise DataError(f"{where}: model is empty; give a design, an architecture's YAML file or a name of --ops")
    try:
        latency_ms = math.nan if "_" in cell["latency_ms"] else float(cell["latency_ms"])
    except ValueError:
        latency_ms = math.nan
    if not 0 < latency_ms < math.inf:
        raise DataError(f"{where}: latency_ms is {cell['latency_ms']!r}; it must be a positive number of milliseconds")
    whole = {name: _whole(where, name, cell.get(name, "")) for name in OPTIONAL[:3]}
    height, width = whole["input_h"], whole["input_w"]
    if (height is None) != (width is None):
        raise DataError(f"{where} has only one of input_h and input_w; give both or none")
    return MeasuredRow(
        line=line,
        model=cell["model"],
        latency_ms=latency_ms,
        input_hw=None if height is None or width is None else (height, width),
        num_classes=whole["num_classes"],
        family=cell.get("family", ""),
    )


def _whole(where: str, name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not (1 <= value <= MOST and value.is_integer()):
        raise DataError(f"{where}: {name} is {text!r}; it must be an integer from 1 to {MOST:,}, or empty")
    return int(value)


def measured(
    path: Path, rows: tuple[MeasuredRow, ...], model: LatencyModel, ops: Path | None = None
) -> OwnMeasurements:
    """Returns the rows with the terms of their networks.

    Args:
        path: File of the rows; architecture files are looked up beside it, then in the working directory.
        rows: Rows from `read_rows`.
        model: Model of the profile to calibrate.
        ops: Table of operators whose networks the rows may name.

    Raises:
        UserError: The network of a row is unknown or invalid, or two rows contradict each other.
    """
    tables: dict[str, Vector] = {}
    if ops is not None:
        names, operators = read_operators(ops)
        tables = dict(zip(names, network_terms(operators, model.profile.rules, len(names)), strict=True))
    terms, labels, keys, guessed = [], [], [], False
    for row in rows:
        if row.model in tables:
            terms.append(tables[row.model])
            labels.append(row.model)
            keys.append(row.model)
            continue
        arch, num_classes, guess = architecture_of(path, row, tables)
        try:
            terms.append(model.terms(lower(arch, num_classes=num_classes)))
        except SpaceError as error:
            raise DataError(f"{path}, row {row.line}: {row.model} is invalid: {error}") from None
        labels.append(f"{row.model} {arch.input_hw[1]}x{arch.input_hw[0]}, {counted(num_classes, 'class', 'classes')}")
        keys.append(f"{arch.key()} {num_classes}")
        guessed |= guess
    network = np.unique(np.asarray(keys), return_inverse=True)[1].astype(np.intp)
    latency_ms = np.array([row.latency_ms for row in rows])
    _check_repeats(path, rows, network)
    return OwnMeasurements(
        rows=rows,
        measurements=Measurements(
            names=tuple(labels),
            terms=np.array(terms),
            latency_ms=latency_ms,
            noise=np.full(len(rows), NOISE),
            families=_families(rows, labels, network),
        ),
        labels=tuple(labels),
        network=network,
        guessed_classes=guessed,
    )


def architecture_of(path: Path, row: MeasuredRow, tables: Mapping[str, Vector]) -> tuple[Architecture, int, bool]:
    """Returns a row's architecture, its number of classes, and whether that number is the default.

    Raises:
        DataError: There is no such architecture, or it does not take the size of the row.
    """
    where = f"{path}, row {row.line}"
    known: int | None
    if row.model in DESIGNS:
        design = DESIGNS.get(row.model)
        arch, known = design.architecture, design.num_classes
    else:
        files = [each for each in (path.parent / row.model, Path(row.model)) if os.path.isfile(each)]
        if not files:
            near = nearest(row.model, [*DESIGNS, *tables])
            raise DataError(
                f"{where}: unknown model {row.model!r}{near}; give a design (nas designs lists them), the path of an "
                "architecture's YAML file, or a model_name of --ops"
            )
        try:
            arch, trained = Architecture.from_yaml(files[0]), read_trained(files[0])
        except UserError as error:
            raise DataError(f"{where}: {error}") from None
        known = None if trained is None else trained.num_classes
    try:
        arch = arch if row.input_hw is None else arch.resized(row.input_hw)
    except SpaceError as error:
        raise DataError(f"{where}: {row.model} is invalid: {error}") from None
    num_classes = known if row.num_classes is None else row.num_classes
    return arch, DEFAULT_CLASSES if num_classes is None else num_classes, num_classes is None


def _families(rows: Sequence[MeasuredRow], labels: Sequence[str], network: NDArray[np.intp]) -> tuple[str, ...]:
    """Returns the families to hold out: the user's, otherwise each network, or groups of networks if there are many."""
    many = int(network.max()) >= MAX_FOLDS
    own = [f"own {each % MAX_FOLDS}" if many else label for each, label in zip(network, labels, strict=True)]
    return tuple(row.family or label for row, label in zip(rows, own, strict=True))


def _check_repeats(path: Path, rows: Sequence[MeasuredRow], network: NDArray[np.intp]) -> None:
    for each in np.unique(network):
        same = sorted(
            (rows[index] for index in np.flatnonzero(network == each).tolist()), key=lambda row: row.latency_ms
        )
        low, high = same[0], same[-1]
        if high.latency_ms > REPEAT * low.latency_ms:
            raise DataError(
                f"{path}: rows {low.line} and {high.line} are the same network, {low.model}, with {low.latency_ms:g} "
                f"and {high.latency_ms:g} ms; one of them is wrong, or they differ in input size or classes"
            )


def check_plausible(path: Path, own: OwnMeasurements, predicted_ms: Vector) -> None:
    """Compares measurements with the predictions before calibration, in milliseconds.

    Raises:
        DataError: One row is far off the others, or all rows seem to have another unit.
    """
    logs = np.log(own.measurements.latency_ms / predicted_ms)
    _check_outliers(path, own, predicted_ms, logs)
    median = float(np.median(logs))
    if abs(median) > np.log(WRONG_UNIT):
        unit, factor = ("seconds", 1e3) if median < 0 else ("microseconds", 1e-3)
        raise DataError(
            f"{path}: latency_ms seems to be in {unit}: row {own.rows[0].line} has {own.rows[0].latency_ms:g}, the "
            f"prediction is {predicted_ms[0]:.3g} ms; give milliseconds (times {factor:g})"
        )


def _check_outliers(path: Path, own: OwnMeasurements, predicted_ms: Vector, logs: Vector) -> None:
    if len(logs) < 2:
        return
    others = np.array([float(np.median(np.delete(logs, index))) for index in range(len(logs))])
    off = np.abs(logs - others)
    # Of two rows that contradict each other, name the one farther from its prediction.
    worst = int(np.lexsort((np.abs(logs), off.round(9)))[-1])
    if off[worst] > np.log(OUTLIER):
        row = own.rows[worst]
        raise DataError(
            f"{path}, row {row.line}: {row.model} with {row.latency_ms:g} ms is {np.exp(off[worst]):.0f} times off the "
            f"other rows; about {predicted_ms[worst] * np.exp(others[worst]):.3g} ms would fit them; measure it again "
            "or remove the row"
        )


def calibrate(model: LatencyModel, own: OwnMeasurements, source: str, *, keep_shipped: bool) -> Calibration:
    """Fits a profile to a user's measurements and measures its error before and after.

    Args:
        model: Model of the profile before calibration.
        own: The user's measurements.
        source: Their origin, for the profile's notes.
        keep_shipped: Whether to fit the profile's own measurements too; otherwise its constants are the prior of a fit
            to the user's rows alone.
    """
    profile = model.profile
    shipped = [load(each, profile.rules) for each in profile.measurements] if keep_shipped else []
    start = profile
    if not shipped and profile.name in device_names():
        start = replace(profile, like=profile.name)
    everything = joined([*shipped, own.measurements])
    num_shipped = len(everything) - len(own.rows)
    rows = f"{len(own.rows)} {OWN}{'s' * (len(own.rows) > 1)}"
    told = f"{rows} of {own.num_networks} network{'s' * (own.num_networks > 1)}, {source}"
    fitted_on = [*(each.what for each in profile.measurements if shipped), told]
    fitted, residual = calibrated(start, everything, fitted_on)
    with_whom = "together with the measurements of the package" if shipped else "on nothing else"
    after_ms, held_out = None, "nothing held out"
    if own.num_networks > 1 or shipped:
        folds = np.concatenate([np.full(num_shipped, -1), own.network % MAX_FOLDS])
        after_ms = hold_out(prior(start), everything, folds.astype(np.intp), skip=-1).latency_ms[num_shipped:]
        held_out = "leave one network out" if own.num_networks <= MAX_FOLDS else f"{MAX_FOLDS} folds of networks"
    # The ratios of the constants still rest on the measurements of the profile that the fit started from.
    known = {**(profile.measured if start.like == profile.name else {}), **fitted.measured}
    return Calibration(
        profile=replace(fitted, like=profile.like, measured=known, notes=f"calibrated on {told}, {with_whom}"),
        residual=residual,
        names=list(everything.names),
        before_ms=model.predict(own.measurements.terms).latency_ms,
        after_ms=after_ms,
        held_out=held_out,
        num_shipped=num_shipped,
    )


def rests_on_own(profile: Profile) -> bool:
    """Returns whether a profile was calibrated on a user's measurements."""
    return any(OWN in each for each in profile.fitted_on)
