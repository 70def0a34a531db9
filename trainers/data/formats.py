"""Detection of the format of a data set, and the built-in formats."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

from search_space.errors import ConfigError, DataError, check_known
from trainers.data.class_selection import ClassSelection, select_classes
from trainers.data.format import FORMATS, Reader
from trainers.data.ignored_names import ignore_named_classes
from trainers.data.json_pairs import jsons_in
from trainers.data.pixel_range import check_range
from trainers.data.set_range import with_pixel_range
from trainers.data.source import ReadRequest, ReadResult
from trainers.data.unread_exports import about_unread, about_unread_in

# The order is that of detection. Folders of YOLO and lines of VisDrone could also be those of the formats before them.
from trainers.data import json_writer, labelme, yolo_writer, visdrone_video, uavdt  # noqa: F401  isort: skip
from trainers.data import visdrone_writer, voc_writer, mot  # noqa: F401  isort: skip


def readers_in_order() -> tuple[Reader, ...]:
    """Returns the distinct readers in the order in which they are tried if no format is given."""
    rounds = zip_longest(*(FORMATS.get(name).readers for name in FORMATS))
    return tuple(dict.fromkeys(reader for each in rounds for reader in each if reader is not None))


def check_format(name: str) -> None:
    """Raises ConfigError, with the nearest and all known names, if `name` is not a format."""
    check_known("format", name, FORMATS, ConfigError)


def read_data(request: ReadRequest) -> ReadResult:
    """Opens the data set at a path.

    Raises:
        ConfigError: the format is unknown, or the range of pixels does not rise.
        DataError: no known format is found, the data set cannot be used, or a selected class is unknown.
    """
    check_range(request.pixel_range)
    if request.format is not None:
        check_format(request.format)
    for what, path in (("data set", request.path), ("folder of images", request.images)):
        if path is not None and not path.exists():
            raise DataError(f"no {what} at {path}: the path does not exist; correct it")
    if request.images is not None and not request.images.is_dir():
        raise DataError(f"{request.images} is not a folder; give the folder of the images with --images")
    for reader in FORMATS.get(request.format).readers if request.format else readers_in_order():
        parts = reader(request)
        if parts is not None:
            selected = _selected(_without_ignored_classes(parts, request), request.selection)
            return with_pixel_range(selected, request)
    raise DataError(_nothing_found(request))


def read_every_part(request: ReadRequest) -> tuple[ReadResult, DataError | None]:
    """Opens a data set with its test part, or without it if the test part cannot be used, and returns the reason.

    Raises:
        ConfigError: the format is unknown.
        DataError: no known format is found, or the data set cannot be used without the test part either.
    """
    try:
        return read_data(replace(request, with_test=True)), None
    except DataError as error:
        if request.defect_log is not None:
            request.defect_log.clear()
        return read_data(replace(request, with_test=False)), error


def _without_ignored_classes(parts: ReadResult, request: ReadRequest) -> ReadResult:
    diagnostics = request.diagnostics(parts.source)
    datasets = ignore_named_classes(parts.datasets, diagnostics)
    return replace(parts, datasets=datasets, notices=(*parts.notices, *diagnostics.notices()))


def _selected(parts: ReadResult, selection: ClassSelection) -> ReadResult:
    if not selection:
        return parts
    found = select_classes(parts.datasets, selection)
    return replace(parts, datasets=found.datasets, notices=(*parts.notices, *found.notices))


def _nothing_found(request: ReadRequest) -> str:
    path, named = request.path, request.format
    unread = about_unread_in(path) if path.is_dir() else about_unread(path)
    if unread is not None:
        return unread
    if not path.is_dir():
        what = f"a data set in the format {named}" if named else "a COCO or TinyPerson json, a data YAML or a folder"
        return f"no data set at {path}: give {what}"
    num_jsons = len(jsons_in(path))
    also = f"; the folder has {num_jsons} other json files, give one of them" if num_jsons else ""
    if named:
        found = [name for name in FORMATS if name != named and _finds(replace(request, format=name))]
        return f"no {named} data set found in {path}{also}" + (f"; it looks like {found[0]}" if found else "")
    *looks, last = (FORMATS.get(name).looks for name in FORMATS if FORMATS.get(name).looks)
    return f"no data set found in {path}; looked for {', '.join(looks)}, and {last}{also}"


def _finds(request: ReadRequest) -> bool:
    try:
        readers = FORMATS.get(str(request.format)).readers
        return any(reader(replace(request, defect_log=None)) is not None for reader in readers)
    except DataError:
        return False
