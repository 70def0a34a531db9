"""Reader of YOLO label files, with a data YAML or a fixed folder layout."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from search_space.errors import DataError, is_text, shown
from search_space.yaml_text import YamlError, read_yaml
from trainers.data.dataset import Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Annotation, Corners, Diagnostics
from trainers.data.images import IMAGE_SUFFIXES, is_file
from trainers.data.source import (
    ReadRequest,
    ReadResult,
    is_inside,
    listed_images,
    numbered_lines,
    posix_name,
    read_names,
    read_text,
)

NAME = "yolo"
YAML_SUFFIXES = (".yaml", ".yml")
MAX_CLASSES = 100_000
CHANNELS = (1, 3)
"""What `channels` of a data YAML may be."""
NO_FOLDERS = (
    "{source} has no train and val folders: the last {num_val} of {num_images} images by name are the val split"
)


@dataclass(frozen=True, kw_only=True)
class YoloLayout:
    """The images of each split, and where their labels are."""

    parts: dict[str, tuple[Path, ...]]
    """`train` and `val`, or `all`."""
    classes: tuple[str, ...] | None
    """None if no file names them."""
    images: Path | None = None
    """The image folder that the user gave; the labels are then in `labels`."""
    labels: Path | None = None
    notices: tuple[str, ...] = ()

    def label_path(self, image: Path) -> Path:
        """Returns the label file of an image: the last folder `images` in its path becomes `labels`."""
        if self.images is not None and self.labels is not None and image.is_relative_to(self.images):
            return (self.labels / image.relative_to(self.images)).with_suffix(".txt")
        parts = list(image.parts)
        for index in range(len(parts) - 2, -1, -1):
            if parts[index] == "images":
                parts[index] = "labels"
                break
        return Path(*parts).with_suffix(".txt")


def find_yolo(request: ReadRequest) -> ReadResult | None:
    """Opens a data YAML, a folder with one, or a folder with `images/` and `labels/`; None if there is none."""
    path, diagnostics = request.path, request.diagnostics(f"labels of {request.path}")
    yaml_path = find_yaml(path) if path.is_dir() else path
    if yaml_path is not None and yaml_path.suffix.lower() not in YAML_SUFFIXES:
        return None
    layout = (
        layout_from_yaml(yaml_path, request, diagnostics) if yaml_path else layout_from_folder(request, diagnostics)
    )
    if layout is None:
        return None
    request.refuse_split()
    datasets = read_yolo(layout, diagnostics)
    return ReadResult(
        format=NAME,
        datasets=datasets,
        source=str(path),
        notices=(*layout.notices, *diagnostics.notices()),
        undivided_notice=NO_FOLDERS,
    )


def find_yaml(folder: Path) -> Path | None:
    """Returns the data YAML of a folder: the first file that has the keys train and val."""
    found = filter(is_file, (*folder.glob("*.yaml"), *folder.glob("*.yml")))
    for path in sorted(found, key=lambda path: (path.stem != "data", path)):
        try:
            content = _load(path)
        except BrokenFile:
            if path.stem == "data":
                raise
            continue
        if isinstance(content, dict) and {"train", "val"} <= content.keys():
            return path
    return None


def _load(path: Path) -> object:
    try:
        return read_yaml(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    except YamlError as error:
        raise BrokenFile(f"{path} is not YAML: {error}; correct the file", "not_yaml", path, error.line) from None


def layout_from_yaml(path: Path, request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout:
    """Reads a data YAML: `path` (relative to the file), `train`, `val` (folders or list files), `names`.

    Raises:
        BrokenFile: the file is not YAML, a key is missing, or a folder does not exist.
    """
    content = _load(path)
    missing = {"train", "val"} - (content.keys() if isinstance(content, dict) else set())
    if missing or not isinstance(content, dict):
        message = f"{path} lacks {', '.join(sorted(missing))}; a data YAML has path, train, val and names"
        raise BrokenFile(message, "wrong_layout", path)
    _check_channels(content.get("channels"), path, diagnostics)
    where = content.get("path")
    base = path.parent / posix_name(where if isinstance(where, str) else ".", SourceLocation(str(path)), diagnostics)
    bases = [folder for folder in dict.fromkeys((base, path.parent)) if os.path.isdir(folder)]
    finder = _Finder(source=path, bases=bases, images=request.images, diagnostics=diagnostics)
    train, val = (finder.images_of(content[part]) for part in ("train", "val"))
    same = (f"{path}: train and val have the same images; the score says little about other images",)
    return YoloLayout(
        parts=_checked({"train": train, "val": val}, str(path)),
        classes=_names(content, path),
        images=request.images,
        labels=_first_folder([folder / "labels" for folder in bases]),
        notices=same if set(train) == set(val) else (),
    )


def _check_channels(channels: object, path: Path, diagnostics: Diagnostics) -> None:
    """Refuses a data YAML for images that have more channels than are read."""
    if channels is None or (channels in CHANNELS and not isinstance(channels, bool)):
        return
    lines = numbered_lines(path.read_text(encoding="utf-8", errors="replace"))
    line = next((number for number, each in lines if each.startswith("channels")), None)
    what = f"channels is {shown(channels)}, and 3 are read; next: images of 1 or 3 channels, and no other `channels`"
    diagnostics.refuse("unsupported_channels", SourceLocation(str(path), line), what)


def layout_from_folder(request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    """Reads `images/` and `labels/`, with or without `train` and `val` in them; None if they do not exist."""
    folder = request.path
    images, labels = request.images or folder / "images", folder / "labels"
    if not images.is_dir() or not (labels.is_dir() or (request.format and request.images is None)):
        return None
    classes = read_names((folder, labels), diagnostics)
    names = ("train", "val") if all((images / part).is_dir() for part in ("train", "val")) else ("",)
    parts = {name or "all": listed_images(images / name) for name in names}
    return YoloLayout(parts=_checked(parts, str(folder)), classes=classes, images=request.images, labels=labels)


def _first_folder(folders: list[Path]) -> Path:
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _checked(parts: dict[str, tuple[Path, ...]], source: str) -> dict[str, tuple[Path, ...]]:
    for name, part in parts.items():
        if not part:
            known = ", ".join(sorted(IMAGE_SUFFIXES))
            message = f"{source}: no images in its {name} split; known suffixes: {known}"
            raise BrokenFile(message, "empty_set", source)
    return parts


def _names(content: dict[Any, Any], path: Path) -> tuple[str, ...] | None:
    names, count = content.get("names"), content.get("nc")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if isinstance(names, list) and all(isinstance(name, (str, int, float)) and is_text(str(name)) for name in names):
        return tuple(str(name) for name in names)
    if names is not None:
        allowed = "a list of words, or a table 0, 1, 2, ... to words"
        message = f"{path}: names must be {allowed}, got {shown(names)}; correct it"
        raise BrokenFile(message, "wrong_layout", path)
    if count is None:
        return None
    if not isinstance(count, int) or not 0 < count <= MAX_CLASSES:
        raise BrokenFile(
            f"{path}: nc must be the number of classes, 1 to {MAX_CLASSES}; correct it", "wrong_layout", path
        )
    return tuple(f"class {index}" for index in range(count))


@dataclass(frozen=True, kw_only=True)
class _Finder:
    """Finds the images of the entries `train` and `val` of a data YAML."""

    source: Path
    bases: list[Path]
    images: Path | None
    diagnostics: Diagnostics

    def images_of(self, entry: Any) -> tuple[Path, ...]:
        found: list[Path] = []
        for item in entry if isinstance(entry, list) else [entry]:
            if not isinstance(item, str):
                message = f"{self.source}: train and val must be folders or files, got {shown(item)}; correct it"
                raise BrokenFile(message, "wrong_layout", self.source)
            name = posix_name(item, SourceLocation(str(self.source)), self.diagnostics)
            found_at = next((path for path in self._candidates(name) if os.path.isdir(path) or is_file(path)), None)
            if found_at is None:
                message = f"{self.source}: {item!r} does not exist in {self.bases[0]}; correct path, train or val"
                raise BrokenFile(message, "missing_image", self.source)
            found.extend(listed_images(found_at) if found_at.is_dir() else self._from_list(found_at))
        return tuple(found)

    def _candidates(self, name: str) -> list[Path]:
        if self.images is None:
            return [base / name for base in self.bases]
        parts = Path(name).parts
        below = Path(*parts[parts.index("images") + 1 :]) if "images" in parts else Path(name)
        lists = [base / name for base in self.bases if (base / name).is_file()]
        return [*lists, self.images / below]

    def _from_list(self, path: Path) -> list[Path]:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return [path]
        text = read_text(path, self.diagnostics)
        found: dict[Path, None] = {}
        for number, line in numbered_lines(text or ""):
            location = SourceLocation(str(path), number)
            image = self._listed(path, line, location)
            if image in found:
                self.diagnostics.add("duplicate_image", location, f"{line!r} is listed already")
            elif image is not None:
                found[image] = None
        return list(found)

    def _listed(self, path: Path, line: str, location: SourceLocation) -> Path | None:
        name = posix_name(line, location, self.diagnostics)
        roots = [*([self.images] if self.images else []), path.parent, *self.bases]
        candidates = [*(self._candidates(name) if self.images else []), *(root / name for root in roots)]
        inside = [Path(os.path.normpath(image)) for image in candidates if is_inside(image, roots)]
        if not inside:
            self.diagnostics.refuse(
                "path_outside", location, f"{line!r} lies outside the data set; use a path inside it"
            )
            return None
        image = next((image for image in inside if is_file(image)), None)
        if image is None:
            self.diagnostics.add("missing_image", location, f"there is no {inside[0]}")
        return image


def read_yolo(layout: YoloLayout, diagnostics: Diagnostics) -> dict[str, Dataset]:
    """Reads the labels of every split; an image without a label file has no objects.

    A line is `class x y width height` relative to the image, or a class and a polygon, which is replaced by its
    bounding box.
    """
    images = tuple(dict.fromkeys(chain.from_iterable(layout.parts.values())))
    diagnostics.num_images = len(images)
    classes = layout.classes
    records = {image: _record(image, layout, diagnostics) for image in images}
    _check_folders(images, layout, diagnostics)
    if classes is None:
        highest = max((int(record.labels.max(initial=0)) for record in records.values() if record), default=0)
        classes = tuple(f"class {index}" for index in range(highest + 1))
    return {
        name: Dataset([record for image in part if (record := records[image])], classes)
        for name, part in layout.parts.items()
    }


def _record(path: Path, layout: YoloLayout, diagnostics: Diagnostics) -> Record | None:
    hw = diagnostics.size_of(path)
    labels = layout.label_path(path)
    if hw is None:
        return None
    text: str | None = ""
    if is_file(labels):
        text = read_text(labels, diagnostics)
    else:
        diagnostics.add("image_without_labels", SourceLocation(str(path), about=(path.name,)))
    if text is None:
        return None
    num_classes = MAX_CLASSES if layout.classes is None else len(layout.classes)
    annotations = [
        _read_line(line, num_classes, hw, SourceLocation(str(labels), number), diagnostics)
        for number, line in numbered_lines(text)
    ]
    return diagnostics.record(path, hw, [annotation for annotation in annotations if annotation is not None])


def _read_line(
    line: str, num_classes: int, hw: tuple[int, int], location: SourceLocation, diagnostics: Diagnostics
) -> Annotation | None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        diagnostics.add("malformed", location, f"not all numbers: {line[:60]!r}")
        return None
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        diagnostics.add("malformed", location, f"{len(values)} numbers; a box has 5, a polygon an odd number from 7 on")
        return None
    if not (0 <= values[0] < num_classes and values[0].is_integer()):
        known = f"0 to {num_classes - 1}"
        diagnostics.add("class_out_of_range", location, f"class {values[0]:g} is not in {known}")
        return None
    if not all(math.isfinite(value) for value in values):
        diagnostics.add("not_a_number", location, f"values that are not numbers: {line[:60]!r}")
        return None
    if len(values) > 5:
        diagnostics.add("polygon", location)
    x1, y1, x2, y2 = _relative(values[1:])
    height, width = hw
    return Annotation((x1 * width, y1 * height, x2 * width, y2 * height), int(values[0]), False, location)


def _relative(values: list[float]) -> Corners:
    if len(values) > 4:
        return min(values[0::2]), min(values[1::2]), max(values[0::2]), max(values[1::2])
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _check_folders(images: Iterable[Path], layout: YoloLayout, diagnostics: Diagnostics) -> None:
    """Counts missing label folders, and label files without an image."""
    known: dict[Path, dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
    for image in images:
        known[layout.label_path(image).parent][image.parent].add(image.stem)
    for folder, image_folders in known.items():
        if not folder.is_dir():
            diagnostics.add(
                "missing_label_folder", SourceLocation(str(folder), about=(str(folder),)), "the folder does not exist"
            )
        elif folder not in image_folders:
            stems = set().union(*image_folders.values())
            labels = {path.stem: path for path in folder.glob("*.txt") if path.name != "classes.txt"}
            orphans = labels.keys() - stems
            if orphans:  # an image that is in no list may still have labels
                orphans -= {path.stem for each in image_folders for path in each.iterdir() if path.suffix != ".txt"}
            for stem in sorted(orphans):
                diagnostics.add(
                    "label_without_image",
                    SourceLocation(str(labels[stem]), about=(labels[stem].name,)),
                    "it has no image",
                )
