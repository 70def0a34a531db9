"""Measured latencies from the tables in the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.cost.operators import Operators, read_operators
from nas.cost.terms import Rules, Vector, network_terms
from search_space.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

DATA = Path(__file__).parent / "data"
UNITS_MS = {"s": 1e3, "ms": 1.0}


@dataclass(frozen=True, kw_only=True)
class MeasurementSource:
    """Measurements of a profile: a table of latencies and a table of operators."""

    latency: str
    """CSV in `nas/cost/data` with one row per network."""
    operators: str
    """CSV in `nas/cost/data`, in the format of `read_operators`."""
    column: str
    """Column of the latency."""
    unit: str = "ms"
    name: str = "model_name"
    """Column of the network's name in the table of operators."""
    family: str = "family"
    """Column of the family; families are held out together."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Values of columns that select rows."""
    noise: float = 0.05
    """Standard deviation of the logarithm of measured over predicted time."""
    what: str = ""
    """One sentence: who measured what, under which licence."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS_MS or not 0 < self.noise < 10:
            raise ValueError(
                f"measurements: unit is {self.unit!r}, noise {self.noise}; use s or ms, and a noise above 0"
            )
        for name in (self.latency, self.operators):
            if Path(name).name != name:
                raise ValueError(f"measurements: {name!r} must be the name of a file in nas/cost/data")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurements:
    """Measured networks of one profile."""

    names: tuple[str, ...]
    terms: Vector
    """`(n, len(TERMS))`, computed with the rules of the profile."""
    latency_ms: Vector
    noise: Vector
    """Standard deviation of the logarithm of measured over predicted time, `(n,)`."""
    families: tuple[str, ...]
    """Networks of one family are held out together, `(n,)`."""

    def __len__(self) -> int:
        return len(self.latency_ms)

    def kept(self, mask: np.ndarray[Any, np.dtype[Any]]) -> Measurements:
        """Returns the rows that a mask or a list of indices selects."""
        chosen = np.flatnonzero(mask) if mask.dtype == bool else mask
        return Measurements(
            names=tuple(self.names[index] for index in chosen),
            terms=self.terms[chosen],
            latency_ms=self.latency_ms[chosen],
            noise=self.noise[chosen],
            families=tuple(self.families[index] for index in chosen),
        )


def joined(parts: list[Measurements]) -> Measurements:
    """Returns several measurements as one."""
    return Measurements(
        names=tuple(name for part in parts for name in part.names),
        terms=np.concatenate([part.terms for part in parts]),
        latency_ms=np.concatenate([part.latency_ms for part in parts]),
        noise=np.concatenate([part.noise for part in parts]),
        families=tuple(family for part in parts for family in part.families),
    )


def load(source: MeasurementSource, rules: Rules) -> Measurements:
    """Returns the measurements of a source, without networks that have no latency or no operators."""
    table = read_latencies(source)
    names, operators = shipped_operators(source.operators)
    terms = network_terms(operators, rules, len(names))
    row_of = {name: row for row, name in enumerate(names)}
    table = table[table[source.name].isin(row_of) & table[source.column].notna()]
    family = table[source.family] if source.family in table else table[source.name]
    return Measurements(
        names=tuple(table[source.name]),
        terms=terms[[row_of[name] for name in table[source.name]]],
        latency_ms=UNITS_MS[source.unit] * table[source.column].to_numpy(float),
        noise=np.full(len(table), source.noise),
        families=tuple(family.astype(str)),
    )


def read_latencies(source: MeasurementSource) -> pd.DataFrame:
    """Returns the rows of a source's table that its `where` selects.

    Raises:
        DataError: The table lacks a column that the source names.
    """
    import pandas as pd

    table = pd.read_csv(DATA / source.latency)
    missing = [name for name in (source.column, source.name, *source.where) if name not in table.columns]
    if missing:
        raise DataError(f"{source.latency} lacks the columns {', '.join(missing)}; has: {', '.join(table.columns)}")
    for name, value in source.where.items():
        table = table[table[name].astype(str) == value]
    return table


@cache
def shipped_operators(name: str) -> tuple[list[str], Operators]:
    """Returns the networks and operators of a table in the package."""
    return read_operators(DATA / name)
