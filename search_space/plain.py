"""Converts frozen dataclasses to the nested dicts and lists of YAML and JSON and back, with checked names and types."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from search_space.errors import SHOWN_CHARS, UserError, shown, unknown_name

T = TypeVar("T")
SCALARS = (str, int, float, bool, type(None))
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
"""A float that YAML 1.1 reads as text, such as 1e-3 or 64.0e9."""
READ, WRITE, NOT_IN_FILES = "read", "write", "not in files"
"""Keys of a field's metadata: the function from plain data to its value, the function back, and True where no file
holds the field. `WRITE` returns None where the field is left out."""


class FieldError(UserError):
    """Plain data with a field that is unknown, missing or of the wrong type.

    Args:
        message: Begins with the field where its value is wrong.
        field: The path of the field, such as `backbone.stages[1].channels`.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class Options(Mapping[str, int | float | str]):
    """An immutable, hashable mapping from names to numbers and text, sorted by name."""

    def __init__(self, values: Mapping[str, int | float | str] = types.MappingProxyType({})) -> None:
        self._values = {name: values[name] for name in sorted(values)}

    def __getitem__(self, name: str) -> int | float | str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


TYPE_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    type(None): "empty",
    tuple: "a list",
    Mapping: "a mapping",
    Options: "a mapping from names to numbers or text",
}


def to_plain(value: Any, *, defaults: bool = True) -> Any:
    """Returns a value as plain data: a dataclass or mapping as a dict, a tuple as a list.

    Args:
        defaults: Whether fields at their default are included.
    """
    if type(value) in SCALARS:
        return value
    if isinstance(value, (tuple, list)):
        return [to_plain(item, defaults=defaults) for item in value]
    if isinstance(value, Mapping):
        return {name: to_plain(item, defaults=defaults) for name, item in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    owner: Any = type(value)
    plain = {}
    for name, field in _fields(owner).items():
        item = getattr(value, name)
        if WRITE in field.metadata:
            item = field.metadata[WRITE](item)
            if item is None:
                continue
        elif not defaults and item == _default(field):
            continue
        plain[name] = to_plain(item, defaults=defaults)
    return plain


def without_defaults(value: Any) -> Any:
    """Returns a dataclass as nested dicts and lists, without the fields at their default."""
    return to_plain(value, defaults=False)


def read_plain(cls: type[T], data: Any, where: str = "") -> T:
    """Builds a dataclass from plain data. Names and types are checked at every level.

    Args:
        cls: The dataclass.
        data: A mapping from field names to plain values.
        where: The path of `data`, which the messages begin with; empty for the top level.

    Raises:
        FieldError: A field is unknown, missing or of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise FieldError(f"{where or 'the data'} is {shown(data)}; it must be {_type_name(cls, where)}", where)
    owner: Any = cls
    prefix = f"{where}: " if where else ""
    fields, hints = _fields(owner), _type_hints(owner)
    for name in data:
        if name not in fields:
            raise FieldError(f"{prefix}{unknown_name('field', name, fields)}", _path(where, str(name)))
    for name, field in fields.items():
        if name not in data and _default(field) is dataclasses.MISSING:
            raise FieldError(f"{prefix}field {name!r} is missing; add it", _path(where, name))
    values = {}
    for name, value in data.items():
        read = fields[name].metadata.get(READ)
        values[name] = read(value) if read else _read(hints[name], value, _path(where, name))
    return cls(**values)


def _path(where: str, name: str) -> str:
    return f"{where}.{name[:SHOWN_CHARS]}" if where else name


@cache
def _type_hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    """Returns the fields that files hold, by name."""
    return {field.name: field for field in dataclasses.fields(cls) if not field.metadata.get(NOT_IN_FILES)}


def _default(field: dataclasses.Field[Any]) -> Any:
    """Returns the default of a field, or `MISSING`."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _read(hint: Any, value: Any, where: str) -> Any:
    """Returns a value as its declared type. A whole number is a valid float; true and false are not numbers."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if Any in allowed or (type(value) in allowed and not (type(value) is float and not math.isfinite(value))):
        return value
    if float in allowed and type(value) is int and abs(value) < 2**53:
        return float(value)
    if float in allowed and str not in allowed and isinstance(value, str) and EXPONENT.fullmatch(value):
        return _read(hint, float(value), where)
    if isinstance(value, (list, tuple, Mapping)):
        for each in allowed:
            read = _read_container(each, value, where)
            if read is not None:
                return read
    raise FieldError(
        f"{where} is {shown(value)}; it must be {' or '.join(_type_name(each, where) for each in allowed)}", where
    )


def _read_container(hint: Any, value: Any, where: str) -> Any:
    """Returns a list or mapping as a tuple, mapping, `Options` or dataclass; None where `hint` is none of them."""
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is tuple and not isinstance(value, Mapping):
        return tuple(_read(parts[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        return None
    if kind is Mapping:
        names = [_read(parts[0], name, f"a name in {where}") for name in value]
        items = [_read(parts[1], item, _path(where, str(name))) for name, item in value.items()]
        return dict(zip(names, items, strict=True))
    if kind is Options:
        return Options(_read_container(Mapping[str, int | float | str], value, where))
    return read_plain(typing.cast(type, kind), value, where) if dataclasses.is_dataclass(kind) else None


def _type_name(hint: Any, where: str) -> str:
    if dataclasses.is_dataclass(hint):
        first = next(iter(_fields(typing.cast(type, hint))))
        return f"a mapping with fields such as {_path(where, first)}"
    return TYPE_NAMES[typing.get_origin(hint) or hint]
