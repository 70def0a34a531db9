"""What users are told where weights are for other classes than the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from search_space.errors import counted, shortened

if TYPE_CHECKING:
    from pathlib import Path

    from trainers import Weights


class HasClasses(Protocol):
    """The content of a weights file, or a detector."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""
        ...

    @property
    def has_class_names(self) -> bool:
        """Whether it says what its classes are called."""
        ...


def class_lists(weights: Sequence[str], data: Sequence[str]) -> str:
    """Returns how many and which classes weights and data have, and where lists of equal lengths first differ."""
    text = f"is for {counted(len(weights), 'class', 'classes')} ({shortened(weights)})"
    text += f", the data has {len(data)} ({shortened(data)})"
    if len(weights) != len(data):
        return text
    first = next((index for index, pair in enumerate(zip(weights, data, strict=True)) if pair[0] != pair[1]), None)
    return text if first is None else f"{text}; number {first + 1} is {weights[first]}, not {data[first]}"


def taken_in_order(path: str | Path, weights: HasClasses, classes: tuple[str, ...]) -> str | None:
    """Says that weights without class names take those of the data in their order; None where they do not."""
    if weights.classes == classes or weights.has_class_names or len(weights.classes) != len(classes):
        return None
    return f"note: {path} has no class names; those of the data are taken in their order"


def other_classes(path: str | Path, donor: Weights, classes: tuple[str, ...]) -> str | None:
    """Says which classes of the data have no counterpart in weights of other classes; None for the same classes."""
    from trainers.weight_transfer import class_labels

    before = donor.classes
    if before == classes or (not donor.has_class_names and len(before) == len(classes)):
        return taken_in_order(path, donor, classes)
    if not donor.has_class_names:
        return (
            f"note: {path} is for {counted(len(before), 'class', 'classes')} without names, the data has "
            f"{len(classes)} ({shortened(classes)}): what belongs to one class starts from random weights"
        )
    known = set(class_labels(before))
    new = [name for name, label in zip(classes, class_labels(classes), strict=True) if label not in known]
    start = f"from random weights start those without a counterpart: {shortened(new)}" if new else "all are among those"
    return (
        f"note: {path} is for {counted(len(before), 'class', 'classes')} ({shortened(before)}), the data has "
        f"{len(classes)} ({shortened(classes)}): {start}"
    )
