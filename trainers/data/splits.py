"""Open a data set as a training and a validation set with the same classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_space.errors import DataError
from trainers.data.dataset import Dataset
from trainers.data.formats import read_data
from trainers.data.source import ReadRequest, ReadResult, last_fifth
from trainers.data.synthetic import synthetic_splits


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """A training and a validation set with the same classes."""

    train: Dataset
    val: Dataset
    source: str
    """What was opened, in one line for the user."""
    notices: tuple[str, ...] = ()
    """What the user should know about the data, such as choices that were made and labels that were dropped."""
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
    """Opens a data set and detects its format.

    Unusable boxes and images are dropped and counted in the notices. A file name that leaves the data set is an error.

    Args:
        path: a COCO or TinyPerson json, a folder with such jsons in it, in `annotations/`, in `coco/` or in folders
            for the parts, a data YAML or `obj.data` of YOLO, or a folder of YOLO, VisDrone or VOC; None is the
            built-in set.
        split: which pair of annotation files to use, if a COCO folder has several.
        seed: of the built-in set.
        format: a key of `FORMATS`; None detects it.
        images: folder of the images, if it cannot be found from the annotations.

    Raises:
        ConfigError: the format is unknown.
        DataError: no known format is found, or the data set is empty.
    """
    if path is None:
        for option, given in (("--format", format), ("--images", images)):
            if given is not None:
                raise DataError(f"{option} {given} needs a data set; add --data PATH")
        splits = _open_synthetic(seed, split)
    else:
        folder = None if images is None else Path(images)
        splits = _divide(read_data(ReadRequest(path=Path(path), split=split, images=folder, format=format)))
    if not any(len(record.boxes) for record in splits.train.records):
        raise DataError(f"{splits.source}: the training set has no boxes; check the labels")
    return splits


def _open_synthetic(seed: int, split: str | None) -> DataSplits:
    if split is not None:
        raise DataError(f"split {split!r} was requested, but the built-in set has only one; omit --split")
    train, val = synthetic_splits(seed=seed)
    source = (
        f"no --data given: built-in synthetic set, {len(train)} training and {len(val)} validation images of 160x160, "
        f"{len(train.classes)} classes of 5-20 px shapes, seed {seed}"
    )
    return DataSplits(train=train, val=val, source=source)


def _divide(parts: ReadResult) -> DataSplits:
    notices = parts.notices
    if "all" in parts.datasets:
        whole = parts.datasets["all"]
        train, val = (Dataset(records, whole.classes) for records in last_fifth(whole.records))
        undivided = parts.undivided_notice.format(source=parts.source, num_val=len(val), num_images=len(whole))
        notices = (undivided, *notices)
    else:
        train, val = parts.datasets["train"], parts.datasets["val"]
    if not len(train) or not len(val):
        part = "val" if len(train) else "train"
        raise DataError(f"{parts.source}: no image of its {part} split is usable; run nas data check for the reasons")
    noun = "class" if len(train.classes) == 1 else "classes"
    line = f"{parts.source}: {len(train)} training and {len(val)} validation images, {len(train.classes)} {noun}"
    return DataSplits(train=train, val=val, source=line, notices=notices, format=parts.format)
