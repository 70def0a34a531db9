"""Reader of COCO annotation files."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from search_space.errors import DataError, nearest
from trainers.data.dataset import EVERY_CLASS, Dataset, Record, image_size
from trainers.data.labels import Doubts

ANNOTATION_FOLDERS = ("", "annotations", "coco")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two annotation files that belong together."""

    name: str
    train: Path
    val: Path


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """Returns the `*train*.json` files of a folder that have a `*val*.json` beside them, sorted by name."""
    pairs = []
    for place in ANNOTATION_FOLDERS:
        for train in sorted((folder / place).glob("*train*.json")):
            pair = pair_of(train)
            if pair is not None:
                pairs.append(pair)
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def pair_of(path: Path) -> Pair | None:
    """Returns the pair that a train or val annotation file belongs to, or None if it stands alone."""
    for word, other in (("train", "val"), ("val", "train")):
        partner = path.with_name(path.name.replace(word, other))
        if word in path.stem and partner.is_file():
            train, val = (path, partner) if word == "train" else (partner, path)
            name = "_".join(part for part in train.stem.replace("train", "").split("_") if part)
            return Pair(name=name or "train", train=train, val=val)
    return None


def choose_pair(pairs: tuple[Pair, ...], split: str | None) -> tuple[Pair, tuple[str, ...]]:
    """Returns the pair named `split`, by default the alphabetically first, and a notice where there was a choice.

    Raises:
        DataError: no pair has that name.
    """
    known = {pair.name: pair for pair in pairs}
    if split is not None:
        if split not in known:
            raise DataError(f"unknown split {split!r}{nearest(split, known)}; found: {', '.join(known)}")
        return known[split], ()
    # Caption files have no boxes: take them only when asked for.
    chosen = next((pair for pair in pairs if not pair.name.startswith("captions")), pairs[0])
    if len(pairs) == 1:
        return chosen, ()
    return chosen, (f"found the splits {', '.join(known)}; using {chosen.name!r} (--split NAME chooses another)",)


def read_coco(path: Path) -> tuple[Dataset, tuple[str, ...]]:
    """Reads one annotation file; returns the images and boxes, and notices about what was left out.

    `iscrowd` and `ignore` make a region ignored for the class of the annotation. Category ids become indices in the
    order of the file.

    Raises:
        DataError: no COCO file, a file name that leaves the image folder, or none of the images can be found.
    """
    content = _load(path)
    entries = _entries(content["images"], path)
    root = _image_root(path, entries)
    present = [entry for entry in entries if (root / entry["file_name"]).is_file()]
    notices = _missing_notice(path, root, entries, present)
    doubts = Doubts(source=path.name)
    by_image = _group(content["annotations"], {entry["id"] for entry in entries}, doubts)
    index_of = {category["id"]: index for index, category in enumerate(content["categories"])}
    records = [_record(entry, root, by_image[entry["id"]], index_of, doubts) for entry in present]
    classes = [str(category["name"]) for category in content["categories"]]
    return Dataset(records, classes), (*notices, *doubts.notices())


def _load(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); give a COCO annotation file") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path} has no list {key!r}; a COCO file has images, annotations and categories")
    if not all(isinstance(entry, dict) and {"id", "name"} <= entry.keys() for entry in content["categories"]):
        raise DataError(f"{path}: every category needs an id and a name; correct the file")
    return content


def _entries(images: list[Any], path: Path) -> list[dict[str, Any]]:
    for entry in images:
        if not isinstance(entry, dict) or "id" not in entry or not isinstance(entry.get("file_name"), str):
            raise DataError(f"{path}: every image needs an id and a file_name, got {str(entry)[:80]}")
        name = PurePosixPath(entry["file_name"])
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{path}: file_name {entry['file_name']!r} leaves the image folder; use a relative name")
    if not images:
        raise DataError(f"{path} lists no images; give a file that does")
    return images


def _image_root(path: Path, entries: list[dict[str, Any]]) -> Path:
    """Returns the folder in which most of a sample of the images exist."""
    words = [word for word in path.stem.split("_") if word.startswith(("train", "val", "test"))]
    places = ["images", "", *(f"images/{word}" for word in words), *words]
    roots = [base / place for base in (path.parent, path.parent.parent) for place in places]
    sample = [entries[index] for index in np.linspace(0, len(entries) - 1, min(len(entries), 200)).astype(int)]
    found = [sum((root / entry["file_name"]).is_file() for entry in sample) for root in roots]
    if max(found) == 0:
        looked = ", ".join(dict.fromkeys(os.path.normpath(root) for root in roots))
        raise DataError(f"{path}: none of its images was found, e.g. {entries[0]['file_name']!r}; looked in {looked}")
    return roots[found.index(max(found))]


def _missing_notice(path: Path, root: Path, entries: list[Any], present: list[Any]) -> tuple[str, ...]:
    num_missing = len(entries) - len(present)
    if not num_missing:
        return ()
    known = {entry["file_name"] for entry in present}
    first = next(entry["file_name"] for entry in entries if entry["file_name"] not in known)
    return (f"{path.name}: {num_missing} of {len(entries)} images are missing in {root} and left out; first: {first}",)


def _group(annotations: Iterable[Any], known: set[Any], doubts: Doubts) -> dict[Any, list[dict[str, Any]]]:
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or annotation.get("image_id") not in known:
            doubts.drop("of an unknown image", f"annotation {number}")
        else:
            by_image[annotation["image_id"]].append(annotation)
    return by_image


def _record(
    entry: dict[str, Any], root: Path, annotations: list[dict[str, Any]], index_of: dict[Any, int], doubts: Doubts
) -> Record:
    path = root / entry["file_name"]
    hw = (entry["height"], entry["width"]) if {"height", "width"} <= entry.keys() else image_size(path)
    objects: list[tuple[float, ...]] = []
    regions: list[tuple[float, ...]] = []
    for annotation in annotations:
        where = f"annotation {annotation.get('id')} of {entry['file_name']}"
        label = index_of.get(annotation.get("category_id"))
        box = _box(annotation.get("bbox"), (int(hw[0]), int(hw[1])), where, doubts) if label is not None else None
        if label is None:
            doubts.drop("of an unknown class", where)
        elif box is not None:
            ignored = annotation.get("iscrowd") or annotation.get("ignore")
            (regions if ignored else objects).append((*box, label))
    boxes = np.array(objects, np.float32).reshape(-1, 5)
    ignored_boxes = np.array(_merge_classes(regions, len(index_of)), np.float32).reshape(-1, 5)
    return Record(
        path=path,
        height=int(hw[0]),
        width=int(hw[1]),
        boxes=boxes[:, :4],
        labels=boxes[:, 4].astype(np.int64),
        ignored=ignored_boxes[:, :4],
        ignored_labels=ignored_boxes[:, 4].astype(np.int64),
    )


def _box(bbox: Any, hw: tuple[int, int], where: str, doubts: Doubts) -> list[float] | None:
    try:
        x, y, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError):
        doubts.drop("without a bbox of four numbers", where)
        return None
    return doubts.check((x, y, x + width, y + height), hw, where)


def _merge_classes(regions: list[tuple[float, ...]], num_classes: int) -> list[tuple[float, ...]]:
    """Joins a region that is repeated for each class into one that holds for every class."""
    labels: dict[tuple[float, ...], set[float]] = defaultdict(set)
    for region in regions:
        labels[region[:4]].add(region[4])
    merged: list[tuple[float, ...]] = []
    for box, given in labels.items():
        merged.extend((*box, label) for label in ([EVERY_CLASS] if len(given) == num_classes else sorted(given)))
    return merged
