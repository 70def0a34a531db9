"""Errors that a user can cause. The command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN_CHARS = 60
SHOWN_NAMES = 4
"""How many names of a long list a message has."""


class UserError(ValueError):
    """An error that the user can correct: the message says what is wrong, the value, what is allowed, the next step."""


class SpaceError(UserError):
    """An invalid architecture, axis, design or block."""


class DataError(UserError):
    """A data set or image that cannot be used."""


class BudgetError(UserError):
    """An invalid budget, or one that no architecture meets."""


class ConfigError(UserError):
    """A setting that is invalid, or that differs from the run it is used with."""


class PluginError(UserError):
    """A plug-in file that cannot be loaded."""


class WriteError(UserError):
    """A file that cannot be written, because the disk is full or the system refuses it."""


def check_known(what: str, name: object, known: Iterable[str], error: type[UserError] = SpaceError) -> None:
    """Raises `error` where `name` is not in `known`, with the message of `unknown_name`."""
    known = tuple(known)
    if name not in known:
        raise error(unknown_name(what, name, known))


def unknown_name(what: str, name: object, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """Returns the message ``unknown WHAT 'NAME'; did you mean 'NEAR'; known: ...``.

    Args:
        what: What has the name, such as `strategy`.
        name: The name that is unknown.
        known: The names that the message lists.
        also: Names that are valid too: they may be suggested, but are not listed.
    """
    known = tuple(known)
    return f"unknown {what} {shown(name)}{nearest(str(name), (*known, *also))}; known: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns a hint such as ``; did you mean 'concat'``, or an empty string where no known name is similar.

    Upper and lower case are the same.
    """
    by_lower = {each.lower(): each for each in known}
    matches = difflib.get_close_matches(name[:SHOWN_CHARS].lower(), by_lower, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(by_lower[match]) for match in matches)}" if matches else ""


def shown(value: object) -> str:
    """Returns a value for an error message: a container by its type, anything else shortened to 60 characters."""
    containers: dict[type, str] = {dict: "a mapping", list: "a list", type(None): "nothing"}
    if type(value) in containers:
        return containers[type(value)]
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def shortened(names: Sequence[str]) -> str:
    """Returns names for a message, such as ``car, bus, van, dog and 76 more``: the first four, and how many follow."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, `1 box` or `2 boxes`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def is_text(text: str) -> bool:
    """Tells whether a text can be encoded as UTF-8; JSON and YAML can contain lone surrogates, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
