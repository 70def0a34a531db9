"""Errors a user can cause. The command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can put right: the message says what, what was got, what is allowed and what to do next."""


class SpaceError(UserError):
    """An architecture, axis, design or block that cannot exist."""


class DataError(UserError):
    """A data set or image that cannot be used."""


class BudgetError(UserError):
    """A budget that is not a budget, or that nothing can meet."""


class ConfigError(UserError):
    """A setting of a run that is wrong or contradicts the run it is used on."""


class PluginError(UserError):
    """A user's file of blocks that cannot be used."""


class WriteError(UserError):
    """A file that cannot be written, because the disk is full or for another reason of the system."""


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raises SpaceError, naming the near ones and all that are known, where `name` is none of them."""
    known = tuple(known)
    if name not in known:
        raise SpaceError(f"unknown {what} {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def is_text(text: str) -> bool:
    """Tells whether a text can be written: JSON and YAML can spell halves of characters, which end other libraries."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns a hint such as ``; did you mean 'concat'``, or an empty string when nothing known is near."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}" if matches else ""
