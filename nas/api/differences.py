"""The differences between two architectures, axis by axis or field by field, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.api.result import Result, table_of
from search_space.errors import SpaceError
from search_space.plain import to_plain

if TYPE_CHECKING:
    import pandas as pd

    from nas.cost import Cost
    from search_space import Architecture, Axis, SearchSpace
    from search_space.axis import Choice

Size = tuple[int, int] | None
ABSENT = "-"


class NotAlone(Exception):
    """A decision that cannot be taken alone; the message says why."""


@dataclass(frozen=True)
class Changed:
    """The first architecture with some of the second one's decisions."""

    architecture: Architecture
    names: frozenset[str]
    """Those that were asked for, and those that had to be taken with them."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Two architectures as decisions by name, and the way back from the first one's with some of the second's."""

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    names: tuple[str, ...]
    """All decisions, in the order in which they are shown."""
    change: Callable[[frozenset[str]], Changed]
    """Takes the second one's choice on these decisions; raises NotAlone or SpaceError where that cannot be."""

    def differing(self) -> tuple[str, ...]:
        """Returns the decisions on which the two are not the same."""
        return tuple(name for name in self.names if self.a.get(name, ABSENT) != self.b.get(name, ABSENT))


@dataclass(frozen=True, kw_only=True)
class CountedSide:
    """One of the two architectures that are compared."""

    key: str
    input_hw: tuple[int, int]
    macs: int
    params: int


@dataclass(frozen=True, kw_only=True)
class CountChange:
    """How many more multiply-adds and parameters there are; negative where there are fewer."""

    macs: int
    params: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One decision on which two architectures differ, and what it changes alone."""

    name: str
    """The axis, or the path of the field."""
    a: Any
    b: Any
    macs: int | None
    """What the first one gains with the second one's choice; None where that is counted at another difference."""
    params: int | None
    only_with: tuple[str, ...]
    """Decisions that have to change with it."""
    reason: str | None
    """Why it cannot change alone."""


