"""Class names that mean an ignored region, in every format."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainers.data.dataset import EVERY_CLASS

_ADJECTIVES = ("ignore", "ignored", "dontcare", "donotcare")
_NOUNS = ("", "region", "regions", "area", "areas")
IGNORED_NAMES = frozenset(adjective + noun for adjective in _ADJECTIVES for noun in _NOUNS)
"""In lower case and without spaces, punctuation and underscores: ignore, ignored regions, ignored-regions, DontCare."""
_NOT_LETTERS = re.compile(r"[\W_]+")


def is_ignored_name(name: str) -> bool:
    """Returns whether objects of this name are ignored regions of every class."""
    return _NOT_LETTERS.sub("", name).casefold() in IGNORED_NAMES


def without_ignored(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Returns the names that are classes, and for each of `names` its index in them or `EVERY_CLASS`."""
    classes: list[str] = []
    labels: list[int] = []
    for name in names:
        ignored = is_ignored_name(name)
        labels.append(EVERY_CLASS if ignored else len(classes))
        classes.extend(() if ignored else (name,))
    return tuple(classes), tuple(labels)
