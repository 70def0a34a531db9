"""Folder layouts with one annotation file per image: find the files of each split and their images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trainers.data.defects import BrokenFile
from trainers.data.file_names import NameTable, normalized
from trainers.data.image_files import OTHER_IMAGE_SUFFIXES, images_among, is_appledouble
from trainers.data.images import IMAGE_SUFFIXES
from trainers.data.source import TEST, ReadRequest

Part = TypeVar("Part")
IMAGE_FOLDERS = ("images", "JPEGImages")
PART_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""The words that mean a part of a data set in names of files and folders, in any case."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
UNDIVIDED_NOTICE = (
    "{source} has no train and val split: the last {num_val} of {num_images} images by name are the val split"
)


def part_of(name: str) -> str | None:
    """Returns the part, `train`, `val` or `test`, that the name of a file or folder means, or None.

    One of its words must be in `PART_NAMES`: `instances_Validation` and `valid2017` are val, `interval` is nothing.
    A name with words of two parts, such as `train_val`, is no part.
    """
    words = {word.lower() for word in _WORD.findall(name)}
    found = [part for part, names in PART_NAMES.items() if not words.isdisjoint(names)]
    return found[0] if len(found) == 1 else None


def names_by_part(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns the names that mean each part, the best first: the name of the part itself, then sorted by length."""
    parts: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        part = part_of(name)
        if part is not None:
            parts.setdefault(part, []).append(name)
    return {part: tuple(sorted(found, key=lambda name: name != part)) for part, found in parts.items()}


