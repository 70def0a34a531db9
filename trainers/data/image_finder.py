"""Find the image files that an annotation file in JSON names."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from trainers.data.defects import BrokenFile
from trainers.data.file_names import NameTable, as_on_disk, common_end
from trainers.data.images import is_file
from trainers.data.json_pairs import ANNOTATION_FOLDERS
from trainers.data.part_folders import part_of
from trainers.data.source import leaves_folder

_NUM_SAMPLED = 200
_LOCAL_FILES = "?d="
"""Label Studio names files of its server as `/data/local-files/?d=PATH`."""
_ADDRESS = ":/"
"""In the address of a file in the web or in a bucket; a query behind `?` is not part of its name."""


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """The image files of an annotation file, by the name there."""

    root: Path
    """The folder that the names are relative to."""
    paths: dict[str, Path]
    by_name: frozenset[str] = frozenset()
    """The names that were found without their folders, or in another folder."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a name was not found, if there is more to say than that."""


def find_images(path: Path, names: Sequence[str], images: Path | None, num_parents: int) -> FoundImages:
    """Finds images: relative to the folder that holds most of them, or else by their name without its folders.

    A file that is found without the folders must be the only one of its name, or the only one with the longest common
    end of the path, and no other image may have the same file. Folders of another part of the data set are not
    searched, and nothing outside the folders of the data set is.

    Args:
        path: the annotation file.
        names: distinct names with slashes, which may be absolute or lead out of the data set.
        images: folder of the images, if the user gave it.
        num_parents: how many folders above the annotation file belong to the data set.

    Raises:
        BrokenFile: none of the images was found, and at least one name is relative to the data set.
    """
    inner = [name for name in names if not leaves_folder(name)]
    roots = _roots(path, images, num_parents)
    sample = [inner[index] for index in np.linspace(0, len(inner) - 1, min(len(inner), _NUM_SAMPLED)).astype(int)]
    counts = [sum(is_file(as_on_disk(root / name)) for name in sample) for root in roots]
    root = roots[counts.index(max(counts))]
    places = {name: as_on_disk(root / name) for name in inner} if max(counts) else {}
    direct = {name: place for name, place in places.items() if is_file(place)}
    missing = [name for name in names if name not in direct]
    if not missing:
        return FoundImages(root=root, paths=direct)
    part = part_of(path.stem) or part_of(path.parent.name)
    others, reasons = _match(missing, _files_by_name(_places(roots, root if direct else images, path), part), direct)
    if not direct and not others and inner:
        looked = ", ".join(dict.fromkeys(os.path.normpath(root) for root in roots))
        message = f"{path}: none of its images was found, for example {inner[0]!r}; searched {looked}"
        raise BrokenFile(f"{message}; give the folder with --images DIR", "missing_image", path)
    return FoundImages(root=root, paths={**direct, **others}, by_name=frozenset(others), reasons=reasons)


def _roots(path: Path, images: Path | None, num_parents: int) -> list[Path]:
    """Returns the folders that the names may be relative to, the most likely first.

    The words behind the first underscore in the name of the annotation file may be a folder of `images`.
    """
    words = path.stem.split("_")
    subsets = ["_".join(words[index:]) for index in range(1, len(words))]
    subsets += [word for word in words if part_of(word) is not None and word not in subsets]
    below_annotations = part_of(path.parent.name) is not None and path.parent.parent.name in ANNOTATION_FOLDERS
    bases = list(path.parents)[: num_parents + below_annotations] if images is None else [images]
    roots = []
    for base in bases:
        homes = [base / "images", base] if images is None else [base]
        roots += [*homes, *(home / subset for home in homes for subset in subsets)]
        roots += [folder for home in homes for folder in _same_part(home, subsets)]
    return list(dict.fromkeys(roots))


def _same_part(home: Path, subsets: Sequence[str]) -> Iterator[Path]:
    """Yields the subfolders whose names mean the same as a subset: the same part, or the same name in another case."""
    parts = {part_of(subset) for subset in subsets} - {None}
    names = {subset.casefold() for subset in subsets}
    if not home.is_dir() or not subsets:
        return
    for entry in sorted(os.scandir(home), key=lambda entry: entry.name):
        if (entry.name.casefold() in names or part_of(entry.name) in parts) and entry.is_dir():
            yield Path(entry.path)


def _places(roots: Iterable[Path], chosen: Path | None, path: Path) -> list[tuple[Path, bool]]:
    """Returns the folders to search, and whether with their subfolders."""
    if chosen is not None:
        return [(chosen, True)]
    return [(root, root not in path.parents) for root in roots if root.is_dir()]


def _files_by_name(places: Iterable[tuple[Path, bool]], part: str | None) -> NameTable[list[Path]]:
    """Returns the files in folders by name, without those in subfolders of another part of the data set."""
    found: dict[str, dict[Path, None]] = defaultdict(dict)
    for place, with_subfolders in places:
        for folder, inside, files in os.walk(place):
            inside[:] = sorted(name for name in inside if with_subfolders and _may_hold(name, part))
            for name in files:
                found[name][Path(folder, name)] = None
    return NameTable((name, list(paths)) for name, paths in found.items())


def _may_hold(folder: str, part: str | None) -> bool:
    return not folder.startswith(".") and (part is None or part_of(folder) in (None, part))


def _match(
    names: Iterable[str], files: NameTable[list[Path]], taken: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Returns the file of each name that has one, and why others have none."""
    found: dict[str, Path] = {}
    reasons: dict[str, str] = {}
    any_case: dict[str, list[str]] = defaultdict(list)
    for file in files.names():
        any_case[file.casefold()].append(file)
    for name in names:
        local = name.rpartition(_LOCAL_FILES)[2]
        stated = PurePosixPath(local.partition("?")[0] if _ADDRESS in local else local)
        last = stated.name
        candidates = files.get(last) or files.get(unquote(last)) or []
        if not candidates:
            candidates = [path for file in any_case.get(last.strip().casefold(), ()) for path in files.get(file) or ()]
        ends = [common_end(stated, candidate) for candidate in candidates]
        longest = max(ends, default=0)
        best = [candidate for candidate, end in zip(candidates, ends, strict=True) if end == longest]
        if len(best) == 1:
            found[name] = best[0]
        elif best:
            reasons[name] = f"{len(best)} files are named {last}, such as {best[0]} and {best[1]}"
    claims = Counter([*found.values(), *taken.values()])
    for name, path in list(found.items()):
        if claims[path] > 1:
            del found[name]
            reasons[name] = f"{claims[path]} images could be {path}"
    return found, reasons
