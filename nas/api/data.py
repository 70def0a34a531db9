"""Check a data set, or convert it to another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.data.check import DataReport
    from trainers.data.class_selection import Merges, Names
    from trainers.data.convert import Conversion


def check_data(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
    classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    range: tuple[float, float] | None = None,
) -> DataReport:
    """Decodes all images of a data set and returns every defect, with file and line.

    Args:
        path: the data set.
        images: folder of the images, if they are not beside the annotations.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        split: which pair of annotation files to use, if the folder holds several.
        classes: names of the classes to use, in this order; None: all.
        merge: classes that become one: `NAME=CLASS,CLASS`, several of these, or a mapping.
        other_classes: what the boxes of other classes become: `background` or `ignore`; None: `background`.
        range: the values that become 0 and 255 in images of more than 8 bits; None: percentiles of a sample of the
            training images.

    Raises:
        UserError: there is no data set of a known format.
    """
    from trainers.data.check import check_data as check
    from trainers.data.class_selection import ClassSelection

    selection = ClassSelection.of(classes, merge, other_classes)
    return check(path, split=split, format=format, images=images, selection=selection, pixel_range=range)


def convert_data(
    path: str | Path,
    out: str | Path,
    *,
    to: str,
    copy: bool = True,
    images: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
    classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    range: tuple[float, float] | None = None,
) -> Conversion:
    """Writes a data set to a new folder in another format, atomically.

    Args:
        path: the data set.
        out: the folder, which must not exist.
        to: `coco`, `tinyperson`, `yolo`, `visdrone`, `voc` or that of a plug-in.
        copy: whether images are copied, or linked to.
        images: folder of the images, if they are not beside the annotations.
        format: that of the data set; None: detected.
        split: which pair of annotation files to use, if the folder holds several.
        classes: names of the classes to use, in this order; None: all.
        merge: classes that become one: `NAME=CLASS,CLASS`, several of these, or a mapping.
        other_classes: what the boxes of other classes become: `background` or `ignore`; None: `background`.
        range: the values that become 0 and 255 in images of more than 8 bits; None: percentiles of a sample of the
            training images.

    Raises:
        UserError: there is no data set of a known format, `out` exists, or `to` is unknown.
    """
    from trainers.data.class_selection import ClassSelection
    from trainers.data.convert import convert_data as convert

    selection = ClassSelection.of(classes, merge, other_classes)
    return convert(
        path,
        out,
        to=to,
        link=not copy,
        split=split,
        format=format,
        images=images,
        selection=selection,
        pixel_range=range,
    )
