"""A typed registry: things of one kind by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

from search_space.errors import SpaceError, UserError, unknown_name

T = TypeVar("T")


class Addition(NamedTuple):
    """One registered thing."""

    registry: Registry[Any]
    name: str
    module: str
    """The module whose import registered it."""


_ADDITIONS: list[Addition] = []


def additions() -> list[Addition]:
    """Returns what any registry of this process holds, in the order of registration."""
    return list(_ADDITIONS)


def _importing() -> str:
    """Returns the name of the module that is being imported, the innermost one."""
    frame = sys._getframe(1)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _is_importing(module: ModuleType) -> bool:
    """Whether a module has not been imported to its end. Where it ends in an error, it must be tried again."""
    return bool(getattr(module.__spec__, "_initializing", False))


class Registry(Generic[T]):
    """Maps names to things of one kind.

    Args:
        kind: What one thing is called in a message, such as `stage block`.
        error: The class of the errors for a name that is taken or unknown.
        modules: Modules whose import registers the built-in things, where that is not the registry's own. They are
            imported when the registry is first used.
    """

    def __init__(self, kind: str, error: type[UserError] = SpaceError, modules: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._error = error
        self._modules = modules
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that registers what it decorates as `name`.

        Raises:
            SpaceError: The name is taken. A registry with another `error` raises that one.
        """

        def store(thing: T) -> T:
            self.add(name, thing)
            return thing

        return store

    def add(self, name: str, thing: T) -> None:
        """Registers `thing` as `name`; raises the registry's `error` where the name is taken."""
        if name in self._loaded():
            raise self._error(f"{self.kind} {name!r} is already registered; choose another name")
        self._things[name] = thing
        _ADDITIONS.append(Addition(self, name, _importing()))

    def remove(self, name: str) -> None:
        """Removes the thing called `name`, which must be known."""
        del self._things[name]
        _ADDITIONS[:] = [each for each in _ADDITIONS if (each.registry, each.name) != (self, name)]

    def get(self, name: str) -> T:
        """Returns the thing called `name`; raises the registry's `error`, naming similar and known names, otherwise."""
        things = self._loaded()
        try:
            return things[name]
        except (KeyError, TypeError):
            raise self._error(unknown_name(self.kind, name, things)) from None

    def names(self) -> tuple[str, ...]:
        """Returns the known names, in the order of their registration."""
        return tuple(self._loaded())

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __contains__(self, name: object) -> bool:
        return name in self._loaded()

    def _loaded(self) -> dict[str, T]:
        """Returns the things by name, the built-in ones included."""
        if self._modules:
            for module in self._modules:
                import_module(module)  # does nothing while the module itself is registering
            if not any(_is_importing(sys.modules[module]) for module in self._modules):
                self._modules = ()
        return self._things
