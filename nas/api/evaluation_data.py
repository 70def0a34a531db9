"""The data set that a detector is evaluated on, with the classes that it was trained with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.class_notes import HasClasses, class_lists, taken_in_order
from nas.api.result import OnNotice, notify
from search_space.errors import DataError, shortened

if TYPE_CHECKING:
    from trainers.data import DataSplits


def open_evaluation_data(
    given: dict[str, Any], place: Path, classes: tuple[str, ...], *, part: str, on_notice: OnNotice | None
) -> DataSplits:
    """Opens the data set that a caller means, with the classes of a detector.

    Args:
        given: by the names of `nas.settings.DATA_SETTINGS`; without `data` it is that of the training or run that
            `place` lies in.
        place: where the detector lies.
        classes: the classes of the detector.
        part: the part that is evaluated.
        on_notice: is called with lines on the data.

    Raises:
        DataError: the data cannot be read, or the selection of classes of the training does not suit it.
    """
    from nas.api.data_of_run import with_known_data
    from nas.api.opening import open_for_user

    texts = {name: str(each) if isinstance(each, Path) else each for name, each in given.items()}
    known = with_known_data(texts, place)
    notify(on_notice, known.notice)
    splits = open_for_user(**known.options, seed=known.seed, part=part, on_notice=on_notice)
    if part == "val" and splits.undivided_notice is not None:
        notify(on_notice, f"note: --part all evaluates all {len(splits.part('all'))} images")
    return _with_trained_classes(splits, classes, given, place, on_notice)


def _with_trained_classes(
    splits: DataSplits, classes: tuple[str, ...], given: dict[str, Any], weights: Path, on_notice: OnNotice | None
) -> DataSplits:
    """Applies the selection of classes that weights were trained with to data of all classes, if none was given."""
    from nas.api.data_of_run import is_selected, known_selection
    from trainers.data.class_selection import ClassSelection

    known = None if is_selected(given) or classes == splits.val.classes else known_selection(weights)
    if known is None:
        return splits
    selection = ClassSelection.of(known["select_classes"], known["merge"], known["other_classes"])
    try:
        selected = splits.selected(selection)
    except DataError as error:
        words, found = shlex.join(selection.words()), shortened(splits.val.classes)
        raise DataError(
            f"{weights} was trained with {words}, which does not suit the data ({error}); next: data with these "
            f"classes, or --merge NAME=CLASS,CLASS for each class of the weights ({shortened(classes)}), "
            f"with CLASS one of {found}"
        ) from None
    notify(on_notice, f"note: the weights were trained with {shlex.join(selection.words())}; it is applied to the data")
    for notice in selected.notices[len(splits.notices) :]:
        notify(on_notice, f"note: {notice}")
    return selected


def check_classes(weights: Path, detector: HasClasses, classes: tuple[str, ...], on_notice: OnNotice | None) -> None:
    """Raises DataError where a detector has other classes than the data; without names, only their number counts."""
    in_order = taken_in_order(weights, detector, classes)
    notify(on_notice, in_order)
    if detector.classes != classes and in_order is None:
        raise DataError(
            f"{weights} {class_lists(detector.classes, classes)}; next: {_next_classes(detector.classes, classes)}"
        )


def _next_classes(weights: tuple[str, ...], data: tuple[str, ...]) -> str:
    """Returns what makes the classes of the data those of weights."""
    if set(weights) <= set(data):
        return shlex.join(["--classes", ",".join(weights)])
    return "--data with the same classes in the same order, or --classes and --merge"
