"""Reader of labelme data sets: one JSON file for each image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.file_names import as_on_disk
from trainers.data.format import FORMATS, Format
from trainers.data.ignored_names import is_ignored_name
from trainers.data.image_files import images_among
from trainers.data.images import is_file
from trainers.data.json_values import shown_value
from trainers.data.labelme_json import LabelmeFile, LabelmeShape, is_labelme, read_labelme_file
from trainers.data.other_annotations import add_without_labels
from trainers.data.part_folders import (
    IMAGE_FOLDERS,
    UNDIVIDED_NOTICE,
    FolderImages,
    FolderLayout,
    PartFolder,
    name_rank,
)
from trainers.data.source import (
    TEST,
    ReadRequest,
    ReadResult,
    is_inside,
    posix_name,
    read_names,
    read_names_file,
)

NAME = "labelme"
BACKGROUND = "_background_"
"""A name in labelme's list of labels that means no object."""
STYLE = FolderLayout(
    suffix=".json",
    annotation_folders=("annotations", "Annotations", "labels", "json", "jsons", "labelme", "ann", *IMAGE_FOLDERS),
    is_annotation=is_labelme,
)


def find_labelme_alone(request: ReadRequest) -> ReadResult | None:
    """Opens labelme files without text files of the same names: those could be YOLO labels, made from them."""
    parts, _ = _parts(request) or ({}, ())
    files = [file for part in parts.values() for file in part.files]
    texts = {name for folder in {file.parent for file in files} for name in os.listdir(folder)}
    return None if any(f"{file.stem}.txt" in texts for file in files) else find_labelme(request)


def find_labelme(request: ReadRequest) -> ReadResult | None:
    """Opens a folder of labelme files, or one of them; None if there are none."""
    found = _parts(request)
    if found is None:
        return None
    parts, notices = found
    request.refuse_split()
    diagnostics = request.diagnostics(str(request.path))
    diagnostics.num_images = sum(len(part.files) for part in parts.values())
    homes = dict.fromkeys(part.files[0].parent for part in parts.values())
    names = _listed_names((request.path, *homes, *dict.fromkeys(home.parent for home in homes)), diagnostics)
    described = {
        name: [file for path in part.files if (file := read_labelme_file(path, diagnostics)) is not None]
        for name, part in parts.items()
    }
    classes = names or _names_in(each for name, files in described.items() if name != TEST for each in files)
    inside = (request.path if request.path.is_dir() else request.path.parent, request.images or request.path)
    whole = request.path.is_dir()
    datasets = {
        name: _read_part(parts[name], files, classes, inside, diagnostics, note_others=whole)
        for name, files in described.items()
    }
    return ReadResult(
        format=NAME,
        datasets=datasets,
        source=str(request.path),
        notices=(*notices, *diagnostics.notices()),
        undivided_notice=UNDIVIDED_NOTICE,
    )


def _parts(request: ReadRequest) -> tuple[dict[str, PartFolder], tuple[str, ...]] | None:
    path, images = request.path, request.images
    if path.is_dir():
        return STYLE.find(request)
    if path.suffix.lower() != ".json" or not is_labelme(path):
        return None
    folders = (path.parent, path.parent.parent / "images", path.parent.parent) if images is None else (images,)
    return {"all": PartFolder(files=(path,), folders=folders)}, ()


def _listed_names(folders: Iterable[Path], diagnostics: Diagnostics) -> tuple[str, ...] | None:
    """Returns the class names of the first `classes.txt` or `labels.txt` in the folders, or None.

    Raises:
        BrokenFile: a name is given twice.
    """
    places = tuple(folder for folder in folders if folder.is_dir())
    names = read_names(places, diagnostics)
    path = next((folder / "labels.txt" for folder in places if is_file(folder / "labels.txt")), None)
    if names is None and path is not None:
        names = read_names_file(path, diagnostics)
    return tuple(name for name in names or () if name != BACKGROUND and not is_ignored_name(name)) or None


