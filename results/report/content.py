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
class PictureMark:
    """How one kind of box is drawn on the pictures."""

    title: str
    """The name of the kind: `found`, `missed` or `wrong`."""
    color: str
    """Such as `#00c88c`."""
    line: str
    """`solid`, `dashed` or `dotted`."""
    sign: str
    """Before the name of the class beside the box; empty: nothing is written there."""


class Picture(NamedTuple):
    """An image with the boxes of one detector."""

    jpeg: bytes
    counts: Mapping[str, int]
    """Boxes by the title of their mark."""


@dataclass(frozen=True, kw_only=True)
class MemberPictures:
    """What one member of the front finds."""

    name: str
    role: str
    """Why it was chosen, such as `cheapest`."""
    gmacs: float
    weights: str = ""
    """The file, in the folder of the run."""
    score_threshold: float = 0.0
    is_best_threshold: bool = True
    """Whether it has the best F1 on these images; else no detection is right at any threshold."""
    pictures: tuple[Picture, ...] = ()
    """One of each image; empty where there is a problem."""
    problem: str = ""
    """A sentence that says why there are none."""


@dataclass(frozen=True, kw_only=True)
class PictureGrid:
    """The same images with the boxes of several members."""

    source: str
    """What the images were taken from."""
    names: tuple[str, ...]
    """Of the images."""
    marks: tuple[PictureMark, ...]
    iou: float
    members: tuple[MemberPictures, ...]


@dataclass(frozen=True, kw_only=True)
class FinishedDetector:
    """A member of the front that was trained on after the search."""

    name: str
    """Rank in the front and key."""
    scores: Mapping[str, float]
    """Shares of 1 by column; nan where there are no such objects. `NAME_low` and `NAME_high` are an interval."""
    epochs: float
    images_seen: int
    seconds: float
    """Of the training."""
    macs: int
    params: int
    weights: str
    """The file, in the folder of the run."""
    export: str
    """The folder, in that of the run; empty where it was not exported."""


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """The time of a phase of a run."""

    title: str
    planned_seconds: float
    actual_seconds: float | None
    """None until it has ended or begun."""


class AuditPair(NamedTuple):
    """A trial that started from a donor, and the same architecture trained from scratch."""

    inherited: int
    """The number of the trial."""
    from_scratch: int
    inherited_score: float
    from_scratch_score: float


@dataclass(frozen=True, kw_only=True)
class Audits:
    """How well scores after inheritance rank the architectures."""

    pairs: tuple[AuditPair, ...]
    line: str
    """The rank correlation in words."""


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
    pictures: PictureGrid | str = ""
    """Or a sentence that says why there are none; empty: they were not asked for."""
    held_out: str = ""
    """A sentence on the images of the held-out scores; empty without any."""
    finished: tuple[FinishedDetector, ...] = ()
    """By rank."""
    finished_on: str = ""
    """A sentence on the images that they were scored on."""
    phases: tuple[PhaseTime, ...] = ()
    """Empty for a run without a plan."""
    audits: Audits | None = None
    nothing_found: str = ""
    """A sentence with the likely causes if all trials scored 0, which takes the place of the front; else empty."""
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
