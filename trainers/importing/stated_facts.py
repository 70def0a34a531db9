"""Class names and other facts that a foreign checkpoint states, as plain texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

MAX_CLASSES = 10_000
MAX_CLASS_CHARS = 300
MAX_FACT_CHARS = 100_000
MAX_DEPTH = 12
FACTS = ("version", "date", "license", "mmdet_version", "mmcv_version", "time", "task", "imgsz", "stride", "epoch")
"""Of the checkpoint and its `meta`."""
MODEL_FACTS = ("nc", "stride", "yaml")
CLASS_ENTRIES = ("names", "CLASSES", "classes")
_ITEM = re.compile(r"""\s*(?:(\d{1,6})\s*:\s*)?(?:'((?:[^'\\]|\\['"\\])*)'|"((?:[^"\\]|\\['"\\])*)")\s*(?:,\s*|$)""")
_ESCAPE = re.compile(r"""\\(['"\\])""")


def class_names(stated: object) -> tuple[str, ...] | None:
    """Returns class names in order of index from a list of texts or a mapping of indices, or None where it is neither.

    The indices must be 0 to the number of classes less one.
    """
    if isinstance(stated, dict):
        indices = all(type(key) is int for key in stated)
        if not indices or sorted(stated) != list(range(len(stated))):
            return None
        stated = [stated[index] for index in range(len(stated))]
    if not isinstance(stated, list | tuple) or not 0 < len(stated) <= MAX_CLASSES:
        return None
    usable = all(isinstance(name, str) and name.isprintable() and 0 < len(name) <= MAX_CLASS_CHARS for name in stated)
    return tuple(stated) if usable else None


def literal_class_names(text: str) -> tuple[str, ...] | None:
    """Returns class names from the text of a Python dict or list, such as `{0: 'ant', 1: 'bee'}`, or None.

    Only this form is read: nothing is evaluated, and nested text cannot exhaust a parser.
    """
    text = text.strip()
    if len(text) > MAX_FACT_CHARS or (text[:1], text[-1:]) not in (("{", "}"), ("[", "]")):
        return None
    body, place = text[1:-1], 0
    found: list[tuple[int, str]] = []
    while place < len(body):
        item = _ITEM.match(body, place)
        if item is None or (item[1] is None) is (text[0] == "{"):
            return None
        found.append((int(item[1] or len(found)), _ESCAPE.sub(r"\1", item[2] or item[3] or "")))
        place = item.end()
    names = dict(found)
    return class_names(names) if len(names) == len(found) else None


def classes_of(places: Iterable[object]) -> tuple[str, ...] | None:
    """Returns the class names of the first place that states some: the attributes of a model, or a dictionary."""
    for place in places:
        if isinstance(place, dict):
            for names in map(class_names, map(place.get, CLASS_ENTRIES)):
                if names is not None:
                    return names
    return None


def facts_of(places: Iterable[tuple[object, Iterable[str]]]) -> dict[str, str]:
    """Returns facts as texts: of each dictionary those of the names beside it, where they are plain values."""
    found: dict[str, str] = {}
    for place, names in places:
        texts = {name: as_text(place.get(name)) for name in names} if isinstance(place, dict) else {}
        found.update({name: text for name, text in texts.items() if text and name not in found})
    return found


def as_text(value: object) -> str:
    """Returns a plain value as a text, nested data as JSON, and an empty text for anything else.

    Characters that are not printable become spaces, but for line breaks. The text ends after 100,000 characters.
    """
    plain = _Plain().part(value, 0)
    if plain is None:
        return ""
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text[:MAX_FACT_CHARS]).strip()


class _Plain:
    """Copies the plain part of a value, up to a total of characters and values."""

    def __init__(self) -> None:
        self.left = MAX_FACT_CHARS

    def part(self, value: object, depth: int) -> Any:
        """Returns the plain part, and None for what is not plain or is too much."""
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            return None
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [self.part(each, depth + 1) for each in value[: self.left]]
        if isinstance(value, dict):
            entries = islice(value.items(), self.left)
            return {self.text(key): self.part(each, depth + 1) for key, each in entries if isinstance(key, str | int)}
        return None

    def text(self, value: str | int) -> str:
        """Returns a text, or a number as one, cut where the rest is too much."""
        text = str(value)[: max(self.left, 0)]
        self.left -= len(text)
        return text
