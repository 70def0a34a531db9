"""Find the YOLO label file of each image, and the label files that no image has."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.file_names import as_on_disk
from trainers.data.image_files import images_among, is_appledouble
from trainers.data.images import is_file
from trainers.data.part_folders import FolderImages, label_stems
from trainers.data.yolo_layout import is_label_text
from trainers.data.yolo_names import NAME_FILES

LabelPath = Callable[[Path], Path]
"""Returns where the label file of an image is by the layout of the data set: `labels/a.txt` for `images/a.jpg`."""


def find_label_files(images: Iterable[Path], label_path: LabelPath) -> dict[Path, Path | None]:
    """Returns the label file of each image, or None.

    For `a.jpg` it is `a.txt`, otherwise `a.jpg.txt`, otherwise a file whose name differs from those in its Unicode form
    alone, unless it is the label file of another image.
    """
    found = {image: path if is_file(path := label_path(image)) else None for image in images}
    taken = {path for path in found.values() if path is not None}
    for image in [image for image, path in found.items() if path is None]:
        place = label_path(image)
        candidates = [place.with_name(f"{image.name}.txt")]
        candidates += map(as_on_disk, (place, *candidates))
        found[image] = next((path for path in candidates if is_file(path) and path not in taken), None)
    return found


def check_label_folders(labels: Mapping[Path, Path | None], label_path: LabelPath, diagnostics: Diagnostics) -> None:
    """Counts missing label folders, label files without an image, and those of several images.

    Args:
        labels: the label file of each image of the data set.
        label_path: the layout of the data set.
        diagnostics: counts the defects.
    """
    owner: dict[Path, Path] = {}
    for image, path in labels.items():
        if path is not None and owner.setdefault(path, image) != image:
            what = f"{owner[path].name} and {image.name} both have its labels; keep one image, or rename one"
            diagnostics.add("shared_annotation", SourceLocation(str(path), about=(path.name,)), what)
    image_folders: dict[Path, set[Path]] = defaultdict(set)
    for image in labels:
        image_folders[as_on_disk(label_path(image).parent)].add(image.parent)
    used = {path for path in labels.values() if path is not None}
    for folder, homes in sorted(image_folders.items()):
        if not folder.is_dir():
            about = SourceLocation(str(folder), about=(str(folder),))
            diagnostics.add("missing_label_folder", about, "the folder does not exist")
            continue
        for place in _subfolders(folder, image_folders):
            inner = place.relative_to(folder)
            _check_folder(place, [home / inner for home in homes], used, labels, diagnostics)


def _subfolders(folder: Path, known: Mapping[Path, object]) -> Iterator[Path]:
    """Yields a folder and its subfolders but for those that are known themselves."""
    yield folder
    for entry in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)):
        if folder / entry not in known and not entry.startswith("."):
            yield from _subfolders(folder / entry, known)


def _check_folder(
    folder: Path,
    homes: list[Path],
    used: set[Path],
    labels: Mapping[Path, Path | None],
    diagnostics: Diagnostics,
) -> None:
    """Counts the label files of a folder that no image has; images that are in no list may have some."""
    texts = (path for path in sorted(folder.glob("*.txt")) if path.name not in NAME_FILES and not is_appledouble(path))
    unused = [path for path in texts if path not in used]
    if folder in homes:  # other text files are beside images, too
        unused = [path for path in unused if is_label_text(path)]
    if not unused:
        return
    files = [path for home in homes if home.is_dir() for path in home.iterdir() if path.suffix != ".txt"]
    images = FolderImages(images_among(files))
    others = {path.stem: path for path in files}
    for path in unused:
        image = images.of(path)
        if image is not None and image not in labels:
            continue
        other = next((others[stem] for stem in label_stems(path) if stem in others), None)
        if image is not None:
            what = f"{image.name} has another label file"
        else:
            what = "it has no image" if other is None else f"{other.name} is no image that can be read; convert it"
        diagnostics.add("label_without_image", SourceLocation(str(path), about=(path.name,)), what)
