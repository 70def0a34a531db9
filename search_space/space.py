"""The search space: its axes, and the conversion between points and architectures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING

from search_space import point
from search_space.architecture import Architecture
from search_space.axis import Axis, Choice, Params
from search_space.errors import SpaceError, nearest

if TYPE_CHECKING:
    import numpy

INPUT_AXES = ("input_size", "free_input_size")
"""Every point has exactly one of them."""


class SearchSpace:
    """The space of detectors for small objects.

    A point is a dict from the names of its active axes to choices. An axis is active only where it has an effect, so
    different points are different detectors, and every point can be built. `decode` and `encode` are inverse functions.
    """

    def __init__(self, axes: tuple[Axis, ...] | None = None) -> None:
        self.axes = point.all_axes() if axes is None else axes

    def axis(self, name: str) -> Axis:
        """Returns the axis called `name`; raises SpaceError, naming similar axes, where there is none."""
        for axis in (*self.axes, *point.optional_axes()):
            if axis.name == name:
                return axis
        names = [axis.name for axis in (*self.axes, *point.optional_axes())]
        near = nearest(name, names) or f"; known: {', '.join(names)}"  # many: listed only where none is similar
        raise SpaceError(f"unknown axis {name!r}{near}")

    @property
    def tiles(self) -> tuple[str, ...]:
        """The tiles that a detector of the space may have, by their names."""
        return next((tuple(map(str, axis.choices)) for axis in self.axes if axis.name == "tiles"), ("1",))

    def input_axis(self, params: Mapping[str, Choice]) -> Axis:
        """Returns the axis of the input size that is active at a point."""
        return self.axis(next(name for name in INPUT_AXES if name in params))

    def narrowed(self, choices: Mapping[str, Iterable[Choice]]) -> SearchSpace:
        """Returns the space with fewer choices on some axes; raises SpaceError for an unknown axis or choice.

        Choices for `input_size` also apply to `free_input_size`, of detectors without a neck, unless that is given. An
        optional axis, which other spaces do not have, is added with its choices.
        """
        narrow = {name: tuple(dict.fromkeys(kept)) for name, kept in choices.items()}
        if "input_size" in narrow:
            narrow.setdefault("free_input_size", narrow["input_size"])
        for name, kept in narrow.items():
            axis = self.axis(name)
            if not kept:
                raise SpaceError(
                    f"axis {name!r} needs at least one choice; allowed: {', '.join(map(str, axis.choices))}"
                )
            for choice in kept:
                axis.check(choice)
        has = {axis.name for axis in self.axes}
        added = tuple(axis for axis in point.optional_axes() if axis.name in narrow and axis.name not in has)
        return SearchSpace(
            tuple(
                replace(axis, choices=tuple(choice for choice in axis.choices if choice in narrow[axis.name]))
                if axis.name in narrow
                else axis
                for axis in (*self.axes, *added)
            )
        )

    def sample(self, choose: Callable[[Axis], Choice]) -> Params:
        """Returns the point that `choose` decides, which is called for each active axis in order."""
        params: Params = {}
        for axis in self.axes:
            if axis.active(params):
                params[axis.name] = choose(axis)
        return params

    def random(self, rng: numpy.random.Generator) -> Params:
        """Returns a random point. Choices of an axis are equally likely, but `Axis.rare` and `by_name`."""
        return self.sample(lambda axis: axis.choices[int(rng.choice(len(axis.choices), p=axis.odds()))])

    def completed(self, params: Mapping[str, Choice], choose: Callable[[Axis], Choice]) -> Params:
        """Returns the point that keeps the active axes of `params` and calls `choose` for the missing ones."""
        return self.sample(lambda axis: params[axis.name] if axis.name in params else choose(axis))

    def check(self, params: Mapping[str, Choice]) -> None:
        """Raises SpaceError where `params` is not a point: a missing, unknown or inactive axis, or a wrong choice."""
        for name in params:
            self.axis(name)
        active = self.sample(lambda axis: self._checked(axis, params))
        for name in params:
            if name not in active:
                raise SpaceError(f"axis {name!r} is inactive with the other choices; remove it")

    @staticmethod
    def _checked(axis: Axis, params: Mapping[str, Choice]) -> Choice:
        if axis.name not in params:
            raise SpaceError(f"axis {axis.name!r} is missing; allowed: {', '.join(map(str, axis.choices))}")
        axis.check(params[axis.name])
        return params[axis.name]

    def decode(self, params: Mapping[str, Choice]) -> Architecture:
        """Returns the architecture of a point; raises SpaceError where `params` is not a point."""
        self.check(params)
        return point.decode(params)

    def encode(self, architecture: Architecture) -> Params:
        """Returns the point that decodes to `architecture`; raises SpaceError with the reason if there is none."""
        said = point.read(architecture)
        params = self.sample(lambda axis: self._checked(axis, said))
        decoded = point.decode(params)
        if decoded != architecture:
            raise SpaceError(f"the architecture is not in the search space: {_first_difference(decoded, architecture)}")
        return params

    def why_not(self, architecture: Architecture) -> str | None:
        """Returns why `architecture` is not in the space, or None if it is."""
        try:
            self.encode(architecture)
        except SpaceError as error:
            return str(error)
        return None

    def contains(self, architecture: Architecture) -> bool:
        """Returns whether `architecture` is in the space."""
        return self.why_not(architecture) is None

    def fingerprint(self) -> str:
        """Returns 16 hex digits that identify the axes and their choices."""
        content = json.dumps([(axis.name, axis.choices) for axis in self.axes])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _first_difference(decoded: object, wanted: object, where: str = "architecture") -> str:
    """Names the first field in which two architectures differ, with both values."""
    if type(decoded) is type(wanted) and is_dataclass(wanted):
        pairs = ((each.name, getattr(decoded, each.name), getattr(wanted, each.name)) for each in fields(wanted))
        name, ours, theirs = next(found for found in pairs if found[1] != found[2])
        return _first_difference(ours, theirs, name if where == "architecture" else f"{where}.{name}")
    if isinstance(decoded, tuple) and isinstance(wanted, tuple) and len(decoded) == len(wanted):
        index = next(i for i, pair in enumerate(zip(decoded, wanted, strict=True)) if pair[0] != pair[1])
        if is_dataclass(wanted[index]):
            return _first_difference(decoded[index], wanted[index], f"{where}[{index}]")
    return f"{where} must be {_short(decoded)}, got {_short(wanted)}"


def _short(value: object) -> str:
    return "given" if is_dataclass(value) else repr(value)
