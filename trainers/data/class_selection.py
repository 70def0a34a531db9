"""Select and merge the classes of a data set after it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from search_space.errors import ConfigError, DataError, check_known, shortened, unknown_name
from trainers.data.dataset import EVERY_CLASS, Boxes, Dataset, Labels, Record

OtherClasses: TypeAlias = Literal["background", "ignore"]
Names: TypeAlias = "str | Sequence[str] | None"
Merges: TypeAlias = "str | Sequence[str] | Mapping[str, str | Sequence[str]] | None"

DROPPED = -2
"""In a table of new labels: the class is not selected."""
_EXAMPLE = "--merge vehicle=car,bus,truck"


@dataclass(frozen=True, kw_only=True)
class ClassSelection:
    """Which classes of a data set are used, and which count as one.

    Classes are merged first, then selected. Without `classes`, all are kept.

    Raises:
        ConfigError: a merge is not of the form `NAME=CLASS,CLASS`, or `others` is unknown or has no effect.
    """

    classes: tuple[str, ...] = ()
    """Names of the classes to keep, in the order of their new labels; a name may be that of a merge."""
    merge: tuple[str, ...] = ()
    """Each `NAME=CLASS,CLASS`: these classes become one class, at the place of the first of them."""
    others: OtherClasses = "background"
    """What the boxes of other classes become: nothing, or regions that are ignored for every class."""

    def __post_init__(self) -> None:
        check_known("--other-classes", self.others, get_args(OtherClasses), ConfigError)
        if self.others == "ignore" and not self.classes:
            raise ConfigError("--other-classes ignore has no effect without --classes; next: --classes NAME,NAME")
        for text in self.merge:
            name, equals, members = text.partition("=")
            if not (equals and name.strip() and name.isprintable() and members.strip(", ")):
                raise ConfigError(f"--merge {text} is not of the form NAME=CLASS,CLASS; next: {_EXAMPLE}")

    @classmethod
    def of(cls, classes: Names = None, merge: Merges = None, other_classes: str | None = None) -> ClassSelection:
        """Returns the selection of the options `--classes`, `--merge` and `--other-classes`; None is not given."""
        unions: Iterable[str] = (merge,) if isinstance(merge, str) else merge or ()
        if isinstance(merge, Mapping):
            unions = (f"{name}={each if isinstance(each, str) else ','.join(each)}" for name, each in merge.items())
        return cls(
            classes=(classes,) if isinstance(classes, str) else tuple(classes or ()),
            merge=tuple(unions),
            others=cast(OtherClasses, other_classes or "background"),
        )

    def __bool__(self) -> bool:
        return bool(self.classes or self.merge)

    def words(self) -> list[str]:
        """Returns the options of a command that give this selection."""
        given = ["--classes", ",".join(self.classes)] if self.classes else []
        given += [word for each in self.merge for word in ("--merge", each)]
        return given if self.others == "background" else [*given, "--other-classes", self.others]


@dataclass(frozen=True, kw_only=True)
class SelectedData:
    """Data sets with other classes, and what the user should know."""

    datasets: dict[str, Dataset]
    notices: tuple[str, ...]


def select_classes(datasets: Mapping[str, Dataset], selection: ClassSelection) -> SelectedData:
    """Applies a selection to the parts of a data set, which have the same classes.

    Boxes that coincide after a merge are kept once. An ignored region of a class that is not selected is dropped with
    the class, or ignored for every class if the boxes are.

    Raises:
        DataError: a class is unknown or in two merges, or a merge is not selected.
    """
    known = next(iter(datasets.values())).classes
    table, classes = _new_labels(selection, known)
    relabelled = _Relabelling(table=np.array(table, np.int64), ignore=selection.others == "ignore")
    records = {id(record): record for dataset in datasets.values() for record in dataset.records}  # may be in two parts
    new = {key: relabelled.record(record) for key, record in records.items()}
    found = {
        name: dataset.replaced([new[id(record)] for record in dataset.records], classes)
        for name, dataset in datasets.items()
    }
    dropped = sum(int((relabelled.table[record.labels] == DROPPED).sum()) for record in records.values())
    notices = (*_about_merges(known, table, classes, relabelled), *_about_others(known, table, selection, dropped))
    return SelectedData(datasets=found, notices=notices)


def _new_labels(selection: ClassSelection, known: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
    """Returns the new label of each class, and the new classes."""
    target = list(known)
    merged: dict[str, tuple[str, ...]] = {}
    for text in selection.merge:
        name, _, listed = text.partition("=")
        name, members = name.strip(), _parsed(listed, known)
        _check_merge(name, members, known, merged)
        merged[name] = members
        target = [name if each in members else each for each in target]
    after = tuple(dict.fromkeys(target))
    classes = _parsed(",".join(selection.classes), after) if selection.classes else after
    _check_classes(classes, after, merged)
    numbers = {name: label for label, name in enumerate(classes)}
    return [numbers.get(name, DROPPED) for name in target], classes


def _parsed(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names in a list with commas; a known name may contain commas."""
    pieces, names = text.split(","), []
    while pieces:
        ends = range(len(pieces), 0, -1)
        end = next((end for end in ends if ",".join(pieces[:end]).strip() in known), 1)
        names.append(",".join(pieces[:end]).strip())
        del pieces[:end]
    return tuple(dict.fromkeys(name for name in names if name))


