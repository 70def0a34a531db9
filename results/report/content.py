"""What a report shows, as plain data: gathered elsewhere, so that it can be rendered from tables alone."""

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
    """An architecture in words, and what it is made of."""

    words: str
    choices: Mapping[str, str] = field(default_factory=dict)
    """Its choice on every axis that means something, in the order of the space."""
    nodes: tuple[NodeLine, ...] = ()
    """Empty where they were left out for their size."""


@dataclass(frozen=True, kw_only=True)
class AxisImportance:
    """How much an axis decides; shares of all axes sum to 1."""

    axis: str
    front: float
    """For being among the best in all objectives at once."""
    accuracy: float
    """For being among the most accurate."""
    num_active: int
    """Trials in which the axis meant something."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much each axis decides, and on what that rests."""

    axes: tuple[AxisImportance, ...]
    """The most important for the front first."""
    rung: int
    num_trials: int
    num_top: int
    """Trials that count as the best."""
    chance_front: float
    """What the most important axis reaches when the same values are dealt to the trials at random (95 of 100 deals)."""
    chance_accuracy: float


@dataclass(frozen=True, kw_only=True)
class ObjectSizes:
    """Sides of the objects of a data set, in pixels of a detector's input, against its levels."""

    source: str
    num_boxes: int
    edges_px: tuple[float, ...]
    """Of the bins of the histograms, each `2 ** 0.5` times the one before."""
    counts: Mapping[str, tuple[int, ...]]
    """Boxes in each bin by the key of the detector; the first and the last bin also hold what lies beyond."""
    median_px: Mapping[str, float]
    shares_by_cells: Mapping[str, tuple[float, float, float]]
    """Shares of boxes with a side of less than one cell of the finest level, one to two, and two or more."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something to type."""

    title: str
    line: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that a report shows."""

    name: str
    folder: str
    written: str
    """When, in words."""
    table: pd.DataFrame
    """As `results.records.load` gives it."""
    detectors: Mapping[str, DetectorDetails]
    """By key: all that are plotted."""
    importance: Importance | str
    """Or why there is none."""
    boxes: ObjectSizes | str
    """Or why there are none."""
    facts: tuple[tuple[str, str], ...] = ()
    """What was searched, as (title, text)."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The budget by column, in the unit of the column."""
    device: str = ""
    """The board that latency is predicted for."""
    seeds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    """Accuracies with all seeds of members of the front, by the number of their trial."""
    rungs: tuple[str, ...] = ()
    """How neighbouring rungs agreed, one line each."""
    commands: tuple[Command, ...] = ()
    notices: tuple[str, ...] = ()
