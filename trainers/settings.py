"""Settings that come from a file or a command line: known names, and values of the type that a dataclass declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints

from search_space.errors import ConfigError, nearest

WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a word", NoneType: "empty"}
SHOWN_CHARS = 60


class SettingError(ConfigError):
    """A setting with a value that it must not have.

    Args:
        message: begins with the name of the setting.
        setting: that name, so that a command can put its own in the place of it.
    """

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


def checked(values: Mapping[str, Any], owner: type[Any], within: str = "") -> dict[str, Any]:
    """Returns the values as the fields of the dataclass `owner` are declared: nested dataclasses built, floats floats.

    Args:
        within: name of the setting that they belong to, with a dot behind it.

    Raises:
        SettingError: a value is of another type, or a number is not finite.
        ConfigError: a name is unknown; the nearest one is named.
    """
    known = [entry.name for entry in fields(owner)]
    for name in values:
        if name not in known:
            hint = nearest(str(name), known)
            raise ConfigError(f"unknown training setting {name!r}{hint}; known: {', '.join(known)}")
    types = get_type_hints(owner)
    return {name: _typed(within + name, value, types[name]) for name, value in values.items()}


def _typed(name: str, value: Any, declared: Any) -> Any:
    """Returns a value as one of the declared types; a whole number may stand for a float, true and false for none."""
    allowed = get_args(declared) or (declared,)
    if type(value) in allowed and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    if float in allowed and type(value) is int and abs(value) < 2**53:
        return float(value)
    nested: Any = next((kind for kind in allowed if is_dataclass(kind)), None)
    if nested is not None and isinstance(value, Mapping):
        return nested(**checked(value, nested, f"{name}."))
    words = " or ".join(_words(name, kind) for kind in allowed)
    raise SettingError(f"{name} is {_shown(value)}; it must be {words}", name)


def _words(name: str, kind: Any) -> str:
    return f"a group of settings, such as {name}.{fields(kind)[0].name}" if is_dataclass(kind) else WORDS[kind]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
