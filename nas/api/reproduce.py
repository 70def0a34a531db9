"""Published designs, rebuilt and counted, beside the figures that their papers publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.result import OnNotice, OnProgress, ProgressUpdate, Result, table_of
from search_space.errors import ConfigError, counted

if TYPE_CHECKING:
    import pandas as pd

    from nas.api.published_accuracy import MeasuredAccuracy
    from nas.api.trained_detector import WeightsLike
    from nas.cost.conventions import Convention
    from search_space import Architecture, Design, Graph

NOT_MEASURED = "not measured"
EQUAL_AS_PRINTED = "equal as printed"
QUICK_GMACS = 20
"""Up to this size a real run of a detector takes seconds and little memory."""


@dataclass(frozen=True, kw_only=True)
class PartCount:
    """What a part of a detector costs for one image."""

    part: str
    macs: int
    flops_2x: int
    params: int


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A published figure, beside our count in the same convention; a figure that no count gives has no convention."""

    name: str
    published: float
    unit: str
    num_classes: int | None
    """What the figure is published for."""
    convention: str | None = None
    convention_sentence: str | None = None
    multiple_of: float | None = None
    """The count is given in multiples of this."""
    count: int | None = None
    ours: float | None = None
    """The count in the unit of the figure, or the measured accuracy; None where it is not compared."""
    deviation_percent: float | None = None
    as_printed: bool | None = None
    """Whether ours, rounded to the digits that are printed, is the figure."""
    reason: str
    """Why they differ, or why they are not compared."""
    note: str


@dataclass(frozen=True, kw_only=True)
class Reproduction(Result):
    """A rebuilt design with its counts; integers are exact."""

    design: str
    paper: str
    citation: str
    derived: bool
    """Derived from an ablation of the paper; no file of it was published."""
    reference: bool
    """A general detector, for comparison with those for small objects."""
    num_classes: int
    input_hw: tuple[int, int]
    params: int
    macs: int
    flops_2x: int
    params_conv_bn_folded: int | None
    """None where the papers of its kind do not fold batch norms."""
    dfl_constants: int
    fvcore_macs: int | None
    """Of a real run under fvcore; None where there was none."""
    parts: tuple[PartCount, ...]
    published: tuple[PublishedFigure, ...]
    notes: str
    accuracy: MeasuredAccuracy | None = None
    """How the accuracy of `weights` was measured; None without weights."""

    @property
    def frame(self) -> pd.DataFrame:
        """The published figures as a table, a row each."""
        return table_of(self.published)


