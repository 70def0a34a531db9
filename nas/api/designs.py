"""The published designs, with their counts and what their papers report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.api.recipes import recipe_of_design
from nas.api.reproduce import PublishedFigure, reproduce
from nas.api.result import Result, table_of
from trainers.recipes import Recipe

if TYPE_CHECKING:
    import pandas as pd

    from search_space import Design, InputFormat

MAIN_ACCURACIES = ("visdrone_val_map50", "coco_val_ap", "coco_ap", "voc07_test_ap")
"""The accuracy that is shown for a design, the first of these that its paper reports."""
NOT_IN_FRAME = ("accuracy", "deviation", "citation", "notes", "recipe", "weights")
WORDS = {
    "visdrone": "VisDrone",
    "tinyperson": "TinyPerson",
    "coco": "COCO",
    "voc07": "VOC07",
    "ap": "AP",
    "ap50": "AP50",
    "map": "mAP50-95",
    "map50": "mAP50",
    "jetson": "Jetson",
    "nano": "Nano",
    "infer": "inference",
    "gpu": "GPU",
    "t4": "T4",
    "tensorrt7": "TensorRT 7",
    "fp16": "FP16",
    "fps": "images/s",
}
"""How the parts of a figure's name are written."""


@dataclass(frozen=True, kw_only=True)
class ReportedAccuracy:
    """An accuracy that a paper reports."""

    name: str
    label: str
    percent: float


@dataclass(frozen=True, kw_only=True)
class LargestDeviation:
    """The published count that ours deviates from most."""

    name: str
    convention: str | None
    deviation_percent: float
    as_printed: bool | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class ListedDesign:
    """A design with its counts; integers are exact."""

    design: str
    paper: str
    derived: bool
    """Derived from an ablation of the paper; no file of it was published."""
    reference: bool
    """A general detector, for comparison with those for small objects."""
    num_classes: int
    input_hw: tuple[int, int]
    input_format: InputFormat
    """What the network sees of a picture."""
    macs: int
    flops_2x: int
    params: int
    dfl_constants: int
    accuracy: ReportedAccuracy | None
    deviation: LargestDeviation | None
    citation: str
    notes: str
    recipe: Recipe | None
    """The recipe by which its authors train it; None where none is known."""
    weights: str
    """Where its authors publish weights that are read here; empty: nowhere."""


@dataclass(frozen=True, kw_only=True)
class DesignTable(Result):
    """All designs, in the order of their papers."""

    designs: tuple[ListedDesign, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The designs as a table, a row each."""
        rows = [
            {
                **{name: value for name, value in vars(each).items() if name not in NOT_IN_FRAME},
                "recipe": None if each.recipe is None else each.recipe.name,
                "accuracy_percent": None if each.accuracy is None else each.accuracy.percent,
                "accuracy_of": None if each.accuracy is None else each.accuracy.label,
                "deviation_percent": None if each.deviation is None else each.deviation.deviation_percent,
            }
            for each in self.designs
        ]
        return table_of(rows)


def list_designs(design: str | None = None) -> DesignTable:
    """Lists the published designs: what they cost, the accuracy that they report, and how far our counts deviate.

    Args:
        design: the name of the only one that is listed; None: all.

    Raises:
        SpaceError: there is no such design, or one of a plug-in cannot be built.
    """
    from search_space import DESIGNS

    names = DESIGNS.names() if design is None else (design,)
    return DesignTable(designs=tuple(listed(DESIGNS.get(name)) for name in names))


def listed(design: Design) -> ListedDesign:
    """Returns a design with its counts, its main accuracy and the largest deviation of a count."""
    reproduced = reproduce(design, check_fvcore=False)
    return ListedDesign(
        design=reproduced.design,
        paper=reproduced.paper,
        derived=reproduced.derived,
        reference=reproduced.reference,
        num_classes=reproduced.num_classes,
        input_hw=reproduced.input_hw,
        input_format=design.architecture.input_format,
        macs=reproduced.macs,
        flops_2x=reproduced.flops_2x,
        params=reproduced.params,
        dfl_constants=reproduced.dfl_constants,
        accuracy=main_accuracy(reproduced.published),
        deviation=largest_deviation(reproduced.published),
        citation=design.citation,
        notes=design.notes,
        recipe=recipe_of_design(design),
        weights=design.weights,
    )


def main_accuracy(rows: Iterable[PublishedFigure]) -> ReportedAccuracy | None:
    """Returns the accuracy that is shown for a design, or None where none is published."""
    accuracies = {row.name: row for row in rows if row.unit.startswith("%")}
    for name in (*MAIN_ACCURACIES, *accuracies):
        if name in accuracies:
            return ReportedAccuracy(name=name, label=label(name), percent=accuracies[name].published)
    return None


def largest_deviation(rows: Iterable[PublishedFigure]) -> LargestDeviation | None:
    """Returns the published count that ours deviates from most; one that is not equal as printed comes first."""
    compared = [(row, row.deviation_percent) for row in rows if row.deviation_percent is not None]
    if not compared:
        return None
    row, percent = max(compared, key=lambda each: (not each[0].as_printed, abs(each[1])))
    return LargestDeviation(
        name=row.name,
        convention=row.convention,
        deviation_percent=percent,
        as_printed=row.as_printed,
        reason=row.reason,
    )


def label(name: str) -> str:
    """Returns a figure's name as words: `visdrone_val_map50` is `VisDrone val mAP50`."""
    return " ".join(WORDS.get(word, word) for word in name.split("_"))
