"""Between frozen dataclasses and the nested dicts and lists of YAML and JSON, with every name and type checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from search_space.errors import SHOWN_CHARS, SpaceError, nearest, shown

T = TypeVar("T")


class Options(Mapping[str, int | float | str]):
    """Plain values by name, sorted, that never change: a field whose names are not known beforehand."""

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


def without_defaults(value: Any) -> Any:
    """Returns a dataclass as nested dicts and lists; fields at their default are left out."""
    if isinstance(value, tuple):
        return [without_defaults(item) for item in value]
    if isinstance(value, Options):
        return dict(value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {field.name: without_defaults(item) for field, item in fields if item != field.default}


def read_plain(cls: type[T], data: Any, where: str) -> T:
    """Builds the dataclass `cls` from a mapping, checking names and types all the way down.

    Raises:
        SpaceError: naming `where` something is missing, unknown or of a wrong type.
    """
    if not isinstance(data, Mapping):
        raise SpaceError(f"{where} must be a mapping, got {shown(data)}; correct it")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            hint = nearest(str(name)[:SHOWN_CHARS], fields)
            raise SpaceError(f"{where} has an unknown field {shown(name)}{hint}; known: {', '.join(fields)}")
    for name, field in fields.items():
        if name not in data and field.default is field.default_factory is dataclasses.MISSING:
            raise SpaceError(f"{where} lacks the field {name!r}; add it")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _read_value(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _read_value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
        return None if value is None else _read_value(hint, value, where)
    if hint is Options:
        return _read_options(value, where)
    if dataclasses.is_dataclass(hint):
        return read_plain(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise SpaceError(f"{where} must be a list, got {shown(value)}; correct it")
        item = typing.get_args(hint)[0]
        return tuple(_read_value(item, element, f"{where}[{i}]") for i, element in enumerate(value))
    if typing.get_origin(hint) is Mapping:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise SpaceError(f"{where} must be a mapping, got {shown(value)}; correct it")
        item = typing.get_args(hint)[1]
        return {name: _read_value(item, each, f"{where}.{name[:SHOWN_CHARS]}") for name, each in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SpaceError(f"{where} must be of type {hint.__name__}, got {shown(value)}; correct it")
    return value


def _read_options(value: Any, where: str) -> Options:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise SpaceError(f"{where} must be a mapping of names, got {shown(value)}; correct it")
    for name, each in value.items():
        if type(each) not in (int, float, str):
            raise SpaceError(f"{where}.{name} must be a number or a word, got {shown(each)}; correct it")
    return Options(value)