def _names_in(files: Iterable[LabelmeFile]) -> tuple[str, ...]:
    """Returns the names of the shapes, sorted."""
    names = {shape.name for file in files for shape in file.shapes if not shape.ignored}
    return tuple(sorted(names - {BACKGROUND}))


def _read_part(
    part: PartFolder,
    files: list[LabelmeFile],
    classes: tuple[str, ...],
    inside: tuple[Path, ...],
    diagnostics: Diagnostics,
    *,
    note_others: bool,
) -> Dataset:
    """Returns the images of annotation files; other images of their folders are noted if `note_others`."""
    images, allowed = part.images(), (*inside, *part.folders)
    index_of = {name: index for index, name in enumerate(classes)}
    found = [(file, _image(file, images, allowed, diagnostics)) for file in files]
    if files and not any(image for _, image in found):
        raise part.none_found()
    records = (
        (_record(file, image, index_of, diagnostics), SourceLocation(str(file.path), about=(file.path.name,)))
        for file, image in found
    )
    kept = diagnostics.distinct(records, (name_rank(file.path, image) for file, image in found))
    annotated = {*(image for _, image in found), *map(images.of, part.files)}
    for image in images.all() if note_others else ():
        if image not in annotated:
            add_without_labels(image, diagnostics, ".json")
    return Dataset(kept, classes)


def _image(file: LabelmeFile, images: FolderImages, inside: tuple[Path, ...], diagnostics: Diagnostics) -> Path | None:
    """Returns the image with the name of a file, or the one at its `imagePath`; counts a defect without one.

    Args:
        file: the annotation file.
        images: those in the folders that are searched.
        inside: `imagePath` may lead into these folders only.
        diagnostics: counts defects.
    """
    location = SourceLocation(str(file.path), about=(file.path.name,))
    given = posix_name(file.image_path, location, diagnostics)
    last = given.rpartition("/")[2]
    place = as_on_disk(Path(os.path.normpath(file.path.parent / given)))
    is_allowed = is_inside(place, inside)
    named = images.named(last)
    if is_allowed and is_file(place) and images_among([place]):
        named = named if named is not None and named.samefile(place) else place
    own = named if named is not None and name_rank(file.path, named) < 2 else images.of(file.path)
    if own is not None and named is not None and own != named:
        what = f"its imagePath is {last!r}, an image that exists; {own.name} is used, which has the name of the file"
        diagnostics.add("filename_differs", location, what)
    elif own is not None and named is None and last and name_rank(file.path, Path(last)) == 2:
        diagnostics.add("filename_missing", location)
    if own is None and named is None:
        kind = "missing_image" if is_allowed else "path_outside"
        what = "the file name of an image beside it" if is_allowed else "a name inside the data set"
        diagnostics.add(kind, location, f"there is no image {shown_value(file.image_path)}; use {what}")
    return own or named


def _record(file: LabelmeFile, image: Path | None, index_of: dict[str, int], diagnostics: Diagnostics) -> Record | None:
    hw = None if image is None else file.hw or diagnostics.size_of(image)
    if image is None or hw is None:
        return None
    found = (_annotation(shape, index_of, diagnostics) for shape in file.shapes)
    return diagnostics.record(image, hw, [each for each in found if each is not None], num_classes=len(index_of))


def _annotation(shape: LabelmeShape, index_of: dict[str, int], diagnostics: Diagnostics) -> Annotation | None:
    if shape.ignored:
        diagnostics.add("ignored", shape.location)
        return Annotation(shape.box, EVERY_CLASS, True, shape.location)
    if shape.name not in index_of:
        diagnostics.add("unknown_category", shape.location, f"{shape.name[:40]!r} is not a known class")
        return None
    return Annotation(shape.box, index_of[shape.name], False, shape.location)


FORMATS.add(NAME, Format(readers=(find_labelme_alone, find_labelme), looks="labelme's json files with their images"))
