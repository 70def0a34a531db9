"""A training and a validation set with the same classes, and how they are opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_space.errors import DataError
from trainers.data.dataset import Dataset
from trainers.data.formats import open_parts
from trainers.data.source import Parts, Request, last_fifth
from trainers.data.synthetic import synthetic_splits


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """A training and a validation set with the same classes."""

    train: Dataset
    val: Dataset
    source: str
    """One line for the user: what was opened."""
    notices: tuple[str, ...] = ()
    """What the user should know about the data: choices made, labels left out."""
    format: str = ""
    """A key of `FORMATS`; empty for the built-in set."""


def open_data(
    path: str | Path | None,
    *,
    split: str | None = None,
    seed: int = 0,
    format: str | None = None,
    images: str | Path | None = None,
) -> DataSplits:
    """Opens a data set, finding its format by looking.

    Boxes and images that cannot be used are left out and counted in the notices; a name that leads out of the data set
    is an error.

    Args:
        path: a COCO or TinyPerson json, a folder with such jsons in it, in `annotations/` or in `coco/`, a YOLO data
            YAML, or a folder of YOLO, VisDrone or VOC; None is the built-in synthetic set.
        split: which pair of annotation files to take where a COCO folder holds several.
        seed: of the built-in set.
        format: a key of `FORMATS`; None finds it by looking.
        images: folder of the images, where they do not lie beside the annotations.

    Raises:
        ConfigError: a format is named that is not known.
        DataError: nothing known is found there, or the data set is empty.
    """
    if path is None:
        for option, given in (("--format", format), ("--images", images)):
            if given is not None:
                raise DataError(f"{option} {given} says how a data set is read, but none is given; add --data PATH")
        splits = _open_synthetic(seed, split)
    else:
        folder = None if images is None else Path(images)
        splits = _divide(open_parts(Request(path=Path(path), split=split, images=folder, named=format)))
    if not any(len(record.boxes) for record in splits.train.records):
        raise DataError(f"{splits.source}: the training set has no boxes; check the labels")
    return splits


def _open_synthetic(seed: int, split: str | None) -> DataSplits:
    if split is not None:
        raise DataError(f"split {split!r} was asked for, but the built-in set has only one; leave --split out")
    train, val = synthetic_splits(seed=seed)
    source = (
        f"no --data given: built-in synthetic set, {len(train)} training and {len(val)} validation images of 160x160, "
        f"{len(train.classes)} classes of 5-20 px shapes, seed {seed}"
    )
    return DataSplits(train=train, val=val, source=source)


def _divide(parts: Parts) -> DataSplits:
    notices = parts.notices
    if "all" in parts.datasets:
        whole = parts.datasets["all"]
        train, val = (Dataset(records, whole.classes) for records in last_fifth(whole.records))
        alone = parts.alone.format(source=parts.source, num_val=len(val), num_images=len(whole))
        notices = (alone, *notices)
    else:
        train, val = parts.datasets["train"], parts.datasets["val"]
    if not len(train) or not len(val):
        part = "val" if len(train) else "train"
        raise DataError(f"{parts.source}: no image of its {part} part can be used; nas data check tells why")
    noun = "class" if len(train.classes) == 1 else "classes"
    line = f"{parts.source}: {len(train)} training and {len(val)} validation images, {len(train.classes)} {noun}"
    return DataSplits(train=train, val=val, source=line, notices=notices, format=parts.format)
