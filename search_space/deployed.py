"""The deployed form of a detector: branches that only training needs are merged."""

from __future__ import annotations

from copy import deepcopy
from typing import Protocol, TypeVar, cast, runtime_checkable

from torch import nn

M = TypeVar("M", bound=nn.Module)


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
    if not any(isinstance(each, Mergeable) for each in module.modules()):
        return module
    if isinstance(module, Mergeable):
        return cast(M, module.merged())
    copy = deepcopy(module)
    _merge_children(copy)
    return copy


def _merge_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Mergeable):
            setattr(module, name, child.merged())
        else:
            _merge_children(child)
