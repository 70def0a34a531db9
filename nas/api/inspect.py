"""What a data set requires of a detector, and which images its parts share: `nas.inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.result import OnNotice, OnProgress, ProgressUpdate, Result, notify, table_of

if TYPE_CHECKING:
    import pandas as pd

    from nas.advice.inspection import InspectionReport
    from nas.advice.leaks import Leaks
    from nas.advice.recommendation import Recommendation
    from trainers.data import DataSplits, Record
    from trainers.data.class_selection import Merges, Names


@dataclass(frozen=True, kw_only=True)
class Inspection(Result):
    """The properties of a data set, and advice for a search."""

    data: str
    source: str
    """Description of the data set."""
    format: str
    report: InspectionReport
    """Parts, sizes of boxes, leaks and advice."""

    @property
    def advice(self) -> tuple[Recommendation, ...]:
        """All advice. It follows rules and is not measured."""
        return self.report.items

    @property
    def run_flags(self) -> tuple[str, ...]:
        """The words that narrow a `nas run` as advised."""
        from nas.advice.inspection import run_flags

        return tuple(run_flags(self.report.advice.items))

    @property
    def frame(self) -> pd.DataFrame:
        """The parts of the data set as a table, a row each."""
        return table_of(
            {
                "part": part.name,
                "images": part.num_images,
                "without boxes": part.num_empty,
                "boxes": part.num_boxes,
                **{f"boxes per image, {name}": count for name, count in part.objects.items()},
            }
            for part in self.report.parts
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data, counts as whole numbers and shares unrounded."""
        return {"data": self.data, "source": self.source, "format": self.format, **self.report.to_dict()}


def inspect(
    data: str | Path,
    *,
    images: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
    classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    range: tuple[float, float] | None = None,
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Analyses what a data set requires of a detector: box sizes, pyramid levels, and leaks between its parts.

    Args:
        data: the data set.
        images: folder of the images, if they are not beside the annotations.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        split: which pair of annotation files to use, if the folder holds several.
        classes: names of the classes to use, in this order; None: all.
        merge: classes that become one: `NAME=CLASS,CLASS`, several of these, or a mapping.
        other_classes: what the boxes of other classes become: `background` or `ignore`; None: `background`.
        range: the values that become 0 and 255 in images of more than 8 bits; None: percentiles of a sample of the
            training images.
        on_notice: is called with lines on the data that is used.
        on_progress: is called after each image that is read or compared.

    Raises:
        UserError: the data cannot be used.
    """
    from nas.advice.inspection import make_report
    from nas.advice.testing_part import find_test_part
    from nas.api.opening import open_for_user
    from trainers.data.source import ReadRequest

    folder = None if images is None else str(images)
    splits = open_for_user(
        str(data),
        split,
        data_format=format,
        images=folder,
        select_classes=classes,
        merge=merge,
        other_classes=other_classes,
        pixel_range=range,
        on_notice=on_notice,
    )
    splits = _with_true_sizes(splits, on_notice)
    request = ReadRequest(path=Path(data), split=split, images=None if folder is None else Path(folder))
    leaks = _leaks(splits, find_test_part(splits, request), on_progress)
    return Inspection(data=str(data), source=splits.source, format=splits.format, report=make_report(splits, leaks))


def _with_true_sizes(splits: DataSplits, on_notice: OnNotice | None) -> DataSplits:
    """Leaves out images whose file has another size than the annotation states; raises DataError if none is left."""
    from dataclasses import replace

    from trainers.data.stated_sizes import compare_sizes

    parts, notices = compare_sizes({"train": splits.train, "val": splits.val}, splits.source, keep_unreadable=True)
    for note in notices:
        notify(on_notice, f"note: {note}")
    return replace(splits, train=parts["train"], val=parts["val"])


def _leaks(splits: DataSplits, test: tuple[Record, ...], on_progress: OnProgress | None) -> Leaks:
    """Reads all images once and compares the parts with each other."""
    from nas.advice.leaks import find_leaks, num_comparisons
    from nas.advice.thumbnails import gallery

    parts = {"train": splits.train.records, "val": splits.val.records, **({"test": test} if test else {})}
    reading = _Counter("reading images", sum(map(len, parts.values())), on_progress)
    galleries = [gallery(name, records, reading.advance, splits.pixel_range) for name, records in parts.items()]
    return find_leaks(galleries, _Counter("comparing images", num_comparisons(galleries), on_progress).advance)


class _Counter:
    """Counts the steps of a task and reports each."""

    def __init__(self, task: str, total: int, on_progress: OnProgress | None) -> None:
        self.task, self.total, self.on_progress, self.done = task, total, on_progress, 0

    def advance(self) -> None:
        """Counts one step."""
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(ProgressUpdate(task=self.task, done=self.done, total=self.total))
