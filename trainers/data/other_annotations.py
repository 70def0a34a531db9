"""Find annotations of another format than the one that is read: a folder can be labelled partly in each of two."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.source import MAX_TEXT_BYTES
from trainers.data.yolo_layout import is_label_text

_FOLDERS = ("Annotations", "annotations", "labels")
_MARKS = {".xml": (b"<annotation", b"<object"), ".json": (b'"shapes"', b'"points"'), ".txt": ()}
"""What a file of VOC, labelme or YOLO with at least one object contains, by suffix."""


def add_without_labels(image: Path, diagnostics: Diagnostics, suffix: str) -> None:
    """Counts an image without an annotation file: a note, or a defect if a file of another format has its labels.

    Args:
        image: its path.
        diagnostics: counts the note or the defect.
        suffix: of the annotation files that are read.
    """
    location = SourceLocation(str(image), about=(image.name,))
    other = _other_annotation(image, suffix)
    if other is None:
        diagnostics.add("image_without_labels", location)
        return
    what = f"its labels are in {other.name}, which is not read with those in {suffix} files; use one format for all"
    diagnostics.add("unread_annotation", location._replace(file=str(other)), what)


def _other_annotation(image: Path, suffix: str) -> Path | None:
    """Returns a file of another format with objects of an image, or None."""
    home, stem = image.parent, os.path.splitext(image.name)[0]
    places = [home, *(home.parent / name for name in _FOLDERS)]
    places += [home.parent.parent / name / home.name for name in _FOLDERS]
    for place in filter(os.path.isdir, places):
        names = _names_in(str(place), os.stat(place).st_mtime_ns)
        for other, marks in _MARKS.items():
            for name in (f"{stem}{other}", f"{image.name}{other}") if other != suffix else ():
                if name in names and _has_objects(place / name, marks):
                    return place / name
    return None


@lru_cache(maxsize=64)
def _names_in(folder: str, changed_ns: int) -> frozenset[str]:
    """Returns the names in a folder; `changed_ns` tells that it has changed."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _has_objects(path: Path, marks: tuple[bytes, ...]) -> bool:
    if not marks:
        return is_label_text(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES)
    except OSError:
        return False
    return all(mark in content for mark in marks)
