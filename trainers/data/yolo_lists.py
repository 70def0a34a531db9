"""Find the images that a data YAML, an `obj.data` file or a list of images names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from search_space.errors import shown
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.file_names import as_on_disk
from trainers.data.image_files import images_among
from trainers.data.images import is_file
from trainers.data.part_folders import part_of
from trainers.data.source import is_inside, listed_images, numbered_lines, posix_name, read_text

MAX_PROBED = 50
"""So many names of a list are looked for to find out from where its paths count."""


@dataclass(frozen=True, kw_only=True)
class EntryFinder:
    """Finds the images of the entries of one file, such as `train` and `val` of a data YAML."""

    source: Path
    bases: list[Path]
    images: Path | None
    diagnostics: Diagnostics
    taken: list[str] = field(default_factory=list)
    """Paths that were found under another name, in a few words each."""
    without_base: str = ""
    """That the folder which the file states as its own does not exist, in a few words; empty if it does."""

    def quiet(self) -> EntryFinder:
        """Returns a finder of the same images that counts and states nothing."""
        return replace(self, diagnostics=Diagnostics(source=str(self.source)), taken=[])

    def images_of(self, entry: Any) -> tuple[Path, ...]:
        """Returns the images of an entry: folders, image files, or lists of image files.

        Raises:
            BrokenFile: the entry is no name and no list of names, or nothing is there.
        """
        found: dict[Path, None] = {}
        for item in entry if isinstance(entry, list) else [entry]:
            if not isinstance(item, str):
                message = f"{self.source}: train and val must be folders or files, got {shown(item)}; correct it"
                raise BrokenFile(message, "wrong_layout", self.source)
            found_at = self.find(item)
            if found_at is None:
                message = f"{self.source}: {item!r} does not exist in {self.bases[0]}; correct path, train or val"
                if self.without_base:
                    looked = f"nor is {item!r} in {self.bases[0]}"
                    message = f"{self.source}: {self.without_base}, {looked}; next: correct path, or remove it"
                raise BrokenFile(message, "missing_image", self.source)
            for image in listed_images(found_at) if found_at.is_dir() else self._from_list(found_at):
                if image in found:
                    location = SourceLocation(str(self.source))
                    self.diagnostics.add("duplicate_image", location, f"{image} is in two entries of train or val")
                found[image] = None
        return tuple(found)

    def find(self, name: str) -> Path | None:
        """Returns the file or folder of a name; without one, that of the longest end of the name that exists.

        A folder that means a part is never left out: `old/train/images` is not found at `images`.
        """
        whole = posix_name(name, SourceLocation(str(self.source)), self.diagnostics)
        self._check_above(whole)
        for left_out, rest in shortened(whole, keep_parts=True):
            for path in map(as_on_disk, self._candidates(rest)):
                if os.path.isdir(path) or is_file(path):
                    if left_out:
                        self.taken.append(f"{name} found at {rest}")
                    return path
        return None

    def _check_above(self, name: str) -> None:
        """Raises BrokenFile if a name with leading `..` exists there and also without them, as Roboflow means it."""
        inner = name
        while inner.startswith("../"):
            inner = inner.removeprefix("../")
        if inner == name or self.images is not None:
            return
        for base in self.bases:
            both = [os.path.realpath(base / each) for each in (name, inner) if os.path.exists(base / each)]
            if len(set(both)) == 2:
                message = f"{self.source}: {name!r} can be {both[0]} or {both[1]}; write {inner!r}, or the whole path"
                raise BrokenFile(message, "wrong_layout", self.source)

    def _candidates(self, name: str) -> list[Path]:
        if self.images is None:
            return [base / name for base in self.bases]
        parts = Path(name).parts
        below = Path(*parts[parts.index("images") + 1 :]) if "images" in parts else Path(name)
        lists = [base / name for base in self.bases if (base / name).is_file()]
        return [*lists, self.images / below]

    def _from_list(self, path: Path) -> list[Path]:
        if images_among([path]):
            return [path]
        lines = numbered_lines(read_text(path, self.diagnostics) or "")
        left_out = self._left_out(path, [line.replace("\\", "/") for _, line in lines])
        found: dict[Path, None] = {}
        for number, line in lines:
            location = SourceLocation(str(path), number)
            image = self._listed(path, line, left_out, location)
            if image in found:
                self.diagnostics.add("duplicate_image", location, f"{line!r} is listed already")
            elif image is not None:
                found[image] = None
        return list(found)

    def _left_out(self, path: Path, names: list[str]) -> int:
        """Returns how many leading folders the paths of a list have that are not there: the same for all of them."""
        names = names[:: max(1, len(names) // MAX_PROBED)]
        deepest = max((len(PurePosixPath(name).parts) for name in names), default=0)
        for count in range(deepest):
            for name in names:
                rest = dict(shortened(name, keep_parts=self.images is None)).get(count)
                if rest is not None and any(map(is_file, map(as_on_disk, self._inside(path, rest)))):
                    if count:
                        self.taken.append(f"paths in {path.name} read without {name[: -len(rest)]}")
                    return count
        return 0

    def _inside(self, path: Path, name: str) -> list[Path]:
        """Returns the places inside the data set that a path in a list can mean."""
        roots = [*([self.images] if self.images else []), path.parent, *self.bases]
        candidates = [*(self._candidates(name) if self.images else []), *(root / name for root in roots)]
        return [Path(os.path.normpath(image)) for image in candidates if is_inside(image, roots)]

    def _listed(self, path: Path, line: str, left_out: int, location: SourceLocation) -> Path | None:
        name = posix_name(line, location, self.diagnostics)
        inside = self._inside(path, dict(shortened(name, keep_parts=self.images is None)).get(left_out, name))
        if not inside:
            self.diagnostics.refuse(
                "path_outside", location, f"{line!r} lies outside the data set; use a path inside it"
            )
            return None
        image = next((image for image in map(as_on_disk, inside) if is_file(image)), None)
        if image is None:
            self.diagnostics.add("missing_image", location, f"there is no {inside[0]}")
        return image


def shortened(name: str, *, keep_parts: bool) -> list[tuple[int, str]]:
    """Returns a path, and the path without its first folders, as far as none of those means a part if `keep_parts`.

    The first item of each pair is the number of folders that are left out.
    """
    parts = PurePosixPath(name).parts
    ends = [(0, name)]
    for count in range(1, len(parts)):
        if keep_parts and part_of(parts[count - 1]) is not None:
            break
        ends.append((count, str(PurePosixPath(*parts[count:]))))
    return ends
