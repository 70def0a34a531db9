"""Folder layouts with one annotation file per image: find the files of each split and their images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainers.data.defects import BrokenFile
from trainers.data.images import IMAGE_SUFFIXES
from trainers.data.source import TEST

IMAGE_FOLDERS = ("images", "JPEGImages")
UNDIVIDED_NOTICE = (
    "{source} has no train and val split: the last {num_val} of {num_images} images by name are the val split"
)


@dataclass(frozen=True, kw_only=True)
class PartFolder:
    """One split of a data set: its annotation files, and the folders that may contain its images."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    def images(self) -> dict[str, Path]:
        """Returns the images by name without suffix; earlier folders take precedence.

        Raises:
            BrokenFile: none of the annotation files has an image.
        """
        found: dict[str, Path] = {}
        for folder in self.folders:
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if folder.is_dir() else ():
                stem, suffix = os.path.splitext(entry.name)
                if suffix.lower() in IMAGE_SUFFIXES:
                    found.setdefault(stem, Path(entry.path))
        if not any(file.stem in found for file in self.files):
            looked = ", ".join(dict.fromkeys(os.path.normpath(folder) for folder in self.folders))
            message = (
                f"no image for any of {len(self.files)} annotation files, such as {self.files[0]}; searched {looked}"
            )
            raise BrokenFile(f"{message}; give the folder with --images DIR", "missing_image", self.files[0])
        return found


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """The folder layout of a format."""

    suffix: str
    annotation_folders: tuple[str, ...]
    is_annotation: Callable[[Path], bool]
    """Returns whether a file has annotations in this format."""

    def find(self, folder: Path, images: Path | None) -> dict[str, PartFolder] | None:
        """Returns the parts `train` and `val`, and `test` if there is one, or `all`; None if the layout differs.

        Supported are, each with images: an annotation folder, with or without `train` and `val` subfolders; and
        folders with `train` and `val` in their names that contain an annotation folder or the annotation files.
        """
        home = self._home(folder)
        if home is None:
            return self._divided(folder, lambda place, part: _beside(place, images, part))
        files = self._files(home)
        if files:
            return {"all": PartFolder(files=files, folders=_beside(home, images, ""))}
        return self._divided(home, lambda place, part: _parallel(place, images, part))

    def _divided(
        self, folder: Path, image_folders: Callable[[Path, str], tuple[Path, ...]]
    ) -> dict[str, PartFolder] | None:
        parts = {}
        for part in ("train", "val"):
            place = folder / _name_of(folder, part)
            home = self._home(place) or place
            files = self._files(home)
            if not files:
                return None
            parts[part] = PartFolder(files=files, folders=image_folders(home, part))
        return parts | self._test(folder, image_folders)

    def _test(self, folder: Path, image_folders: Callable[[Path, str], tuple[Path, ...]]) -> dict[str, PartFolder]:
        """Returns the test part of a divided folder; of test-challenge and test-dev the first with annotations."""
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and TEST in path.name.lower())
        for name in sorted(names, key=lambda name: name != TEST):
            home = self._home(folder / name)
            if home is not None:
                return {TEST: PartFolder(files=self._files(home), folders=image_folders(home, TEST))}
        return {}

    def _home(self, folder: Path) -> Path | None:
        """Returns the annotation folder in a folder, which may be the folder itself."""
        places = [folder / name for name in self.annotation_folders]
        for place in (*places, folder):
            if place.is_dir() and (self._files(place) or (place != folder and self._has_parts(place))):
                return place
        return None

    def _has_parts(self, folder: Path) -> bool:
        return all((folder / _name_of(folder, part)).is_dir() for part in ("train", "val"))

    def _files(self, folder: Path) -> tuple[Path, ...]:
        if not folder.is_dir():
            return ()
        files = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() == self.suffix))
        files = tuple(path for path in files if path.name != "classes.txt" and path.is_file())
        return files if any(self.is_annotation(path) for path in files) else ()


def _name_of(folder: Path, part: str) -> str:
    """Returns the folder name of a split: the split itself, or the first name that contains it."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return part if part in names else next((name for name in names if part in name.lower()), part)


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
