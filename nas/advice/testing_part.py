"""Find the test split of a data set. Training and search never use it; only its images are read, to find leaks."""

from __future__ import annotations

from pathlib import Path

from search_space.errors import DataError
from trainers.data import Dataset, DataSplits, Record
from trainers.data.coco import read_json
from trainers.data.dataset import no_boxes, no_labels
from trainers.data.images import image_size
from trainers.data.json_pairs import choose_pair, find_pairs, pair_of
from trainers.data.source import ReadRequest, listed_images

WORD = "test"


def find_test_part(splits: DataSplits, request: ReadRequest) -> tuple[Record, ...]:
    """Returns the images of the test split; none if it is not found or is the validation split.

    The test split is a JSON file named like the training file with `test` in place of `train`, or a folder with `test`
    in its name beside a training folder with `train` in its name.
    """
    as_json = _json_beside(request)
    records = _of_json(as_json, request) if as_json is not None else _of_folder(splits.train, splits.format)
    taken = {record.key for dataset in (splits.train, splits.val) for record in dataset.records}
    return tuple(record for record in records if record.key not in taken)


def _json_beside(request: ReadRequest) -> Path | None:
    path = request.path
    pairs = find_pairs(path) if path.is_dir() else ()
    pair = choose_pair(pairs, request.split)[0] if pairs else pair_of(path)
    if pair is None or path.suffix.lower() not in ("", ".json"):
        return None
    return pair.test if pair.test != pair.val else None


def _of_json(path: Path, request: ReadRequest) -> tuple[Record, ...]:
    try:
        return read_json(path, request).dataset.records
    except DataError:  # published test files often lack annotations or images
        return ()


def _of_folder(train: Dataset, format: str) -> tuple[Record, ...]:
    """Returns the images in test folders beside the folder of the training images."""
    folders = {record.path.parent for record in train.records if record.path is not None}
    if format in ("", "coco", "tinyperson") or len(folders) != 1:
        return ()
    folder = folders.pop()
    part = next((each for each in (folder, *folder.parents) if "train" in each.name.lower()), None)
    if part is None:
        return ()
    beside = sorted(each for each in part.parent.iterdir() if each.is_dir() and WORD in each.name.lower())
    inner = folder.relative_to(part)
    return tuple(
        record for each in beside for path in listed_images(each / inner) if (record := _record(path)) is not None
    )


def _record(path: Path) -> Record | None:
    try:
        height, width = image_size(path)
    except DataError:
        return None
    return Record(path=path, height=height, width=width, boxes=no_boxes(), labels=no_labels())
