"""The interface of a kind of head: how it is added to a detector, and its own options and axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_space.axis import Axis, Choice, Params, Point
from search_space.errors import SpaceError, check_known
from search_space.registry import Registry

Add = Callable[[Any, Any, Mapping[int, Any], int], Sequence[Any]]
"""From `graph.Builder`, `parts.Head`, `graph.Tap`s by level and the number of classes to the `Tap`s of the outputs.

The modules of these classes look kinds up in `HEAD_KINDS`, so their types are not imported here.
"""


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
    read: Callable[[Any], Params] = lambda head: {}
    """Returns those choices of a `Head` on its axes that differ from the option or field of the same name."""
    topology: str | None = None
    """The only neck topology that it works with; None: any."""
    takes_activation: bool = False
    """Whether it contains convolutions with the activation of the network."""
    takes_unpadded: bool = False
    """Whether its extra stages may have no padding."""
    check: Callable[[Any], None] = _nothing
    """Raises SpaceError where an `Architecture` with this head is invalid."""
    init_weights: Callable[[Any, Any], None] = _nothing
    """Initialises weights of the rest of the detector where this head needs another initialisation. Called with the
    `nn.ModuleDict` of the blocks and the `Graph`."""

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
