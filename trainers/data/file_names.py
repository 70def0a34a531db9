"""Compare file names: the exact name first, then its Unicode form, and the ends of paths."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Generic, TypeVar

Item = TypeVar("Item")


def normalized(name: str) -> str:
    """Returns a name in the Unicode form NFC. Names from macOS are often in NFD, which looks the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class NameTable(Generic[Item]):
    """Finds items by name: the exact name first, then the only name that differs in its Unicode form alone.

    Args:
        items: names with items; of equal names, the first item counts.
    """

    def __init__(self, items: Iterable[tuple[str, Item]]) -> None:
        self._exact: dict[str, Item] = {}
        for name, item in items:
            self._exact.setdefault(name, item)
        self._other: dict[str, list[str]] = {}
        for name in self._exact:
            self._other.setdefault(normalized(name), []).append(name)

    def __len__(self) -> int:
        return len(self._exact)

    def get(self, name: str) -> Item | None:
        """Returns the item of a name, or None if there is none, or no exact one and several others."""
        if name in self._exact:
            return self._exact[name]
        found = self._other.get(normalized(name), [])
        return self._exact[found[0]] if len(found) == 1 else None

    def names(self) -> list[str]:
        """Returns the names in their order."""
        return list(self._exact)


def as_on_disk(path: Path) -> Path:
    """Returns the path of an existing file or folder whose name differs from `path` in its Unicode form alone.

    The path is returned as it is if it exists, or if there is no such file, or several.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    folder = as_on_disk(path.parent) if path.parent != path else path
    if not os.path.isdir(folder):
        return path
    name = _names_in(str(folder), os.stat(folder).st_mtime_ns).get(path.name)
    return path if name is None else folder / name


@lru_cache(maxsize=64)
def _names_in(folder: str, changed_ns: int) -> NameTable[str]:
    """Returns the names in a folder; `changed_ns` tells that it has changed."""
    return NameTable((name, name) for name in os.listdir(folder))


def common_end(one: PurePath, other: PurePath) -> int:
    """Returns how many components two paths have in common, counted from the end."""
    count = 0
    for mine, yours in zip(reversed(one.parts), reversed(other.parts), strict=False):
        if normalized(mine) != normalized(yours):
            break
        count += 1
    return count


def distinct_ends(paths: Iterable[PurePath]) -> list[str]:
    """Returns the ends of paths that tell them apart: the file names if they differ, otherwise with their folders."""
    listed = list(paths)
    longest = max((len(path.parts) for path in listed), default=0)
    ends = [path.name for path in listed]
    for count in range(1, longest + 1):
        ends = [str(type(path)(*path.parts[-count:])) for path in listed]
        if len(set(ends)) == len(set(listed)):
            break
    return ends
