"""Data sets: `open_data` finds out the format and returns a training and a validation set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_space.errors import DataError
from trainers.data.coco import choose_pair, find_pairs, pair_of, read_coco
from trainers.data.dataset import Dataset, Record, read_image, read_rgb
from trainers.data.synthetic import synthetic_splits
from trainers.data.yolo import YoloLayout, find_yaml, last_fifth, layout_from_folder, layout_from_yaml, read_yolo

__all__ = ["DataSplits", "Dataset", "Record", "open_data", "read_image", "read_rgb"]


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """A training and a validation set with the same classes."""

    train: Dataset
    val: Dataset
    source: str
    """One line for the user: what was opened."""
    notices: tuple[str, ...] = ()
    """What the user should know about the data: choices made, labels left out."""


def open_data(path: str | Path | None, *, split: str | None = None, seed: int = 0) -> DataSplits:
    """Opens a data set, finding its format by looking.

    Args:
        path: a COCO json, a folder with COCO jsons in it, in `annotations/` or in `coco/`, a YOLO data YAML or a YOLO
            folder; None is the built-in synthetic set.
        split: which pair of annotation files to take where a COCO folder holds several.
        seed: of the built-in set.

    Raises:
        DataError: nothing known is found there, or the data set is empty.
    """
    if path is None:
        splits = _open_synthetic(seed, split)
    else:
        splits = _open_path(Path(path), split)
    if not any(len(record.boxes) for record in splits.train.records):
        raise DataError(f"{splits.source}: the training set has no boxes; check the labels")
    return splits


def _open_synthetic(seed: int, split: str | None) -> DataSplits:
    _refuse_split(split, "the built-in set")
    train, val = synthetic_splits(seed=seed)
    source = (
        f"no --data given: built-in synthetic set, {len(train)} training and {len(val)} validation images of 160x160, "
        f"{len(train.classes)} classes of 5-20 px shapes, seed {seed}"
    )
    return DataSplits(train=train, val=val, source=source)


def _open_path(path: Path, split: str | None) -> DataSplits:
    if not path.exists():
        raise DataError(f"no data set at {path}: the path does not exist")
    if path.suffix.lower() == ".json":
        return _open_json(path, split)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _open_yolo(layout_from_yaml(path), path, split)
    if not path.is_dir():
        raise DataError(f"no data set at {path}: give a COCO json, a data YAML or a folder")
    return _open_folder(path, split)


def _open_folder(folder: Path, split: str | None) -> DataSplits:
    pairs = find_pairs(folder)
    if pairs:
        pair, notices = choose_pair(pairs, split)
        return _open_coco(pair.train, pair.val, notices)
    yaml_path = find_yaml(folder)
    layout = layout_from_yaml(yaml_path) if yaml_path else layout_from_folder(folder)
    if layout is not None:
        return _open_yolo(layout, folder, split)
    jsons = [*folder.glob("*.json"), *folder.glob("annotations/*.json"), *folder.glob("coco/*.json")]
    if len(jsons) == 1:
        return _open_json(jsons[0], split)
    raise DataError(
        f"no data set found in {folder}; looked for *train*.json with *val*.json (here, in annotations/ and in coco/), "
        "a YAML with train and val, and images/ with labels/"
        + (f"; {len(jsons)} other json files are there, give one of them" if jsons else "")
    )


def _open_json(path: Path, split: str | None) -> DataSplits:
    pair = pair_of(path)
    if pair is not None:
        chosen, notices = choose_pair((pair,), split)
        return _open_coco(chosen.train, chosen.val, notices)
    _refuse_split(split, str(path))
    dataset, notices = read_coco(path)
    parts = (dataset.records, dataset.records) if len(dataset) < 2 else last_fifth(dataset.records)
    notice = f"{path} stands alone: the last {len(parts[1])} of {len(dataset)} images are val"
    train, val = (Dataset(records, dataset.classes) for records in parts)
    return _splits(train, val, str(path), (notice, *notices))


def _open_coco(train_path: Path, val_path: Path, notices: tuple[str, ...]) -> DataSplits:
    train, train_notices = read_coco(train_path)
    val, val_notices = read_coco(val_path)
    if train.classes != val.classes:
        raise DataError(f"{train_path} and {val_path} list different categories; make them equal")
    source = f"{train_path} and {val_path.name}"
    return _splits(train, val, source, (*notices, *train_notices, *val_notices))


def _open_yolo(layout: YoloLayout, path: Path, split: str | None) -> DataSplits:
    _refuse_split(split, str(path))
    images = tuple(dict.fromkeys((*layout.train, *layout.val)))
    everything, notices = read_yolo(images, layout.classes, f"labels of {path}")
    record_of = dict(zip(images, everything.records, strict=True))
    train, val = (
        Dataset([record_of[image] for image in part], everything.classes) for part in (layout.train, layout.val)
    )
    return _splits(train, val, str(path), (*layout.notices, *notices))


def _splits(train: Dataset, val: Dataset, source: str, notices: tuple[str, ...]) -> DataSplits:
    line = f"{source}: {len(train)} training and {len(val)} validation images, {len(train.classes)} classes"
    return DataSplits(train=train, val=val, source=line, notices=notices)


def _refuse_split(split: str | None, source: str) -> None:
    if split is not None:
        raise DataError(f"split {split!r} was asked for, but {source} has only one; leave --split out")
