"""Gather the tensors, class names and facts of a checkpoint from what its pickle holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.importing.inert_objects import InertObject
from trainers.importing.stored_tensors import StoredTensor
from trainers.importing.untrusted import MAX_TENSORS, UnreadableFileError, check_key, damaged

ENTRIES = ("ema", "model", "state_dict")
"""Where a checkpoint keeps its weights, the preferred first."""
MAX_DEPTH = 64
MODULE_PREFIX = "module."
"""That `DataParallel` adds to each name."""


class ModuleWalk:
    """The `state_dict` of an object that stands for an `nn.Module`, gathered from its attributes.

    Parameters, then persistent buffers, then the modules inside in their order, with names joined by dots.
    """

    def __init__(self, module: InertObject) -> None:
        self.tensors: dict[str, StoredTensor] = {}
        self.modules = 0
        self._walk(module, "", 0)

    def _walk(self, module: object, prefix: str, depth: int) -> None:
        self.modules += 1
        if depth > MAX_DEPTH or self.modules > MAX_TENSORS:
            raise damaged("its modules are nested without end")
        state = attributes(module)
        if "_modules" not in state:
            raise damaged(f"the module {prefix[:60]!r} is no module")
        transient = state.get("_non_persistent_buffers_set")
        left_out = transient if isinstance(transient, set | list) else ()
        for kind, skipped in (("_parameters", ()), ("_buffers", left_out)):
            for name, value in _entries(state, kind):
                if value is not None and name not in skipped:
                    self._add(prefix + name, value)
        for name, inner in _entries(state, "_modules"):
            if inner is not None:
                self._walk(inner, f"{prefix}{name}.", depth + 1)

    def _add(self, key: str, value: object) -> None:
        self.tensors[check_key(key, self.tensors)] = _tensor(key, value)


def attributes(module: object) -> dict[Any, Any]:
    """Returns the attributes that a pickle sets on an object, empty where it is plain data or sets none."""
    state = module.state if isinstance(module, InertObject) else None
    if isinstance(state, tuple) and state:
        state = state[0]
    return state if isinstance(state, dict) else {}


def is_module(value: object) -> bool:
    """Returns whether an object stands for an `nn.Module`."""
    return "_modules" in attributes(value)


def _entries(state: Mapping[Any, Any], kind: str) -> Iterator[tuple[str, object]]:
    entries = state.get(kind, {})
    if not isinstance(entries, dict):
        raise damaged(f"{kind} of a module is no dictionary")
    for name, value in entries.items():
        yield check_key(name), value


def _tensor(key: str, value: object) -> StoredTensor:
    if isinstance(value, StoredTensor):
        return value
    name = value.name.name if isinstance(value, InertObject) and value.name is not None else type(value).__name__
    raise UnreadableFileError(
        f"has {key[:60]!r} as {name[:60]!r}, not as a plain tensor; next: save the state_dict() of the model in float32"
    )


def _mapped_tensors(mapping: Mapping[Any, object]) -> dict[str, StoredTensor]:
    """Returns the entries of a plain `state_dict`; entries of plain data beside the tensors are left out."""
    found: dict[str, StoredTensor] = {}
    for key, value in mapping.items():
        if isinstance(value, StoredTensor | InertObject):
            found[check_key(key)] = _tensor(str(key), value)
    return found


def find_weights(content: object) -> tuple[object, dict[str, StoredTensor]]:
    """Returns the entry of a checkpoint that holds the weights, and its tensors by name.

    That is `ema` where it holds some, else `model`, else `state_dict`, else the content itself. The prefix `module.` is
    removed where all names have it.

    Raises:
        UnreadableFileError: There are no weights, or they are damaged.
    """
    places = [content.get(name) for name in ENTRIES] if isinstance(content, dict) else []
    for place in [*places, content]:
        tensors: dict[str, StoredTensor] = {}
        if is_module(place):
            assert isinstance(place, InertObject)
            tensors = ModuleWalk(place).tensors
        elif isinstance(place, dict) and any(isinstance(value, StoredTensor) for value in place.values()):
            tensors = _mapped_tensors(place)
        if tensors:
            if all(name.startswith(MODULE_PREFIX) for name in tensors):
                tensors = {check_key(name.removeprefix(MODULE_PREFIX)): value for name, value in tensors.items()}
            return place, tensors
    entries = [key for key in content if isinstance(key, str)] if isinstance(content, dict) else []
    held = ", ".join(repr(key[:30]) for key in entries[:8])
    raise UnreadableFileError(
        f"has no weights (entries: {held or 'none'}); next: give a file with a model or its state_dict()"
    )
