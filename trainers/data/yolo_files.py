"""Files that describe a YOLO data set: the data YAML of Ultralytics and `obj.data` of Darknet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from search_space.errors import shown
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.images import is_file
from trainers.data.part_folders import part_of, used_parts
from trainers.data.source import (
    SAME_IMAGES,
    ReadRequest,
    is_inside,
    listed_images,
    numbered_lines,
    posix_name,
    read_names_file,
    read_text,
    subfolders,
)
from trainers.data.yolo_layout import YoloLayout, has_labels, shown_names, tell_unread, with_images
from trainers.data.yolo_lists import EntryFinder
from trainers.data.yolo_names import (
    ClassNames,
    load_yaml,
    names_in,
    numbered_names,
    part_entries,
    yaml_names,
    yamls_in,
)

DATA_SUFFIX = ".data"
MAX_DATA_BYTES = 100_000
CHANNELS = (1, 3)
"""What `channels` of a data YAML may be."""


def find_yaml(folder: Path) -> Path | None:
    """Returns the data YAML of a folder: the first file that names train and val, or one of them and classes."""
    for path, content in yamls_in(folder):
        parts = {part for part, entry in part_entries(content).items() if isinstance(entry, (str, list))}
        if {"train", "val"} <= parts or (parts and not {"names", "nc"}.isdisjoint(content)):
            return path
    return None


def layout_from_yaml(path: Path, request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout:
    """Reads a data YAML: `path` (relative to the file), `train`, `val` (folders or list files), `names`, `kpt_shape`.

    Raises:
        BrokenFile: the file is not YAML, all parts are missing, or a folder does not exist.
    """
    content = load_yaml(path)
    entries = part_entries(content) if isinstance(content, dict) else {}
    if not entries or not isinstance(content, dict):
        message = f"{path} lacks train and val; a data YAML has path, train, val and names"
        raise BrokenFile(message, "wrong_layout", path)
    _check_channels(content.get("channels"), path, diagnostics)
    where = content.get("path")
    base = path.parent / posix_name(where if isinstance(where, str) else ".", SourceLocation(str(path)), diagnostics)
    bases = [folder for folder in dict.fromkeys((base, path.parent)) if os.path.isdir(folder)]
    stated = f"path is {shown(where)}, but there is no folder {base}" if base not in bases else ""
    finder = EntryFinder(source=path, bases=bases, images=request.images, diagnostics=diagnostics, without_base=stated)
    used, notices = _existing_parts(entries, finder, request)
    parts = {part: finder.images_of(entry) for part, entry in used.items()}
    if "all" not in parts and set(parts["train"]) == set(parts["val"]):
        notices += (f"{path}: {SAME_IMAGES}; the score says little about other images",)
    given = yaml_names(content, path)
    names = ClassNames(given, path) if given else names_in((path.parent, *bases), diagnostics)
    numbered = numbered_names(content, path)
    if given and numbered and len(given) != len(numbered):
        message = f"{path}: nc is {len(numbered)}, but names has {len(given)} classes; correct one of them"
        raise BrokenFile(message, "wrong_layout", path)
    plain = given and not finder.taken and all(content.get(part) == entry for part, entry in used.items())
    return YoloLayout(
        parts=with_images(parts, str(path)),
        classes=names.names if names else numbered,
        images=request.images,
        labels=next((folder / "labels" for folder in bases if (folder / "labels").is_dir()), bases[0] / "labels"),
        kpt_shape=_kpt_shape(content, path),
        notices=notices,
        taken=() if plain else (*_shown_entries(used), *finder.taken, shown_names(names, path.parent)),
    )


def _check_channels(channels: object, path: Path, diagnostics: Diagnostics) -> None:
    """Refuses a data YAML for images that have more channels than are read."""
    if channels is None or (channels in CHANNELS and not isinstance(channels, bool)):
        return
    lines = numbered_lines(path.read_text(encoding="utf-8", errors="replace"))
    line = next((number for number, each in lines if each.startswith("channels")), None)
    what = f"channels is {shown(channels)}, and 3 are read; next: images of 1 or 3 channels, and no other `channels`"
    diagnostics.refuse("unsupported_channels", SourceLocation(str(path), line), what)


def _existing_parts(
    entries: dict[str, Any], finder: EntryFinder, request: ReadRequest
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the entries as `used_parts` does, without a val and a test part that do not exist, and the notices.

    Tools name every part, also those that an export lacks. No part is left out if train does not exist, or if another
    folder means val.
    """
    absent = {part: entry for part, entry in entries.items() if _is_absent(entry, finder)}
    others = _other_folders(entries, finder) if "val" in absent else ()
    if "train" not in entries or "train" in absent or any(part_of(folder.name) == "val" for folder in others):
        absent = {}
    found = {part: entry for part, entry in entries.items() if part not in absent}
    used, notices = used_parts(found, request, finder.source)
    for part, entry in absent.items() if "val" in absent else ():
        finder.diagnostics.add("missing_part", SourceLocation(str(finder.source), about=(part, "at", shown(entry))))
    tell_unread(others if "val" in absent else (), (), finder.diagnostics)
    needed = {part: entry for part, entry in absent.items() if part == "val" or request.with_test}
    missing = tuple(f"{finder.source}: there is no {part} part at {entry}" for part, entry in needed.items())
    return used, (*missing, *notices)


