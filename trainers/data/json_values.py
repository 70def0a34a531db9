"""Ids, numbers and flags of JSON files, which some programs write as text."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,300})(?:\.0*)?\s*", re.ASCII)
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_SHOWN_CHARACTERS = 40


class IdTable(Generic[Item]):
    """Items by id. A text and a number are the same id if they are the same whole number and no other id is."""

    def __init__(self) -> None:
        self._items: dict[Any, Item] = {}
        self._by_number: dict[int, list[Any]] | None = None

    def add(self, key: str | float, item: Item) -> bool:
        """Adds an item; returns False, and adds nothing, if the very same id is there already."""
        if key in self._items:
            return False
        self._items[key] = item
        self._by_number = None
        return True

    def find(self, key: object) -> Any:
        """Returns the id in the table that `key` means, or None."""
        if not is_id(key):
            return None
        return key if key in self._items else self._by_whole_number(key)

    def _by_whole_number(self, key: object) -> Any:
        if self._by_number is None:
            self._by_number = defaultdict(list)
            for known in self._items:
                number = _whole_number(known)
                if number is not None:
                    self._by_number[number].append(known)
        number = _whole_number(key)
        found = [] if number is None else self._by_number.get(number, [])
        return found[0] if len(found) == 1 else None

    def __getitem__(self, key: Any) -> Item:
        return self._items[key]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())


def _whole_number(value: object) -> int | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    match = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else value if isinstance(value, int) else None


def is_id(value: object) -> bool:
    """Returns whether a value can be an id: a number or a text."""
    return isinstance(value, (int, str, float)) and not isinstance(value, bool)


def number(value: object) -> float:
    """Returns a number that may be written as text.

    Raises:
        ValueError: the value is no number.
        OverflowError: it is too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{shown_value(value)} is not a number")
    return float(value)


def flag(value: object) -> bool:
    """Returns a flag that may be written as text; null means that it is not set.

    Raises:
        ValueError: the value is not 0, 1, true, false or one of these as text.
    """
    if value is None:
        return False
    if isinstance(value, str):
        known = _FLAGS.get(value.strip().lower())
        if known is not None:
            return known
    elif isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise ValueError(f"a flag must be 0 or 1, got {shown_value(value)}")


def shown_value(value: object) -> str:
    """Returns a value as it is in the file, with quotes around a text, cut to a short length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
