"""Find the annotation files of the training, validation and test split of a data set with JSON files."""

from __future__ import annotations

import mmap
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from search_space.errors import DataError, check_known
from trainers.data.images import is_file
from trainers.data.labelme_json import is_labelme
from trainers.data.part_folders import PART_NAMES, names_by_part, part_of

ANNOTATION_FOLDERS = ("", "annotations", "coco")
_PART_OF_WORD = {word: part for part, words in PART_NAMES.items() for word in words}
_PART_WORD = re.compile("|".join(sorted(_PART_OF_WORD, key=len, reverse=True)), re.IGNORECASE)
_COCO_KEYS = (b'"annotations"', b'"categories"')


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The annotation files of a training and a validation split."""

    name: str
    train: Path
    val: Path
    """The test file if there is no other."""
    test: Path | None = None


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """Returns the pairs of annotation files in a folder, sorted by name.

    The names of a pair differ in one word, which means train or val (see `PART_NAMES`), such as `instances_Train.json`
    and `instances_Validation.json`. If there are none, files in folders that mean train and val are paired if their
    names are equal or each folder has only one.
    """
    pairs = [pair for name in ANNOTATION_FOLDERS for pair in _pairs_of(_jsons(folder / name))]
    if not pairs:
        pairs = [pair for name in ANNOTATION_FOLDERS for pair in _pairs_of_folders(folder / name)]
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def pair_of(path: Path) -> Pair | None:
    """Returns the pair that an annotation file belongs to, or None if it has no partner."""
    places = (
        _pairs_of(_jsons(path.parent)),
        _pairs_of_folders(path.parent.parent) if part_of(path.parent.name) else (),
    )
    return next((pair for pairs in places for pair in pairs if path in (pair.train, pair.val)), None)


def choose_pair(pairs: tuple[Pair, ...], split: str | None) -> tuple[Pair, tuple[str, ...]]:
    """Returns the pair named `split` (default: the first in alphabetical order), and a notice if there are several.

    Raises:
        DataError: no pair has that name.
    """
    known = {pair.name: pair for pair in pairs}
    if split is not None:
        check_known("split", split, known, DataError)
        return known[split], _about_test(known[split])
    # Caption files have no boxes, so they are only opened on request.
    chosen = next((pair for pair in pairs if not pair.name.startswith("captions")), pairs[0])
    if len(pairs) == 1:
        return chosen, _about_test(chosen)
    return chosen, (
        f"found the splits {', '.join(known)}; using {chosen.name!r} (--split NAME selects another)",
        *_about_test(chosen),
    )


def _about_test(pair: Pair) -> tuple[str, ...]:
    if pair.val != pair.test:
        return ()
    return (f"{pair.train.name} has no val file: {_in_folder(pair.val)} is used for validation",)


def _in_folder(path: Path) -> str:
    """Returns the name of a file, with its folder if that tells the part."""
    return f"{path.parent.name}/{path.name}" if part_of(path.parent.name) else path.name


def jsons_in(folder: Path) -> list[Path]:
    """Returns the JSON files in the folders that are searched for annotations."""
    return sorted(path for name in ANNOTATION_FOLDERS for path in _jsons(folder / name))


def jsons_in_parts(folder: Path) -> list[Path]:
    """Returns the COCO files in subfolders that mean a part of the data set."""
    return [path for files in _files_by_part(folder).values() for path in files]


def _jsons(folder: Path) -> list[Path]:
    """Returns the JSON files of a folder, without those of labelme."""
    return sorted(path for path in folder.glob("*.json") if is_file(path) and not is_labelme(path))


def _pairs_of(files: Iterable[Path]) -> Iterator[Pair]:
    """Yields the pairs of files whose names differ in the word for their part."""
    groups: dict[tuple[str, str], dict[str, tuple[Path, str]]] = defaultdict(dict)
    for path in files:
        for word in _PART_WORD.finditer(path.stem):
            before, after = path.stem[: word.start()], path.stem[word.end() :]
            part = _PART_OF_WORD[word[0].lower()]
            groups[before.casefold(), after.casefold()].setdefault(part, (path, before + after))
    for found in groups.values():
        rest = found["train"][1].split("_") if "train" in found else ()
        pair = _pair("_".join(word for word in rest if word), {part: path for part, (path, _) in found.items()})
        if pair is not None:
            yield pair


def _pair(name: str, by_part: dict[str, Path]) -> Pair | None:
    train, test = by_part.get("train"), by_part.get("test")
    val = by_part.get("val", test)
    return None if train is None or val is None else Pair(name=name or "train", train=train, val=val, test=test)


def _pairs_of_folders(folder: Path) -> Iterator[Pair]:
    """Yields the pairs of files in subfolders for train and val."""
    parts = _files_by_part(folder)
    names = {part: {path.name: path for path in files} for part, files in parts.items()}
    pairs = [
        _pair(Path(name).stem.strip("_"), {part: known[name] for part, known in names.items() if name in known})
        for name in names.get("train", ())
    ]
    found = [pair for pair in pairs if pair is not None]
    if not found:
        only = _pair("", {part: files[0] for part, files in parts.items() if len(files) == 1})
        found = [only] if only is not None else []
    yield from found


def _files_by_part(folder: Path) -> dict[str, list[Path]]:
    """Returns by part the COCO files in the subfolder that means it."""
    inside = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    parts = {
        part: [path for path in _jsons(folder / names[0]) if _looks_like_coco(path)]
        for part, names in names_by_part(inside).items()
    }
    return {part: files for part, files in parts.items() if files}


def _looks_like_coco(path: Path) -> bool:
    """Returns whether a file has one of the lists of a COCO file, without loading it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(key) >= 0 for key in _COCO_KEYS)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False
