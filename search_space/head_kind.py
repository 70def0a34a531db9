"""What the space knows of a kind of head: how it joins a detector, and which choices are its own."""

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
    """Asks nothing of an architecture, and leaves weights as the blocks start them."""


@dataclass(frozen=True, kw_only=True)
class HeadKind:
    """One kind of head. Only `words` and `add` must be given; how it learns is said in `trainers.HEAD_TRAINING`."""

    words: str
    """What it is called in a sentence: `an anchor-free head`."""
    add: Add
    """Called with the builder, the `Head`, the maps by level (finest first) and the number of classes: adds the head's
    nodes and returns the detector's outputs. Raises SpaceError for what it cannot be."""
    options: Mapping[str, Choice] = field(default_factory=dict)
    """Settings of this kind that are no fields of `Head`, by name, with their defaults; see `Head.option`."""
    axes: Callable[[], tuple[Axis, ...]] = tuple
    """Returns the axes of this kind, which exist in its points only; each has the name of an option or a field."""
    fields: tuple[str, ...] = ()
    """Fields of `Head` that mean something in this kind only."""
    decode: Callable[[Point], Mapping[str, Any]] = dict
    """Returns what the choices on its own axes say of its options and fields; unless given, each of the same name."""
    read: Callable[[Head], Params] = lambda head: {}
    """Returns the choices on its own axes that are not the option or field of the same name as it stands."""
    topology: str | None = None
    """The only way in which the levels may meet before it; None where all will do."""
    takes_unpadded: bool = False
    """Whether its extra stages may be without padding."""
    check: Callable[[Architecture], None] = _nothing
    """Raises SpaceError where an architecture with this head cannot be."""
    start: Callable[[nn.ModuleDict, Graph], None] = _nothing
    """Starts weights of the rest of the detector in the way that this head needs."""

    def own_options(self, given: Mapping[str, Choice]) -> dict[str, Choice]:
        """Returns the options that are not at their default.

        Raises:
            SpaceError: for one that this kind does not have, or a value of another type than the default's.
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
