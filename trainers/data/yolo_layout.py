"""Layouts of YOLO data sets: the images of each part, their label files, and the class names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.image_files import images_among
from trainers.data.images import IMAGE_SUFFIXES, is_file
from trainers.data.part_folders import FolderImages, names_by_part, part_of, used_parts
from trainers.data.source import TEST, ReadRequest, listed_images, subfolders
from trainers.data.yolo_names import NAME_FILES, ClassNames, names_in

ANNOTATIONS = ("annotations", "Annotations")
"""Folders of other formats."""
MAX_PROBED = 200
"""Texts of a folder, and folders below one, that are looked into for labels."""


@dataclass(frozen=True, kw_only=True)
class YoloLayout:
    """The images of each split, and where their labels are."""

    parts: dict[str, tuple[Path, ...]]
    """`train` and `val`, and `test` if it is asked for, or `all`."""
    classes: tuple[str, ...] | None
    """None if no file names them."""
    images: Path | None = None
    """The image folder that the user gave; the labels are then in `labels`."""
    labels: Path | None = None
    beside: bool = False
    """Whether the label files are in the folders of their images."""
    kpt_shape: tuple[int, int] | None = None
    """`kpt_shape` of the data YAML: number of landmarks, and of numbers for each."""
    notices: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    """What was taken for what, in a few words each; empty if the names of files and folders leave no choice."""

    def label_path(self, image: Path) -> Path:
        """Returns the label file of an image: the last folder `images` in its path becomes `labels`.

        Without such a file, a text file beside the image is its label file.
        """
        if self.images is not None and self.labels is not None and image.is_relative_to(self.images):
            return (self.labels / image.relative_to(self.images)).with_suffix(".txt")
        beside = image.with_suffix(".txt")
        parts = list(image.parts)
        for index in range(len(parts) - 2, -1, -1):
            if parts[index] == "images" and not self.beside:
                path = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
                return beside if not is_file(path) and is_file(beside) else path
        return beside


def layout_from_folder(request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    """Reads `images/` and `labels/`, with or without folders of the parts in them; None if they do not exist."""
    folder = request.path
    images, labels = request.images or folder / "images", folder / "labels"
    if not images.is_dir():
        return None
    if not labels.is_dir() and request.images is not None and has_labels(folder, with_images=False):
        labels = folder
    if not (labels.is_dir() or (request.format and request.images is None)):
        return None
    names = names_in((folder, labels), diagnostics)
    found, notices = used_parts(_folders_of_parts(images), request, folder)
    if "train" not in found:
        found, notices = {"all": images}, ()
    tell_unread(subfolders(images) if "train" in found else (), found.values(), diagnostics)
    plain = set(found) == {"all"} or all(path.name == part for part, path in found.items())
    plain = plain and names is not None and names.file.name == "classes.txt" and labels != folder
    return YoloLayout(
        parts=with_images({part: listed_images(path) for part, path in found.items()}, str(folder)),
        classes=names.names if names else None,
        images=request.images,
        labels=labels,
        notices=notices,
        taken=() if plain else (*_shown_parts(found, folder), shown_names(names, folder)),
    )


def layout_from_part_folders(request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    """Reads folders `train` and `valid`, each with `images/` and `labels/`; None if there are none.

    Folders that have `annotations/` too are in another format, unless the user named this one.
    """
    folder = request.path
    places = [each for each in subfolders(folder) if (each / "images").is_dir() and (each / "labels").is_dir()]
    if request.format is None:
        places = [each for each in places if not any((each / name).is_dir() for name in ANNOTATIONS)]
    names_of = names_by_part(place.name for place in places)
    found = {part: folder / names[0] / "images" for part, names in names_of.items()}
    if "train" not in found or request.images is not None:
        return None
    homes = [path.parent for path in found.values()]
    names = names_in((folder, *homes, *(home / "labels" for home in homes)), diagnostics)
    used, notices = used_parts(found, request, folder)
    tell_unread(places, homes, diagnostics)
    return YoloLayout(
        parts=with_images({part: listed_images(path) for part, path in used.items()}, str(folder)),
        classes=names.names if names else None,
        notices=notices,
        taken=(*_shown_parts(used, folder), shown_names(names, folder)),
    )


def layout_beside(request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    """Reads label files beside their images, in the folder or in its subfolders; None if there are none."""
    folder = request.path
    if request.images is not None:
        return None
    places = {path.name: path for path in subfolders(folder) if _has_labels_below(path)}
    own = has_labels(folder, with_images=True)
    if not own and not places:
        return None
    by_part = {part: places[names[0]] for part, names in names_by_part(places).items()}
    used, notices = used_parts(by_part, request, folder)
    if own or "train" not in used:
        used, notices = {"all": folder}, ()
    tell_unread(places.values() if "train" in used else (), used.values(), diagnostics)
    names = names_in((folder, *places.values()), diagnostics)
    beside = "label files beside their images"
    return YoloLayout(
        parts=with_images({part: listed_images(path) for part, path in used.items()}, str(folder)),
        classes=names.names if names else None,
        beside=True,
        notices=notices,
        taken=(*_shown_parts(used, folder), beside, shown_names(names, folder)),
    )


def with_images(parts: dict[str, tuple[Path, ...]], source: str) -> dict[str, tuple[Path, ...]]:
    """Returns the parts unchanged.

    Raises:
        BrokenFile: a part has no images.
    """
    for name, part in parts.items():
        if not part:
            known = ", ".join(sorted(IMAGE_SUFFIXES))
            message = f"{source}: no images in its {name} split; known suffixes: {known}"
            raise BrokenFile(f"{message}; give the folder with --images DIR", "empty_set", source)
    return parts


def shown_names(names: ClassNames | None, folder: Path) -> str:
    """Returns which file gives the class names, in a few words."""
    return f"classes of {os.path.relpath(names.file, folder)}" if names else "no file with class names"


def is_label_text(path: Path) -> bool:
    """Returns whether the first line of a file is a class id and at least four numbers."""
    try:
        with path.open("rb") as file:
            lines = file.read(4000).decode("utf-8-sig").splitlines()
        words = next((line for line in lines if line.strip()), "").split()[:5]
        return len([float(word) for word in words]) == 5 and words[0].isdecimal()
    except (OSError, ValueError):
        return False


def has_labels(folder: Path, *, with_images: bool) -> bool:
    """Returns whether one of the first texts in a folder is a label file, `with_images` only those beside an image."""
    try:
        paths = sorted(folder / name for name in os.listdir(folder))
    except OSError:
        return False
    texts = [path for path in paths if path.suffix == ".txt" and path.name not in NAME_FILES]
    if with_images and texts:
        images = FolderImages(images_among(paths))
        texts = [path for path in texts if images.of(path) is not None]
    return any(is_label_text(path) for path in texts[:MAX_PROBED])


def _has_labels_below(folder: Path) -> bool:
    """Returns whether a folder, or one of the first folders below it, has label files beside images."""
    walk = islice(os.walk(folder), MAX_PROBED)
    return any(has_labels(Path(place), with_images=True) for place, _, _ in walk)


def _folders_of_parts(folder: Path) -> dict[str, Path]:
    """Returns the subfolders that mean a part, the best for each."""
    return {part: folder / names[0] for part, names in names_by_part(path.name for path in subfolders(folder)).items()}


def tell_unread(places: Iterable[Path], used: Iterable[Path], diagnostics: Diagnostics) -> None:
    """Counts folders with images that are not used, apart from those of a test part."""
    known = set(used)
    for place in places:
        if place not in known and part_of(place.name) != TEST and listed_images(place):
            location = SourceLocation(str(place), about=(place.name,))
            diagnostics.add("unread_folder", location, "its images are in no part; name it train, val or test")


def _shown_parts(parts: Mapping[str, Path], folder: Path) -> Iterable[str]:
    for part, path in parts.items():
        yield f"{part} images in {'the folder' if path == folder else os.path.relpath(path, folder)}"