def _check_merge(
    name: str, members: tuple[str, ...], known: tuple[str, ...], merged: Mapping[str, tuple[str, ...]]
) -> None:
    for member in members:
        if member not in known:
            raise DataError(f"--merge {name}: {unknown_name('class', member, known)}")
        taken = next((other for other, names in merged.items() if member in (*names, other)), None)
        if taken is not None:
            raise DataError(f"--merge {name}: {member} is in {taken} already; give each class once")
    if name in merged or any(name in names for names in merged.values()):
        raise DataError(f"--merge {name} is given twice, or is in another merge; give one --merge with all its classes")


def _check_classes(classes: tuple[str, ...], after: tuple[str, ...], merged: Mapping[str, tuple[str, ...]]) -> None:
    for name in classes:
        union = next((union for union, members in merged.items() if name in members and name not in after), None)
        if union is not None:
            raise DataError(f"--classes: {name} is merged into {union}; next: --classes with {union} in its place")
        if name not in after:
            raise DataError(f"--classes: {unknown_name('class', name, after)}")
    unused = next((union for union in merged if union not in classes), None)
    if unused is not None:
        raise DataError(f"--merge {unused} has no effect: --classes has no {unused}; next: add it to --classes")
    if not classes:
        raise DataError("--classes names no class; next: --classes NAME,NAME")


@dataclass(kw_only=True)
class _Relabelling:
    """Gives records their new labels, and counts boxes that coincide after a merge."""

    table: Labels
    ignore: bool
    num_coinciding: int = 0

    def record(self, record: Record) -> Record:
        """Returns a record with the new labels."""
        labels, regions = self._new(record.labels), self._new(record.ignored_labels)
        is_kept = labels != DROPPED
        ignored = record.ignored[regions != DROPPED]
        ignored_labels = regions[regions != DROPPED]
        if self.ignore:
            ignored = np.concatenate((record.ignored, record.boxes[~is_kept]))
            every = np.full(int((~is_kept).sum()), EVERY_CLASS, np.int64)
            ignored_labels = np.concatenate((np.where(regions == DROPPED, EVERY_CLASS, regions), every))
        boxes, kept_labels = record.boxes[is_kept], labels[is_kept]
        first, first_ignored = _distinct(boxes, kept_labels), _distinct(ignored, ignored_labels)
        self.num_coinciding += len(boxes) - len(first)
        return replace(
            record,
            boxes=boxes[first],
            labels=kept_labels[first],
            ignored=ignored[first_ignored],
            ignored_labels=ignored_labels[first_ignored],
        )

    def _new(self, labels: Labels) -> Labels:
        found = np.full(len(labels), EVERY_CLASS, np.int64)
        found[labels != EVERY_CLASS] = self.table[labels[labels != EVERY_CLASS]]
        return found


def _distinct(boxes: Boxes, labels: Labels) -> NDArray[np.intp]:
    """Returns the indices, rising, of the first of each box `(N, 4)` with the same label `(N,)`."""
    rows = np.concatenate((boxes.astype(np.float64), labels[:, None]), axis=1)
    return np.sort(np.unique(rows, axis=0, return_index=True)[1])


def _about_merges(
    known: tuple[str, ...], table: Sequence[int], classes: tuple[str, ...], relabelled: _Relabelling
) -> list[str]:
    lines = []
    for label, name in enumerate(classes):
        members = [old for old, new in zip(known, table, strict=True) if new == label]
        if members != [name]:
            lines.append(f"class {name} is {shortened(members)}")
    if relabelled.num_coinciding:
        lines.append(
            f"boxes of merged classes that coincide with another and are kept once: {relabelled.num_coinciding}"
        )
    return lines


def _about_others(known: tuple[str, ...], table: Sequence[int], selection: ClassSelection, num_boxes: int) -> list[str]:
    dropped = [name for name, label in zip(known, table, strict=True) if label == DROPPED]
    become = "ignored regions" if selection.others == "ignore" else "background"
    return [f"other classes, {become}: {shortened(dropped)}; boxes: {num_boxes}"] if dropped else []
