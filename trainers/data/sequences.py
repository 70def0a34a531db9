"""Find the sequences of video data sets, and divide them into a training and a validation part."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable
from pathlib import Path

from trainers.data.dataset import Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.file_names import as_on_disk
from trainers.data.part_folders import part_of
from trainers.data.sequence_reader import Sequence, SequenceFormat, SequenceReader, frames_in
from trainers.data.source import (
    TEST,
    ReadRequest,
    ReadResult,
    is_inside,
    last_fifth,
    leaves_folder,
    read_names,
    read_names_file,
    subfolders,
)

MAX_LISTED = 4
"""More sequences are listed by the first and the last name."""
_Frames = tuple[str, list[Record]]
"""The name of a sequence and its frames."""


def find_sequences(request: ReadRequest, style: SequenceFormat) -> ReadResult | None:
    """Opens a folder of sequences; None if there are none.

    A set without a split is divided by whole sequences: neighbouring frames are near copies.

    Raises:
        BrokenFile: two sequences list different classes.
    """
    parts = _parts(request, style) if request.path.is_dir() else {}
    if not parts:
        return None
    request.refuse_split()
    diagnostics = request.diagnostics(str(request.path))
    every = tuple(each for sequences in parts.values() for each in sequences)
    parts, notices = _used_parts(_without_copies(parts, style, diagnostics), request)
    names = _class_names(request.path, every, style, diagnostics)
    reader = SequenceReader(style=style, classes=names or style.classes, given=names is not None, counts=diagnostics)
    read = {part: [(each.name, reader.read(each)) for each in sequences] for part, sequences in parts.items()}
    if request.images is None:
        _note_unlabelled(request.path, every, diagnostics)
    undivided = ""
    if set(read) == {"all"}:
        read, notices, undivided = _divide(read["all"], str(request.path))
    datasets = {
        part: Dataset([record for _, records in found for record in records], reader.classes)
        for part, found in read.items()
    }
    return ReadResult(
        format=style.name,
        datasets=datasets,
        source=str(request.path),
        notices=(*notices, *diagnostics.notices()),
        undivided_notice=undivided,
    )


def first_folder(folders: Iterable[Path]) -> Path | None:
    """Returns the first of the folders that exists."""
    return next((folder for folder in map(as_on_disk, folders) if os.path.isdir(folder)), None)


def is_safe_name(name: str) -> bool:
    """Returns whether a name from a file stays in the folder that it is relative to."""
    return bool(name) and "\0" not in name and not leaves_folder(name.replace("\\", "/"))


def _parts(request: ReadRequest, style: SequenceFormat) -> dict[str, tuple[Sequence, ...]]:
    """Returns the sequences by part, or all as `all`; empty if there are none."""
    folders = subfolders(request.path)
    in_folders = {folder: style.find(folder, request.images) for folder in folders}
    parts: dict[str, tuple[Sequence, ...]] = {}
    for folder, found in in_folders.items():
        part = part_of(folder.name)
        if part is not None and found:
            parts[part] = (*parts.get(part, ()), *found)
    if "train" in parts and len(parts) > 1:
        return parts
    directly = style.find(request.path, request.images)
    every = {each.text: each for found in (*in_folders.values(), directly) for each in found}
    sequences = tuple(sorted(every.values(), key=lambda each: (each.name, str(each.text))))
    stated = style.published_parts(request.path)
    parts = {part: tuple(each for each in sequences if each.name in names) for part, names in stated.items()}
    if parts.get("train") and any(parts.get(part) for part in ("val", "test")):
        return {part: found for part, found in parts.items() if found}
    return {"all": sequences} if sequences else {}


def _used_parts(
    parts: dict[str, tuple[Sequence, ...]], request: ReadRequest
) -> tuple[dict[str, tuple[Sequence, ...]], tuple[str, ...]]:
    """Returns the parts that are used, or `all`, and a notice if the test part is used as `val`."""
    found = {part: parts[part] for part in ("train", "val", TEST) if part in parts}
    if {"train", "val"} <= found.keys():
        return request.wanted(found), ()
    if {"train", TEST} == found.keys():
        notice = f"{request.path} has no val part: its test part is used for validation"
        return {"train": found["train"], "val": found[TEST]}, (notice,)
    return {"all": next(iter((found or parts).values()))}, ()


def _without_copies(
    parts: dict[str, tuple[Sequence, ...]], style: SequenceFormat, diagnostics: Diagnostics
) -> dict[str, tuple[Sequence, ...]]:
    """Returns one of the sequences with the same frames, the first by name; the others are counted."""
    kept: dict[str, Sequence] = {}
    copies = []
    for each in sorted((each for found in parts.values() for each in found), key=lambda each: each.name):
        first = kept.setdefault(style.same_frames(each.name), each)
        if first is not each and (first.name != each.name or first.frames == each.frames):
            copies.append(each)
            location = SourceLocation(str(each.text), about=(each.name,))
            same = _same_text(each.text, first.text)
            what = f"it has the frames of {first.name}, but other labels; keep one of them"
            diagnostics.add("sequence_copy" if same else "duplicate_image", location, "" if same else what)
    left = {part: tuple(each for each in found if each not in copies) for part, found in parts.items()}
    return {part: found for part, found in left.items() if found}


def _same_text(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _class_names(
    folder: Path, sequences: tuple[Sequence, ...], style: SequenceFormat, diagnostics: Diagnostics
) -> tuple[str, ...] | None:
    """Returns the class names that files of the data set list, or None.

    Raises:
        BrokenFile: two files list different names, or a name is given twice.
    """
    found: dict[tuple[str, ...], Path] = {}
    if style.class_file is not None:
        for path in dict.fromkeys(each.text.with_name(style.class_file) for each in sequences):
            names = read_names_file(path, diagnostics) if path.is_file() else None
            if names is not None:
                found.setdefault(names, path)
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise BrokenFile(f"{one} and {other} list different classes; use the same in both", "classes_differ", other)
    if found:
        return next(iter(found))
    homes = dict.fromkeys(each.text.parent for each in sequences)
    return read_names((folder, *homes, *dict.fromkeys(home.parent for home in homes)), diagnostics)


def _divide(read: list[_Frames], source: str) -> tuple[dict[str, list[_Frames]], tuple[str, ...], str]:
    """Returns whole sequences as `train` and `val`, with a notice; or a single one as `all`, with its notice."""
    used = tuple((name, records) for name, records in read if records)
    if len(used) < 2:
        name = "".join(name for name, _ in used).replace("{", "{{").replace("}", "}}")
        undivided = (
            f"{{source}} has a single sequence, {name}: its last {{num_val}} of {{num_images}} frames are the val "
            "split and resemble the others, so scores are too high; add a second sequence"
        )
        return {"all": read}, (), undivided
    train, val = last_fifth(used)
    names = [name for name, _ in val]
    which = ", ".join(names) if len(names) <= MAX_LISTED else f"the last by name, {names[0]} to {names[-1]}"
    verb = "is" if len(val) == 1 else "are"
    notice = f"{source} has no train and val split: {len(val)} of {len(used)} sequences {verb} the val split: {which}"
    return {"train": list(train), "val": list(val)}, (notice,), ""


def _note_unlabelled(root: Path, sequences: tuple[Sequence, ...], diagnostics: Diagnostics) -> None:
    """Notes the folders of frames beside those of the sequences that no text belongs to."""
    known = {each.frames for each in sequences}
    places: dict[tuple[Path, str], None] = {}
    for each in sequences:
        if each.frames is not None:
            own = each.frames.name == each.name
            places[each.frames.parent if own else each.frames.parent.parent, "" if own else each.frames.name] = None
    for base, inner in places:
        for folder in subfolders(base) if is_inside(base, (root,)) else ():
            place = folder / inner
            if place not in known and frames_in(place):
                diagnostics.add("sequence_without_labels", SourceLocation(str(place), about=(folder.name,)))