def _other_folders(entries: dict[str, Any], finder: EntryFinder) -> tuple[Path, ...]:
    """Returns the folders of images beside those of the parts; none if a part is not a folder."""
    quiet = finder.quiet()
    names = [name for entry in entries.values() for name in (entry if isinstance(entry, list) else [entry])]
    used = [place for name in names if isinstance(name, str) and (place := quiet.find(name)) is not None]
    if not all(place.is_dir() for place in used):
        return ()
    places = dict.fromkeys(each for base in finder.bases for each in (*subfolders(base), *subfolders(base / "images")))
    apart = [each for each in places if listed_images(each) and not any(is_inside(each, (place,)) for place in used)]
    return tuple(
        each for each in apart if not any(is_inside(place, (each,)) for place in (*used, *apart) if place != each)
    )


def _is_absent(entry: Any, finder: EntryFinder) -> bool:
    """Returns whether there are neither images nor labels of an entry."""
    quiet = finder.quiet()
    names = [name for name in (entry if isinstance(entry, list) else [entry]) if isinstance(name, str)]
    places = [place for name in names for place in (name, "labels".join(name.rsplit("images", 1)))]
    return bool(places) and all(quiet.find(place) is None for place in places)


def find_darknet(folder: Path) -> Path | None:
    """Returns the first `*.data` file of a folder that names a part."""
    paths = sorted(path for path in folder.glob(f"*{DATA_SUFFIX}") if is_file(path))
    paths = [path for path in paths if path.stat().st_size <= MAX_DATA_BYTES]
    quiet = Diagnostics(source=str(folder))
    return next((path for path in paths if part_entries(_assignments(path, quiet))), None)


def layout_from_darknet(path: Path, request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    """Reads a Darknet file such as `obj.data`, whose lines are `train = LIST`, `valid = LIST` and `names = FILE`.

    The labels are beside the images, or in `labels` instead of `images`.

    Raises:
        BrokenFile: no part is named, or a file does not exist.
    """
    content, folder = _assignments(path, diagnostics), path.parent
    entries = part_entries(content)
    if not entries:
        message = f"{path} has no line 'train = FILE'; give the list of the training images"
        raise BrokenFile(message, "wrong_layout", path)
    finder = EntryFinder(source=path, bases=[folder], images=request.images, diagnostics=diagnostics)
    used, notices = _existing_parts(entries, finder, request)
    parts = {part: finder.images_of(entry) for part, entry in used.items()}
    labels = folder / "labels"
    if request.images is not None and not labels.is_dir():
        labels = _only_labels(folder)
    file = finder.find(content["names"]) if content.get("names") else None
    given = read_names_file(file, diagnostics) if file and is_file(file) else None
    names = ClassNames(given, file) if given and file else names_in((folder,), diagnostics)
    count = content.get("classes", "")
    if names and count.isdecimal() and len(count) < 10 and int(count) != len(names.names):
        message = f"{path}: classes = {count}, but {names.file} has {len(names.names)} names; correct one of them"
        raise BrokenFile(message, "wrong_layout", path)
    return YoloLayout(
        parts=with_images(parts, str(path)),
        classes=names.names if names else None,
        images=request.images,
        labels=labels,
        notices=notices,
        taken=(*_shown_entries(used), *finder.taken, shown_names(names, folder)),
    )


def _only_labels(folder: Path) -> Path:
    """Returns the only subfolder with label files, to which images that lie elsewhere belong."""
    places = [place for place in subfolders(folder) if has_labels(place, with_images=False)]
    if len(places) != 1:
        message = f"{folder} has {len(places)} folders of labels for one folder of images; put the images beside them"
        raise BrokenFile(message, "wrong_layout", folder)
    return places[0]


def _assignments(path: Path, diagnostics: Diagnostics) -> dict[str, str]:
    lines = [line for _, line in numbered_lines(read_text(path, diagnostics) or "") if not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _shown_entries(used: dict[str, Any]) -> list[str]:
    return [f"{part} images of {entry}" for part, entry in used.items()]


def _kpt_shape(content: dict[Any, Any], path: Path) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(value) is int for value in shape)
    if not whole or not 0 <= shape[0] <= 10_000 or shape[1] not in (2, 3):
        message = f"{path}: kpt_shape must be [number of landmarks, 2 or 3], got {str(shape)[:60]}; correct it"
        raise BrokenFile(message, "wrong_layout", path)
    return shape[0], shape[1]
