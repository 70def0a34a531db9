"""The categories of a COCO file as the classes of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.data.annotation_json import AnnotationJson
from trainers.data.dataset import Dataset
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.ignored_names import is_ignored_name, without_classes
from trainers.data.json_values import IdTable, shown_value

_AMBIGUOUS = -2
_NO_SUPERCATEGORY = ("", "none")


@dataclass(frozen=True, kw_only=True)
class Categories:
    """The classes of a file, in its order, and the label of each category id."""

    classes: tuple[str, ...]
    labels: IdTable[int]
    groups: frozenset[str]
    """Classes that are the supercategory of others and have none themselves."""

    @property
    def num_objects(self) -> int:
        """How many classes can have objects: without groups and names that mean ignored regions."""
        return sum(name not in self.groups and not is_ignored_name(name) for name in self.classes)

    def plain_label_of(self, category_id: int) -> int:
        """Returns the label of a category id; -1 where `label_of` has something to tell."""
        found = self.labels.find(category_id)
        return -1 if found is None or isinstance(found, str) else max(self.labels[found], -1)

    def label_of(self, category_id: object, location: SourceLocation, diagnostics: Diagnostics) -> int | None:
        """Returns the label of a category id, or counts it as unknown and returns None."""
        found = self.labels.find(category_id)
        if found is None:
            diagnostics.add("unknown_category", location, f"no category has the id {shown_value(category_id)}")
            return None
        if isinstance(found, str) != isinstance(category_id, str):
            diagnostics.add("number_as_text", location)
        label = self.labels[found]
        if label == _AMBIGUOUS:
            what = f"the category id {shown_value(category_id)} has several names"
            diagnostics.add("unknown_category", location, what)
            return None
        return label


def read_categories(file: AnnotationJson, diagnostics: Diagnostics) -> Categories:
    """Reads the categories of a file.

    Categories with the same name are one class.

    Raises:
        BrokenFile: an id has several names, and the data set is opened for use.
    """
    groups = _groups(file)
    classes: dict[str, int] = {}
    names: dict[Any, str] = {}
    labels: dict[Any, int] = {}
    seen: set[str] = set()
    for index, category in enumerate(file.categories):
        number, name = category["id"], str(category["name"]).strip()
        location = file.location("categories", index, "category", shown_value(number), "named", repr(name))
        if number not in names:
            names[number] = name
            labels[number] = classes.setdefault(name, len(classes))
            if name in seen and index not in groups:
                diagnostics.add("duplicate_category", location, f"the name {name!r} occurs twice; read as one class")
        elif names[number] == name:
            diagnostics.add("duplicate_category", location, f"the id {shown_value(number)} occurs twice")
        else:
            labels[number] = _AMBIGUOUS
            what = f"the category id {shown_value(number)} occurs twice, for {names[number]!r} and for {name!r}"
            diagnostics.refuse("ambiguous_category", location, f"{what}; give each category an id of its own")
        if index not in groups:
            seen.add(name)
    table: IdTable[int] = IdTable()
    for number, label in labels.items():
        table.add(number, label)
    return Categories(classes=tuple(classes), labels=table, groups=frozenset(classes.keys() - seen))


def _groups(file: AnnotationJson) -> set[int]:
    """Returns the indices of the categories that are the supercategory of another one and have none themselves."""
    above = [category.get("supercategory") for category in file.categories]
    tops = {index for index, name in enumerate(above) if name is None or str(name).lower() in _NO_SUPERCATEGORY}
    named = {name for index, name in enumerate(above) if index not in tops and isinstance(name, str)}
    return {index for index in tops if file.categories[index]["name"] in named}


def drop_empty_groups(datasets: Mapping[str, Dataset], groups: frozenset[str]) -> tuple[dict[str, Dataset], list[str]]:
    """Removes groups from the classes of data sets with the same classes if no box in any of them has their label.

    Returns:
        The data sets, and the names that were removed.
    """
    classes = next(iter(datasets.values())).classes
    used: set[int] = set()
    for dataset in datasets.values():
        for record in dataset.records if groups else ():
            used.update(record.labels.tolist(), record.ignored_labels.tolist())
    empty = [label for label, name in enumerate(classes) if name in groups and label not in used]
    if not empty:
        return dict(datasets), []
    found = {part: without_classes(dataset, empty) for part, dataset in datasets.items()}
    return found, [classes[label] for label in empty]
