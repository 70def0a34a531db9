"""COCO-style JSON annotation files: load them and find the line numbers of their entries."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search_space.errors import DataError, is_text
from trainers.data.annotation_list import AnnotationList, PlainTables
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.json_values import is_id
from trainers.data.unread_exports import about_unread

LISTS = ("images", "annotations", "categories")
_BLANK = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, kw_only=True)
class AnnotationJson:
    """A loaded annotation file in the COCO layout."""

    path: Path
    images: list[Any]
    annotations: AnnotationList
    categories: list[dict[str, Any]]
    lines: dict[str, list[int]] = field(default_factory=dict)
    """By list: the line on which each entry begins; empty if the file was loaded without lines."""

    def location(self, name: str, index: int, *about: object) -> SourceLocation:
        """Returns the location of entry `index` of the list `name`; `about` are the words that describe the entry."""
        return SourceLocation(str(self.path), self.lines[name][index] if self.lines else None, about)


def load_annotations(path: Path, *, with_lines: bool = False) -> AnnotationJson:
    """Loads an annotation file: a JSON object with the lists images, annotations and categories.

    Raises:
        DataError: the file cannot be read.
        BrokenFile: the file is not JSON or lacks a list.
    """
    tables = PlainTables()
    content, text = _load(path, tables)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            unread = about_unread(path)
            if unread is not None:
                raise BrokenFile(unread, "wrong_layout", path)
            message = f"{path} has no list {key!r}; a COCO file needs images, annotations and categories"
            raise BrokenFile(message, "wrong_layout", path)
    assert isinstance(content, dict)
    if not all(_is_category(entry) for entry in content["categories"]):
        raise BrokenFile(f"{path}: every category needs an id and a name; correct the file", "wrong_layout", path)
    twice = given_twice(text, LISTS)
    if twice is not None:
        raise BrokenFile(f"{path} has the list {twice!r} twice; merge them", "wrong_layout", path)
    return AnnotationJson(
        path=path,
        images=content["images"],
        annotations=AnnotationList(content["annotations"], tables),
        categories=content["categories"],
        lines=entry_lines(text) if with_lines else {},
    )


def _load(path: Path, tables: PlainTables) -> tuple[object, str]:
    try:
        raw = path.read_bytes()
        text = raw.decode(json.detect_encoding(raw))
        del raw
        return json.loads(text, object_hook=tables.stored), text
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        what = "nested too deeply" if isinstance(error, RecursionError) else _reason(error)
        message = f"{path} is not JSON ({what}); give a COCO annotation file"
        raise BrokenFile(message, "not_json", path, line) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not valid text"
    known = isinstance(error, json.JSONDecodeError)
    return str(error) if known else "it contains a number with thousands of digits"  # which Python refuses to parse


def _is_category(entry: object) -> bool:
    if not isinstance(entry, dict) or not is_id(entry.get("id")):
        return False
    name = entry.get("name")
    return is_text(name) if isinstance(name, str) else isinstance(name, (int, float))


def given_twice(text: str, names: Sequence[str]) -> str | None:
    """Returns the first of the names that the object of a JSON text has twice: `json` keeps only the last value."""
    if len(re.findall(rf'"(?:{"|".join(names)})"\s*:', text)) <= len(names):
        return None

    def keys(pairs: list[tuple[str, Any]]) -> list[str]:
        return [key for key, _ in pairs]

    outermost = json.loads(text, object_pairs_hook=keys)
    return next((name for name in names if outermost.count(name) > 1), None)


def entry_lines(text: str) -> dict[str, list[int]]:
    """Returns the lines on which entries begin, for each list in the top-level object of a JSON text."""
    decode = json.JSONDecoder().raw_decode
    starts: dict[str, list[int]] = {}
    position = _after(text, _after(text, 0) + 1)
    while text[position] == '"':
        key, position = decode(text, position)
        position = _after(text, _after(text, position) + 1)
        if text[position] != "[":
            position = decode(text, position)[1]
        else:
            starts[key] = found = []
            position = _after(text, position + 1)
            while text[position] != "]":
                found.append(position)
                position = _after(text, decode(text, position)[1])
                position = _after(text, position + 1) if text[position] == "," else position
            position += 1
        position = _after(text, position)
        position = _after(text, position + 1) if text[position] == "," else position
    breaks = np.array([match.start() for match in re.finditer("\n", text)], np.int64)
    return {key: (np.searchsorted(breaks, found) + 1).tolist() for key, found in starts.items()}


def _after(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    assert match is not None  # the pattern also matches the empty string
    return match.end()
