"""Reader of YOLO folders: images, one label file an image, and a data YAML or a fixed layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from search_space.errors import DataError
from trainers.data.dataset import Dataset, Record, image_size
from trainers.data.labels import Doubts

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, kw_only=True)
class YoloLayout:
    """Which images belong to which part; the classes are None where nothing names them."""

    train: tuple[Path, ...]
    val: tuple[Path, ...]
    classes: tuple[str, ...] | None
    notices: tuple[str, ...] = ()


def find_yaml(folder: Path) -> Path | None:
    """Returns the data YAML of a folder: the first file that has the keys train and val."""
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")), key=lambda path: (path.stem != "data", path)):
        try:
            content = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if isinstance(content, dict) and {"train", "val"} <= content.keys():
            return path
    return None


def layout_from_yaml(path: Path) -> YoloLayout:
    """Reads a data YAML: `path` (relative to the file), `train`, `val` (folders or list files), `names`.

    Raises:
        DataError: a key is missing or a folder does not exist.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not YAML: {error}") from None
    missing = {"train", "val"} - (content.keys() if isinstance(content, dict) else set())
    if missing:
        raise DataError(f"{path} lacks {', '.join(sorted(missing))}; a data YAML has path, train, val and names")
    base = path.parent / str(content.get("path") or ".")
    bases = (base, path.parent) if base.is_dir() else (path.parent,)
    train, val = (_images(content[part], bases, path) for part in ("train", "val"))
    return _checked(train, val, _names(content, path), str(path))


def layout_from_folder(folder: Path) -> YoloLayout | None:
    """Reads `images/` and `labels/`, with `train` and `val` in them or without; None if the folder is not so."""
    images, labels = folder / "images", folder / "labels"
    if not (images.is_dir() and labels.is_dir()):
        return None
    names = next((path for path in (folder / "classes.txt", labels / "classes.txt") if path.is_file()), None)
    classes = tuple(names.read_text().split("\n")) if names else None
    classes = tuple(name.strip() for name in classes if name.strip()) if classes else None
    if (images / "train").is_dir() and (images / "val").is_dir():
        return _checked(_listed(images / "train"), _listed(images / "val"), classes, str(folder))
    everything = _listed(images)
    if len(everything) < 2:
        return _checked(everything, everything, classes, str(folder))
    train, val = last_fifth(everything)
    notice = f"{folder} has no train and val folders: the last {len(val)} of {len(everything)} images by name are val"
    return YoloLayout(train=train, val=val, classes=classes, notices=(notice,))


def last_fifth(items: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Splits off the last fifth of the items, at least one."""
    num_val = max(1, len(items) // 5)
    return items[:-num_val], items[-num_val:]


def _checked(
    train: tuple[Path, ...], val: tuple[Path, ...], classes: tuple[str, ...] | None, source: str
) -> YoloLayout:
    for name, part in (("train", train), ("val", val)):
        if not part:
            raise DataError(
                f"{source}: no images in its {name} part; known endings: {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
    same = (f"{source}: train and val are the same images; the score says little about others",)
    return YoloLayout(train=train, val=val, classes=classes, notices=same if set(train) == set(val) else ())


def _names(content: dict[str, Any], path: Path) -> tuple[str, ...] | None:
    names = content.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        return tuple(str(names[index]) for index in range(len(names)))
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    if names is not None:
        raise DataError(f"{path}: names must be a list or a table 0, 1, 2, ... to name, got {str(names)[:80]}")
    return tuple(f"class {index}" for index in range(int(content["nc"]))) if "nc" in content else None


def _images(entry: Any, bases: tuple[Path, ...], source: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for item in entry if isinstance(entry, list) else [entry]:
        place = next((base / str(item) for base in bases if (base / str(item)).exists()), None)
        if place is None:
            raise DataError(f"{source}: {item!r} does not exist in {bases[0]}; correct path, train or val")
        found.extend(_listed(place) if place.is_dir() else _from_list(place))
    return tuple(found)


def _listed(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES))


def _from_list(path: Path) -> tuple[Path, ...]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return (path,)
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    images = tuple(path.parent / line for line in lines)
    missing = [image for image in images if not image.is_file()]
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(images)} images do not exist; first: {missing[0]}")
    return images


def label_path(image: Path) -> Path:
    """Returns the label file of an image: the last folder `images` in its path becomes `labels`."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_yolo(images: Iterable[Path], classes: tuple[str, ...] | None, source: str) -> tuple[Dataset, tuple[str, ...]]:
    """Reads the labels of images; an image without a label file has no objects.

    A line is `class x y width height` relative to the image, or a class and a polygon, whose bounding box is taken.
    """
    doubts = Doubts(source=source)
    records = [_record(path, len(classes) if classes else None, doubts) for path in images]
    if classes is None:
        highest = max((int(record.labels.max()) for record in records if len(record.labels)), default=0)
        classes = tuple(f"class {index}" for index in range(highest + 1))
    return Dataset(records, classes), doubts.notices()


def _record(path: Path, num_classes: int | None, doubts: Doubts) -> Record:
    hw = image_size(path)
    labels = label_path(path)
    rows = []
    for number, line in enumerate(labels.read_text(errors="replace").splitlines() if labels.is_file() else [], 1):
        where = f"{labels.name} line {number}"
        row = _parse(line, num_classes, where, doubts) if line.strip() else None
        sides = np.array([hw[1], hw[0], hw[1], hw[0]], float)
        box = doubts.check(tuple(np.array(row[1:]) * sides), hw, where) if row else None
        if row and box:
            rows.append((*box, row[0]))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Record(path=path, height=hw[0], width=hw[1], boxes=table[:, :4], labels=table[:, 4].astype(np.int64))


def _parse(line: str, num_classes: int | None, where: str, doubts: Doubts) -> tuple[float, ...] | None:
    """Returns class and corners relative to the image, or None."""
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        doubts.drop("that cannot be read", where)
        return None
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        doubts.drop("that cannot be read", where)
        return None
    if values[0] != int(values[0]) or values[0] < 0 or (num_classes is not None and values[0] >= num_classes):
        doubts.drop("with a class id out of range", where)
        return None
    if len(values) > 5:
        return values[0], min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2])
    label, x, y, width, height = values
    return label, x - width / 2, y - height / 2, x + width / 2, y + height / 2
