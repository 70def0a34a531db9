"""The interface of a kind of head: how it is added to a detector, and its own options and axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_space.axis import Axis, Choice, Params, Point
from search_space.errors import SpaceError, check_known
from search_space.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from search_space.architecture import Architecture
    from search_space.graph import Builder, Graph, Tap
    from search_space.parts import Head

    Add = Callable[[Builder, Head, Mapping[int, Tap], int], Sequence[Tap]]


def _nothing(*_: object) -> None:
    """Default of `check` and `init_weights`: does nothing."""


@dataclass(frozen=True, kw_only=True)
class HeadKind:
    """One kind of head; only `description` and `add` are required. `trainers.HEAD_TRAINING` has its training."""

    description: str
    """Noun phrase with its article, such as `an anchor-free head`."""
    add: Add
    """Adds the nodes of the head and returns the outputs of the detector. Called with the builder, the `Head`, the maps
    by level (finest first) and the number of classes. Raises SpaceError where they do not fit."""
    options: Mapping[str, Choice] = field(default_factory=dict)
    """Defaults of the settings of this kind that are not fields of `Head`, by name; see `Head.option`."""
    axes: Callable[[], tuple[Axis, ...]] = tuple
    """Returns the axes of this kind, active only for it. Each has the name of an option or a field."""
    fields: tuple[str, ...] = ()
    """Fields of `Head` that only this kind uses."""
    decode: Callable[[Point], Mapping[str, Any]] = dict
    """Converts choices on its axes to options and fields; by default each choice is the value of the same name."""
    read: Callable[[Head], Params] = lambda head: {}
    """Returns the choices on its axes that differ from the value of the option or field of the same name."""
    topology: str | None = None
    """The only neck topology that it works with; None: any."""
    takes_unpadded: bool = False
    """Whether its extra stages may have no padding."""
    check: Callable[[Architecture], None] = _nothing
    """Raises SpaceError where an architecture with this head is invalid."""
    init_weights: Callable[[nn.ModuleDict, Graph], None] = _nothing
    """Initialises weights of the rest of the detector where this head needs another initialisation."""

    def own_options(self, given: Mapping[str, Choice]) -> dict[str, Choice]:
        """Returns the options that are not at their default.

        Raises:
            SpaceError: An option is unknown, or its value has another type than the default.
        """
        kept: dict[str, Choice] = {}
        for name, value in given.items():
            check_known("head option", name, self.options)
            default = self.options[name]
            value = float(value) if type(default) is float and type(value) is int else value
            if type(value) is not type(default):
                raise SpaceError(f"head option {name!r} must be of type {type(default).__name__}, got {value!r}")
            if value != default:
                kept[name] = value
        return kept


HEAD_KINDS: Registry[HeadKind] = Registry("kind of head", modules=("search_space.heads",))
