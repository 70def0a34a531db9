"""The deployed form of a detector: branches that only training needs are merged."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Protocol, TypeVar, cast, runtime_checkable

from torch import nn

M = TypeVar("M", bound=nn.Module)
K = TypeVar("K")


@runtime_checkable
class Mergeable(Protocol):
    """A module with branches that become one plain module when deployed."""

    def merged(self) -> nn.Module:
        """Returns a module with the same function in evaluation mode."""


def deployed(module: M) -> M:
    """Returns a copy of a block or detector in which each `Mergeable` module is replaced by its merged form.

    Where nothing is to be merged, the module itself is returned. The copy has other names in its state: its weights
    cannot be loaded into the original.
    """
    return with_replaced(module, Mergeable, lambda each: each.merged())  # type: ignore[type-abstract]


def with_replaced(module: M, kind: type[K], replacement: Callable[[K], nn.Module]) -> M:
    """Returns a copy of a module in which each module of a kind is replaced; the module itself where there is none."""
    # For a protocol, Python caches the result of issubclass, but not that of isinstance.
    if issubclass(type(module), kind):
        return cast(M, replacement(cast(K, module)))
    if not any(issubclass(type(each), kind) for each in module.modules()):
        return module
    copy = deepcopy(module)
    _replace_children(copy, kind, replacement)
    return copy


def _replace_children(module: nn.Module, kind: type[K], replacement: Callable[[K], nn.Module]) -> None:
    for name, child in module.named_children():
        if issubclass(type(child), kind):
            setattr(module, name, replacement(cast(K, child)))
        else:
            _replace_children(child, kind, replacement)
