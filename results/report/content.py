"""The content of a report as plain data, gathered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd


class NodeLine(NamedTuple):
    """One node of a detector."""

    name: str
    block: str
    shape: str
    """Of the output: channels, height and width."""
    params: int
    macs: int
    shares: str = ""
    """The earlier node whose weights this one runs."""


@dataclass(frozen=True, kw_only=True)
class DetectorDetails:
    """The description of an architecture, its choices and its nodes."""

    words: str
    choices: Mapping[str, str] = field(default_factory=dict)
    """Its choice on every active axis, in the order of the space."""
    nodes: tuple[NodeLine, ...] = ()
    """Empty if they were left out to limit the size of the report."""


@dataclass(frozen=True, kw_only=True)
class AxisImportance:
    """The importance of an axis; those of all axes sum to 1."""

    axis: str
    front: float
    """For being among the best in all objectives together."""
    accuracy: float
    """For being among the most accurate."""
    num_active: int
    """Trials in which the axis is active."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The importance of all axes, and the trials that it was measured on."""

    axes: tuple[AxisImportance, ...]
    """The most important for the front first."""
    rung: int
    num_trials: int
    num_top: int
    """Trials that count as the best."""
    chance_front: float
    """The 95 % quantile of the largest importance under random permutations of the values."""
    chance_accuracy: float


@dataclass(frozen=True, kw_only=True)
class ObjectSizes:
    """The sides of the objects of a data set in pixels of a detector's input, compared with its levels."""

    source: str
    num_boxes: int
    edges_px: tuple[float, ...]
    """Edges of the bins of the histograms, each `2 ** 0.5` times the one before."""
    counts: Mapping[str, tuple[int, ...]]
    """Boxes in each bin by the key of the detector; the first and the last bin include those beyond."""
    median_px: Mapping[str, float]
    shares_by_cells: Mapping[str, tuple[float, float, float]]
    """Shares of boxes with a side of less than one cell of the finest level, one to two, and two or more."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to type."""

    title: str
    line: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a report."""

    name: str
    folder: str
    written: str
    """Date and time."""
    table: pd.DataFrame
    """As `results.records.load` gives it."""
    detectors: Mapping[str, DetectorDetails]
    """By key: all detectors that are plotted."""
    importance: Importance | str
    """Or a sentence that says why there is none."""
    boxes: ObjectSizes | str
    """Or a sentence that says why there are none."""
    facts: tuple[tuple[str, str], ...] = ()
    """The settings of the search, as (title, text)."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The budget by column, in the unit of the column."""
    device: str = ""
    """The board that latency is predicted for."""
    seeds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    """Accuracies with all seeds of members of the front, by the number of their trial."""
    rungs: tuple[str, ...] = ()
    """The rank correlation of each pair of neighbouring rungs, one line each."""
    commands: tuple[Command, ...] = ()
    notices: tuple[str, ...] = ()