@dataclass(frozen=True, kw_only=True)
class CountComparison:
    """A published count of a design beside ours; a design without any has one row that says so."""

    design: str
    input_hw: tuple[int, int]
    fvcore_equal: bool | None
    """Whether fvcore counts as many multiply-adds in a real run; None where there was none."""
    figure: str | None
    num_classes: int | None
    published: float | None
    ours: float | None
    count: int | None
    unit: str | None
    convention: str | None
    multiple_of: float | None
    deviation_percent: float | None
    as_printed: bool | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReproductionTable(Result):
    """All published counts of all designs beside ours."""

    rows: tuple[CountComparison, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The counts as a table, a row each."""
        return table_of(self.rows)


def reproduce(
    design: str | Design,
    *,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    check_fvcore: bool | None = None,
    weights: WeightsLike | None = None,
    data: str | Path | None = None,
    format: str | None = None,
    images: str | Path | None = None,
    split: str | None = None,
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> Reproduction:
    """Rebuilds a published design, counts it, and compares each published count in its own convention.

    With its weights and the data, the published accuracy is compared too.

    Args:
        design: the name of a design, or a design.
        num_classes: classes to count for; None: what the published counts are for.
        input_hw: input size `(H, W)` in pixels; None: that of the design.
        check_fvcore: whether to run the built detector under fvcore; None: where that is quick.
        weights: weights of the design, in a file of this program or as its authors published it.
        data: the data set whose validation images they are measured on.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        images: folder of the images, if they are not beside the annotations.
        split: which pair of annotation files to use, if the folder holds several.
        on_notice: is called with lines on the weights and the data.
        on_progress: is called after each batch of images.

    Raises:
        SpaceError: there is no such design, or it does not take this size or number of classes.
        UserError: the weights are not those of the design, or the data cannot be used.
    """
    from search_space import DESIGNS

    design = DESIGNS.get(design) if isinstance(design, str) else design
    places = {"data": data, "format": format, "images": images, "split": split}
    if weights is None:
        if any(place is not None for place in places.values()):
            raise ConfigError("--data measures the accuracy of --weights; give both")
        return _count(design, num_classes, input_hw, check_fvcore)
    if data is None:
        raise ConfigError("--weights are measured on a data set; next: --data PATH with the data of the paper")
    if num_classes is not None or input_hw is not None:
        raise ConfigError("--weights are measured as published; drop --num-classes and --input")
    from nas.api.published_accuracy import measure_accuracy

    measured = measure_accuracy(design, weights, data=places, on_notice=on_notice, on_progress=on_progress)
    counted = _count(design, None, None, check_fvcore)
    rows = tuple(_measured(row, measured, counted.input_hw) for row in counted.published)
    return replace(counted, accuracy=measured, published=rows)


def _measured(row: PublishedFigure, measured: MeasuredAccuracy, input_hw: tuple[int, int]) -> PublishedFigure:
    """Returns a figure with the measured value beside it, if there is one."""
    ours = measured.values.get(row.name)
    if ours is None:
        return row
    reason = (
        f"measured on the {measured.num_images} validation images of {measured.data} at {input_hw[1]}x{input_hw[0]}, "
        f"with up to {measured.max_detections} detections an image"
    )
    return replace(row, ours=ours, deviation_percent=100 * (ours / row.published - 1), reason=reason)


def _count(
    design: Design, num_classes: int | None, input_hw: tuple[int, int] | None, check_fvcore: bool | None
) -> Reproduction:
    """Returns a rebuilt design with its counts, each beside the published one in the same convention."""
    from nas.cost.conventions import dfl_constants, params_folded
    from search_space import lower

    num_classes = design.num_classes if num_classes is None else num_classes
    architecture = design.architecture if input_hw is None else design.architecture.resized(input_hw)
    graph = lower(architecture, num_classes=num_classes)
    parts = _count_parts(graph)
    totals = {name: sum(getattr(part, name) for part in parts) for name in ("params", "macs", "flops_2x")}
    constants = dfl_constants(architecture)
    if check_fvcore is None:
        check_fvcore = totals["macs"] <= QUICK_GMACS * 1e9
    return Reproduction(
        design=design.name,
        paper=design.paper,
        citation=design.citation,
        derived=design.derived,
        reference=design.reference,
        num_classes=num_classes,
        input_hw=architecture.input_hw,
        **totals,
        params_conv_bn_folded=params_folded(architecture, num_classes) if constants else None,
        dfl_constants=constants,
        fvcore_macs=_fvcore_macs(graph) if check_fvcore else None,
        parts=parts,
        published=published_rows(design, architecture, num_classes),
        notes=design.notes,
    )


def reproduce_all(*, check_fvcore: bool = False, on_progress: OnProgress | None = None) -> ReproductionTable:
    """Rebuilds every design as published and returns one row for each published count.

    Args:
        check_fvcore: whether to run each built detector under fvcore; it takes minutes.
        on_progress: is called after each design.

    Raises:
        SpaceError: a design of a plug-in cannot be built.
    """
    from search_space import DESIGNS

    rows: list[CountComparison] = []
    for done, name in enumerate(DESIGNS, start=1):
        rows += summary_rows(reproduce(name, check_fvcore=check_fvcore))
        if on_progress is not None:
            on_progress(ProgressUpdate(task="designs", done=done, total=len(DESIGNS.names())))
    return ReproductionTable(rows=tuple(rows))


def _count_parts(graph: Graph) -> tuple[PartCount, ...]:
    from nas.cost import node_costs

    parts: dict[str, PartCount] = {}
    for node, count in node_costs(graph):
        part = parts.get(node.part) or PartCount(part=node.part, macs=0, flops_2x=0, params=0)
        parts[node.part] = replace(
            part,
            macs=part.macs + count.macs,
            flops_2x=part.flops_2x + 2 * count.macs,
            params=part.params + count.params,
        )
    return tuple(parts.values())


def _fvcore_macs(graph: Graph) -> int:
    from nas.cost.oracle import fvcore_macs
    from search_space import Detector

    return fvcore_macs(Detector(graph), (3, *graph.input_hw))


def published_rows(design: Design, architecture: Architecture, num_classes: int) -> tuple[PublishedFigure, ...]:
    """Returns one row for each published figure, with our count in its convention where it can be counted.

    Counts depend on classes and input. At the design's own ones every figure is compared, each for the classes that it
    is published for; otherwise only those are that are published for exactly these classes and this input.
    """
    from nas.cost.conventions import convention_of

    rows = []
    for name, figure in design.published.items():
        published_for = figure.num_classes or design.num_classes
        as_published = architecture == design.architecture and num_classes in (published_for, design.num_classes)
        convention = convention_of(name, design.published)
        row = PublishedFigure(
            name=name,
            published=figure.value,
            unit=figure.unit,
            num_classes=figure.num_classes if convention is None else published_for,
            reason=NOT_MEASURED,
            note=figure.note,
        )
        rows.append(row if convention is None else replace(row, **_compared(design, row, convention, as_published)))
    return tuple(rows)


def _compared(design: Design, row: PublishedFigure, convention: Convention, as_published: bool) -> dict[str, Any]:
    """Returns the fields of a figure that can be counted: our count, and the reason of the deviation."""
    named = {
        "convention": convention.name,
        "convention_sentence": convention.sentence,
        "multiple_of": convention.unit,
    }
    num_classes = row.num_classes
    assert num_classes is not None
    if not as_published:
        height, width = design.architecture.input_hw
        return {
            **named,
            "reason": f"not compared: published for {counted(num_classes, 'class', 'classes')} at {width}x{height}",
        }
    count = convention.count(design.architecture, num_classes)
    ours = count / convention.unit
    as_printed = round(ours, num_decimals(row.published)) == row.published
    return {
        **named,
        "count": count,
        "ours": ours,
        "deviation_percent": 100 * (ours / row.published - 1),
        "as_printed": as_printed,
        "reason": EQUAL_AS_PRINTED if as_printed else row.note or design.notes or "not explained",
    }


def num_decimals(value: float) -> int:
    """Returns how many digits a figure is printed with after its decimal point."""
    return len(f"{value:.12g}".partition(".")[2])


def summary_rows(reproduced: Reproduction) -> list[CountComparison]:
    """Returns one row for each published count of a design, or one that says that there is none."""
    fvcore = reproduced.fvcore_macs
    empty: Mapping[str, Any] = dict.fromkeys(
        ("published", "ours", "count", "unit", "convention", "multiple_of", "deviation_percent", "as_printed")
    )
    base = CountComparison(
        design=reproduced.design,
        input_hw=reproduced.input_hw,
        fvcore_equal=None if fvcore is None else fvcore == reproduced.macs,
        figure=None,
        num_classes=reproduced.num_classes,
        reason="none published",
        **empty,
    )
    rows = [
        replace(
            base,
            figure=row.name,
            num_classes=row.num_classes,
            reason=row.reason,
            **{name: getattr(row, name) for name in empty},
        )
        for row in reproduced.published
        if row.convention is not None
    ]
    return rows or [base]
