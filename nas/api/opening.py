"""Open the data set that a user names, and limit the threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.data import DataSplits
    from trainers.data.class_selection import Merges, Names
    from trainers.data.pixel_range import PixelRange


def set_threads(num_threads: int | None) -> None:
    """Limits the CPU threads of this process; None leaves all."""
    if num_threads is not None:
        import torch

        torch.set_num_threads(num_threads)


def open_for_user(
    data: str | None,
    split: str | None,
    *,
    seed: int = 0,
    data_format: str | None = None,
    images: str | None = None,
    select_classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    pixel_range: PixelRange | None = None,
    part: str | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> DataSplits:
    """Opens a data set.

    Args:
        data: path of the data set; None is the built-in set.
        split: which pair of annotation files is read, where a folder holds several.
        seed: of the built-in set.
        data_format: name of the format; None detects it.
        images: folder of the images, if they are not beside the annotations.
        select_classes: names of the classes to use, as `--classes` takes them; None: all.
        merge: classes that become one, as `--merge` takes them.
        other_classes: `background` or `ignore`, for the boxes of classes that are not used; None: `background`.
        pixel_range: the values that become 0 and 255 in images of more than 8 bits; None: those of the training images.
        part: which part is used; a test part is opened for `test` and `all` only. None: `train` and `val`.
        on_notice: is called with a line that says what was opened, and with one for each remarkable thing about it.

    Raises:
        ConfigError: the selection of classes is not valid.
        DataError: the data set cannot be read, or a class is unknown.
    """
    from trainers.data import open_data
    from trainers.data.class_selection import ClassSelection

    splits = open_data(
        data,
        split=split,
        seed=seed,
        format=data_format,
        images=images,
        selection=ClassSelection.of(select_classes, merge, other_classes),
        pixel_range=pixel_range,
        with_test=part in ("test", "all"),
    )
    if on_notice is not None:
        on_notice(f"data: {splits.source}")
        for notice in splits.notices:
            if part == "all" and notice == splits.undivided_notice:
                continue
            on_notice(f"note: {notice}")
    return splits
