"""Check a data set, or convert it to another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.data.check import DataReport
    from trainers.data.convert import Conversion


def check_data(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
) -> DataReport:
    """Decodes all images of a data set and returns every defect, with file and line.

    Args:
        path: the data set.
        images: folder of the images, if they are not beside the annotations.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        split: which pair of annotation files to use, if the folder holds several.

    Raises:
        UserError: there is no data set of a known format.
    """
    from trainers.data.check import check_data as check

    return check(path, split=split, format=format, images=images)


def convert_data(
    path: str | Path,
    out: str | Path,
    *,
    to: str,
    copy: bool = True,
    images: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
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

    Raises:
        UserError: there is no data set of a known format, `out` exists, or `to` is unknown.
    """
    from trainers.data.convert import convert_data as convert

    return convert(path, out, to=to, link=not copy, split=split, format=format, images=images)