@dataclass(frozen=True, kw_only=True)
class ArchitectureDiff(Result):
    """What differs between two architectures, what each difference costs alone, and the total."""

    architecture: str
    other: str
    num_classes: int
    compared: str
    """`axes` of the search space, or `fields` where one of the two is no point of it."""
    why_fields: str | None
    a: CountedSide
    b: CountedSide
    total: CountChange
    differences: tuple[Difference, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The differences as a table, a row each."""
        return table_of(self.differences)


def differences(
    a: Architecture, b: Architecture, *, num_classes: int, input_hw: Size, names: tuple[str, str] = ("a", "b")
) -> ArchitectureDiff:
    """Compares two architectures.

    Both are counted for `num_classes`, each at its own input size unless `input_hw` is given. Where one is no point of
    the search space, the fields of the two are compared instead of the axes, and `why_fields` says why.

    Args:
        a: the first one.
        b: the second one.
        num_classes: classes to count for.
        input_hw: input size `(H, W)` in pixels to count at.
        names: how the two are called.

    Raises:
        SpaceError: one of the two does not take this size or number of classes.
    """
    from nas.cost import cost_of

    def cost(architecture: Architecture) -> Cost:
        return cost_of(architecture, num_classes=num_classes, input_hw=input_hw)

    sides, why_fields = _sides(a, b)
    cost_a, cost_b = cost(a), cost(b)
    return ArchitectureDiff(
        architecture=names[0],
        other=names[1],
        num_classes=num_classes,
        compared="axes" if why_fields is None else "fields",
        why_fields=why_fields,
        a=_counted(a, cost_a, input_hw),
        b=_counted(b, cost_b, input_hw),
        total=_change(cost_a, cost_b),
        differences=tuple(_counted_differences(sides, cost_a, cost)),
    )


def _counted(architecture: Architecture, cost: Cost, input_hw: Size) -> CountedSide:
    size = input_hw or architecture.input_hw
    return CountedSide(key=architecture.key(), input_hw=size, macs=cost.macs, params=cost.params)


def _change(before: Cost, after: Cost) -> CountChange:
    return CountChange(macs=after.macs - before.macs, params=after.params - before.params)


def _counted_differences(sides: Sides, before: Cost, cost: Callable[[Architecture], Cost]) -> Iterator[Difference]:
    """Yields each difference with the change that it makes alone, or with those that must change with it.

    Where it is part of another difference's change, that one is named and has the numbers.
    """
    differing = sides.differing()
    for name in differing:
        after: Cost | None
        try:
            changed, after = _tried(sides, frozenset((name,)), cost)
            only_with, reason = sorted(changed.names - {name}), None
        except (NotAlone, SpaceError) as error:
            only_with, after = _partner(sides, name, differing, cost)
            reason = str(error)
        change = None if after is None else _change(before, after)
        yield Difference(
            name=name,
            a=sides.a.get(name, ABSENT),
            b=sides.b.get(name, ABSENT),
            macs=None if change is None else change.macs,
            params=None if change is None else change.params,
            only_with=tuple(only_with),
            reason=reason,
        )


def _tried(sides: Sides, names: frozenset[str], cost: Callable[[Architecture], Cost]) -> tuple[Changed, Cost]:
    changed = sides.change(names)
    return changed, cost(changed.architecture)


def _partner(
    sides: Sides, name: str, differing: tuple[str, ...], cost: Callable[[Architecture], Cost]
) -> tuple[list[str], Cost | None]:
    """Returns the first other difference that makes this one possible, with what both bring along and the cost of all.

    The cost is None where the other one brings this one along anyway, and where it takes more than one other.
    """
    others = [other for other in differing if other != name]
    for other in others:
        try:
            both, after = _tried(sides, frozenset((name, other)), cost)
        except (NotAlone, SpaceError):
            continue
        try:
            brings_it = sides.change(frozenset((other,))).architecture == both.architecture
        except (NotAlone, SpaceError):
            brings_it = False
        return ([other], None) if brings_it else (sorted(both.names - {name}), after)
    return others, None


def _sides(a: Architecture, b: Architecture) -> tuple[Sides, str | None]:
    """Returns the two as points of the search space, or as fields together with why."""
    from search_space import SearchSpace

    space = SearchSpace()
    if max(a.tiles.count, b.tiles.count) > 1:
        space = space.narrowed({"tiles": space.axis("tiles").choices})
    for which, architecture in (("the first", a), ("the second", b)):
        reason = space.why_not(architecture)
        if reason is not None:
            return _field_sides(a, b), f"{which} is no point of the search space ({reason})"
    return _axis_sides(space, a, b), None


def _axis_sides(space: SearchSpace, a: Architecture, b: Architecture) -> Sides:
    point_a, point_b = space.encode(a), space.encode(b)

    def change(names: frozenset[str]) -> Changed:
        taken = set(names)

        def choose(axis: Axis) -> Choice:
            if axis.name not in point_b:
                raise NotAlone(f"then {axis.name} must be chosen, which neither has")
            taken.add(axis.name)
            return point_b[axis.name]

        point = space.completed({**point_a, **{name: point_b[name] for name in names if name in point_b}}, choose)
        for name in names:
            if point.get(name, ABSENT) != point_b.get(name, ABSENT):
                raise NotAlone("it means nothing beside the other choices" if name in point_b else "it is still there")
        return Changed(space.decode(point), frozenset(taken))

    return Sides(a=point_a, b=point_b, names=tuple(axis.name for axis in space.axes), change=change)


def _field_sides(a: Architecture, b: Architecture) -> Sides:
    fields_a, fields_b = _common_fields(to_plain(a), to_plain(b))

    def change(names: frozenset[str]) -> Changed:
        data = to_plain(a)
        for name in names:
            _put(data, name, fields_b[name])
        return Changed(type(a).from_dict(data), names)

    return Sides(a=fields_a, b=fields_b, names=tuple(fields_a), change=change)


def _common_fields(a: Any, b: Any, where: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the finest fields that both have, by their path such as `backbone.stages.0.channels`."""
    names = field_names(a)
    if names is None or names != field_names(b):
        return {where: a}, {where: b}
    fields_a: dict[str, Any] = {}
    fields_b: dict[str, Any] = {}
    for name in names:
        below = _common_fields(a[name], b[name], f"{where}.{name}".lstrip("."))
        fields_a |= below[0]
        fields_b |= below[1]
    return fields_a, fields_b


def field_names(value: Any) -> list[Any] | None:
    """Returns the names below a value: of fields, or the numbers of parts that have fields; None where it is whole."""
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _put(data: Any, path: str, value: Any) -> None:
    *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
    for name in parents:
        data = data[name]
    data[last] = value
