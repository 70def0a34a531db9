"""One small typed registry: a name, written out, for each thing that an architecture can ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar

from search_space.errors import SpaceError, nearest

T = TypeVar("T")


class Addition(NamedTuple):
    """One thing that was registered."""

    registry: Registry[Any]
    name: str
    module: str
    """The module whose import registered it."""


_ADDITIONS: list[Addition] = []


def additions() -> list[Addition]:
    """Returns what was ever added to any registry of this process and not removed, in order."""
    return list(_ADDITIONS)


def _importing() -> str:
    """Returns the name of the module that is being run at its top level, the innermost one."""
    frame = sys._getframe(1)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


class Registry(Generic[T]):
    """Maps written-out names to things of one kind; a double or unknown name is an error that lists what is known."""

    def __init__(self, kind: str, modules: tuple[str, ...] = ()) -> None:
        """Makes an empty registry.

        Args:
            kind: what its entries are, for error messages.
            modules: register the built-in entries; they are imported when the registry is first used.
        """
        self.kind = kind
        self._things: dict[str, T] = {}
        self._modules = modules

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that stores what it decorates under `name`.

        Raises:
            SpaceError: if the name is taken.
        """

        def store(thing: T) -> T:
            self.add(name, thing)
            return thing

        return store

    def add(self, name: str, thing: T) -> None:
        """Stores `thing` under `name`; raises SpaceError if the name is taken."""
        self._import_modules()
        if name in self._things:
            raise SpaceError(f"{self.kind} {name!r} is registered already; choose another name")
        self._things[name] = thing
        _ADDITIONS.append(Addition(self, name, _importing()))

    def remove(self, name: str) -> None:
        """Forgets the thing called `name`, which must be known."""
        del self._things[name]
        _ADDITIONS[:] = [each for each in _ADDITIONS if (each.registry, each.name) != (self, name)]

    def get(self, name: str) -> T:
        """Returns the thing called `name`; raises SpaceError naming the near and the known ones otherwise."""
        self._import_modules()
        try:
            return self._things[name]
        except (KeyError, TypeError):
            hint = nearest(str(name), self._things)
            raise SpaceError(f"unknown {self.kind} {name!r}{hint}; known: {', '.join(self._things)}") from None

    def names(self) -> tuple[str, ...]:
        """Returns the known names, in the order of their registration."""
        self._import_modules()
        return tuple(self._things)

    def __iter__(self) -> Iterator[str]:
        self._import_modules()
        return iter(self._things)

    def __contains__(self, name: object) -> bool:
        self._import_modules()
        return name in self._things

    def _import_modules(self) -> None:
        modules, self._modules = self._modules, ()
        for module in modules:
            import_module(module)
