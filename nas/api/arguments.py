"""Options of an API function from the arguments of its call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def from_arguments(options: type[T], arguments: Mapping[str, Any], **changed: Any) -> T:
    """Returns a dataclass whose fields are arguments of a function, by the same names.

    Args:
        options: The dataclass.
        arguments: `locals()` of the function; arguments that are no fields are left out.
        **changed: Fields that differ from the argument of their name.
    """
    names = [each.name for each in fields(options)]  # type: ignore[arg-type]
    return options(**{**{name: arguments[name] for name in names if name in arguments}, **changed})
