"""Class names that mean ignored regions, in every format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Diagnostics

_ADJECTIVES = ("ignore", "ignored", "dontcare", "donotcare")
_NOUNS = ("", "region", "regions", "area", "areas")
IGNORED_NAMES = frozenset(adjective + noun for adjective in _ADJECTIVES for noun in _NOUNS)
"""In lower case and without spaces, punctuation and underscores: ignore, ignored regions, ignored-regions, DontCare."""
_NOT_LETTERS = re.compile(r"[\W_]+")


def is_ignored_name(name: str) -> bool:
    """Returns whether objects of this name are ignored regions of every class."""
    return _NOT_LETTERS.sub("", name).casefold() in IGNORED_NAMES


def ignore_named_classes(datasets: Mapping[str, Dataset], diagnostics: Diagnostics) -> dict[str, Dataset]:
    """Removes classes whose name means ignored regions; their boxes become ignored regions of every class.

    Args:
        datasets: by part, with the same classes.
        diagnostics: counts the classes and the boxes.
    """
    classes = next(iter(datasets.values())).classes
    removed = [label for label, name in enumerate(classes) if is_ignored_name(name)]
    if not removed:
        return dict(datasets)
    source = diagnostics.source
    for label in removed:
        diagnostics.add("ignored_class", SourceLocation(source, about=("class", repr(classes[label]))))
    for record in {record.key: record for dataset in datasets.values() for record in dataset.records}.values():
        for _ in range(int(np.isin(record.labels, removed).sum())):
            diagnostics.add("ignored", SourceLocation(source, about=("a box of", record.name)))
    return {part: without_classes(dataset, removed) for part, dataset in datasets.items()}


def without_classes(dataset: Dataset, labels: Sequence[int]) -> Dataset:
    """Returns a data set without some classes; their boxes become ignored regions of every class."""
    kept = [label for label in range(len(dataset.classes)) if label not in labels]
    table = np.full(len(dataset.classes) + 1, EVERY_CLASS, np.int64)  # the last entry is that of `EVERY_CLASS`
    table[kept] = range(len(kept))
    records = [_relabelled(record, table) for record in dataset.records]
    return dataset.replaced(records, [dataset.classes[label] for label in kept])


def _relabelled(record: Record, table: NDArray[np.int64]) -> Record:
    labels = table[record.labels]
    kept = labels != EVERY_CLASS
    return replace(
        record,
        boxes=record.boxes[kept],
        labels=labels[kept],
        ignored=np.concatenate((record.ignored, record.boxes[~kept])),
        ignored_labels=np.concatenate((table[record.ignored_labels], labels[~kept])),
    )