def used_parts(
    parts: Mapping[str, Part], request: ReadRequest, source: object
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Returns `train` and `val`, or `all` if there is one part only, and a notice if test images are used as val.

    A test part beside both comes with them if the request asks for it.
    """
    found = [part for part in ("train", "val", TEST) if part in parts]
    if len(found) < 2 or found[0] != "train":
        return ({"all": parts[found[0]]} if found else {}), ()
    if found[1] == TEST:
        notice = f"{source} has no val part: test is used for validation"
        return {"train": parts["train"], "val": parts[TEST]}, (notice,)
    return request.wanted({part: parts[part] for part in found}), ()


@dataclass(frozen=True, kw_only=True)
class PartFolder:
    """One split of a data set: its annotation files, and the folders that may contain its images."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    def images(self) -> FolderImages:
        """Returns the images in the folders."""
        found: list[Path] = []
        for folder in self.folders:
            names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
            found += images_among(folder / name for name in names)
        return FolderImages(found)

    def none_found(self) -> BrokenFile:
        """Returns the error that none of the annotation files has an image."""
        looked = ", ".join(dict.fromkeys(os.path.normpath(folder) for folder in self.folders))
        message = f"no image for any of {len(self.files)} annotation files, such as {self.files[0]}; searched {looked}"
        return BrokenFile(f"{message}; give the folder with --images DIR", "missing_image", self.files[0])


class FolderImages:
    """Finds images by name; of equal names, the first one counts.

    Args:
        paths: image files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._by_name = NameTable((path.name, path) for path in paths)
        self._by_stem = NameTable((os.path.splitext(path.name)[0], path) for path in paths)

    def named(self, name: str) -> Path | None:
        """Returns the image with a file name."""
        return self._by_name.get(name)

    def of(self, annotations: Path, preferred: str = "") -> Path | None:
        """Returns the image of an annotation file: `a.jpg` for `a.txt`, and for `a.jpg.txt`.

        Args:
            annotations: the annotation file.
            preferred: file name that decides between several images with the same stem.
        """
        stems = label_stems(annotations)
        named = self.named(preferred)
        if named is not None and normalized(os.path.splitext(named.name)[0]) in map(normalized, stems):
            return named
        candidates = (self._by_stem.get(stems[0]), self.named(stems[0]), *map(self._by_stem.get, stems[1:]))
        return next((image for image in candidates if image is not None), None)

    def all(self) -> list[Path]:
        """Returns one image for each stem."""
        return [path for stem in self._by_stem.names() if (path := self._by_stem.get(stem)) is not None]


def label_stems(annotations: Path) -> tuple[str, ...]:
    """Returns the stems of the image of an annotation file: `a` for `a.txt`; `a.jpg` or `a` for `a.jpg.txt`."""
    inner, suffix = os.path.splitext(annotations.stem)
    is_image_name = suffix.lower() in IMAGE_SUFFIXES | OTHER_IMAGE_SUFFIXES
    return (annotations.stem, inner) if is_image_name else (annotations.stem,)


def name_rank(annotations: Path, image: Path | None) -> int:
    """Returns 0 if an annotation file has the stem of its image, 1 if it has its whole name, and 2 otherwise."""
    stems = list(map(normalized, label_stems(annotations)))
    stem = "" if image is None else normalized(os.path.splitext(image.name)[0])
    return stems.index(stem) if stem in stems else 2


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """The folder layout of a format."""

    suffix: str
    annotation_folders: tuple[str, ...]
    is_annotation: Callable[[Path], bool]
    """Returns whether a file has annotations in this format."""

    def find(self, request: ReadRequest) -> tuple[dict[str, PartFolder], tuple[str, ...]] | None:
        """Returns the parts of a folder and the notices, as `used_parts`; None if the layout differs.

        Supported are, each with images: an annotation folder, with or without subfolders of the parts; and folders of
        the parts that contain an annotation folder or the annotation files.
        """
        folder, images = request.path, request.images
        home = self._home(folder) if folder.is_dir() else None
        files = () if home is None else self._files(home)
        if home is not None and files:
            return {"all": PartFolder(files=files, folders=_beside(home, images, ""))}, ()
        if home is not None:
            found = self._divided(home, lambda place, part: _parallel(place, images, part))
        else:
            found = self._divided(folder, lambda place, part: _beside(place, images, part))
        return used_parts(found, request, folder) if found else None

    def _divided(self, folder: Path, image_folders: Callable[[Path, str], tuple[Path, ...]]) -> dict[str, PartFolder]:
        """Returns the parts; none without annotations of train, or of a val folder that exists."""
        parts = {}
        for part in ("train", "val"):
            place = folder / _name_of(folder, part)
            home = self._home(place) or place
            files = self._files(home)
            if files:
                parts[part] = PartFolder(files=files, folders=image_folders(home, part))
            elif part == "train" or place.is_dir():
                return {}
        return parts | self._test(folder, image_folders)

    def _test(self, folder: Path, image_folders: Callable[[Path, str], tuple[Path, ...]]) -> dict[str, PartFolder]:
        """Returns the test part of a divided folder; of test-challenge and test-dev the first with annotations."""
        for name in names_by_part(path.name for path in folder.iterdir() if path.is_dir()).get(TEST, ()):
            home = self._home(folder / name)
            if home is not None and self._files(home):
                return {TEST: PartFolder(files=self._files(home), folders=image_folders(home, TEST))}
        return {}

    def _home(self, folder: Path) -> Path | None:
        """Returns the annotation folder in a folder, which may be the folder itself."""
        places = [folder / name for name in self.annotation_folders]
        for place in (*places, folder):
            if place.is_dir() and (self._files(place) or (place != folder and self._has_train(place))):
                return place
        return None

    def _has_train(self, folder: Path) -> bool:
        place = folder / _name_of(folder, "train")
        return any(self._files(place / name) for name in ("", *self.annotation_folders))

    def _files(self, folder: Path) -> tuple[Path, ...]:
        if not folder.is_dir():
            return ()
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == self.suffix)
        paths = [path for path in paths if path.name != "classes.txt" and not is_appledouble(path)]
        files = tuple(path for path in paths if path.is_file())
        return files if any(self.is_annotation(path) for path in files) else ()


def _name_of(folder: Path, part: str) -> str:
    """Returns the folder name of a split: the first that means it (see `names_by_part`), or that contains its name."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    known = names_by_part(names).get(part)
    return known[0] if known else next((name for name in names if part in name.lower()), part)


def _beside(home: Path, images: Path | None, part: str) -> tuple[Path, ...]:
    """Returns the candidate image folders of an annotation folder: itself and sibling folders."""
    if images is not None:
        return tuple(dict.fromkeys((images / part, images)))
    return (home, *(home.parent / name for name in IMAGE_FOLDERS), home.parent)


def _parallel(place: Path, images: Path | None, part: str) -> tuple[Path, ...]:
    """Returns the candidate image folders of `annotations/train`: itself, `images/train` and `images`."""
    if images is not None:
        return _beside(place, images, part)
    bases = [place.parent.parent / name for name in IMAGE_FOLDERS]
    return (place, *(base / place.name for base in bases), *bases)
