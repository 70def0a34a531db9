"""What sets two architectures apart, decision by decision, and what each decision costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.commands.display import say
from search_space.errors import SpaceError
from search_space.plain import to_plain

if TYPE_CHECKING:
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


def differences(a: Architecture, b: Architecture, *, num_classes: int, input_hw: Size) -> dict[str, Any]:
    """Returns what differs between two architectures, what each difference costs alone, and the total, JSON-ready.

    Both are counted for `num_classes`, each at its own input size unless `input_hw` is given. Where one is no point of
    the search space, the fields of the two are compared instead of the axes, and `why_fields` says why.
    """
    from nas.cost import cost_of

    def cost(architecture: Architecture) -> Cost:
        return cost_of(architecture, num_classes=num_classes, input_hw=input_hw)

    sides, why_fields = _sides(a, b)
    cost_a, cost_b = cost(a), cost(b)
    return {
        "num_classes": num_classes,
        "compared": "axes" if why_fields is None else "fields",
        "why_fields": why_fields,
        "a": _counted(a, cost_a, input_hw),
        "b": _counted(b, cost_b, input_hw),
        "total": _change(cost_a, cost_b),
        "differences": list(_priced(sides, cost_a, cost)),
    }


def _counted(architecture: Architecture, cost: Cost, input_hw: Size) -> dict[str, Any]:
    size = list(input_hw or architecture.input_hw)
    return {"key": architecture.key(), "input_hw": size, "macs": cost.macs, "params": cost.params}


def _change(before: Cost, after: Cost) -> dict[str, int]:
    return {"macs": after.macs - before.macs, "params": after.params - before.params}


def _priced(sides: Sides, before: Cost, cost: Callable[[Architecture], Cost]) -> Iterator[dict[str, Any]]:
    """Yields each difference with the change that it makes alone, or with what it takes beside it.

    Where it is part of another difference's change, that one is named and has the numbers.
    """
    differing = sides.differing()
    for name in differing:
        row = {"name": name, "a": sides.a.get(name, ABSENT), "b": sides.b.get(name, ABSENT)}
        nothing = {"macs": None, "params": None}
        try:
            changed, after = _tried(sides, frozenset((name,)), cost)
            yield {**row, **_change(before, after), "only_with": sorted(changed.names - {name}), "reason": None}
        except (NotAlone, SpaceError) as error:
            only_with, partly = _partner(sides, name, differing, cost)
            counts = nothing if partly is None else _change(before, partly)
            yield {**row, **counts, "only_with": only_with, "reason": str(error)}


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
    names = _names(a)
    if names is None or names != _names(b):
        return {where: a}, {where: b}
    fields_a: dict[str, Any] = {}
    fields_b: dict[str, Any] = {}
    for name in names:
        below = _common_fields(a[name], b[name], f"{where}.{name}".lstrip("."))
        fields_a |= below[0]
        fields_b |= below[1]
    return fields_a, fields_b


def _names(value: Any) -> list[Any] | None:
    """Returns the names below a value: of fields, or the numbers of parts that have fields; None where it is whole."""
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _put(data: Any, path: str, value: Any) -> None:
    *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
    for name in parents:
        data = data[name]
    data[last] = value


def print_differences(result: Mapping[str, Any], name_a: str, name_b: str) -> None:
    """Prints the differences as a table, with how they were counted above and the total below."""
    from rich.table import Table

    from nas.commands.display import console

    sizes = ["x".join(map(str, reversed(result[side]["input_hw"]))) for side in ("a", "b")]
    at = f"both at {sizes[0]}" if sizes[0] == sizes[1] else f"{name_a} at {sizes[0]}, {name_b} at {sizes[1]}"
    say(f"from {name_a} to {name_b}, both for {result['num_classes']} classes, {at} (width x height)")
    if result["compared"] == "fields":
        say(f"compared field by field: {result['why_fields']}")
    if not result["differences"]:
        say("they are the same")
        return
    table = Table("axis" if result["compared"] == "axes" else "field", name_a, name_b)
    for title in ("MMACs", "params"):
        table.add_column(title, justify="right")
    table.add_column("")
    for row in result["differences"]:
        counted = row["macs"] is not None
        changes = (f"{row['macs'] / 1e6:+,.2f}", f"{row['params']:+,}") if counted else ("", "")
        table.add_row(row["name"], _value(row["a"]), _value(row["b"]), *changes, _only_with(row))
    total = result["total"]
    table.add_section()
    cells = [f"{result[side]['macs'] / 1e6:,.2f} MMACs, {result[side]['params']:,} params" for side in ("a", "b")]
    table.add_row("all together", *cells, f"{total['macs'] / 1e6:+,.2f}", f"{total['params']:+,}", "")
    console().print(table)
    say(
        f"MMACs and params of a line: what {name_a} gains when only that one becomes {name_b}'s, with those named"
        " beside it; such changes need not add up to all together"
    )


def _value(value: Any) -> str:
    """Returns one side's choice as the table shows it: of what has fields, only whether or how often it is there."""
    if isinstance(value, dict):
        return "given"
    if isinstance(value, list):
        return f"{len(value)} of them" if _names(value) else ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _only_with(row: Mapping[str, Any]) -> str:
    partners = row["only_with"]
    if row["macs"] is None and len(partners) != 1:
        return f"only together with several others: {row['reason']}" if partners else f"not possible: {row['reason']}"
    if not partners:
        return ""
    return f"only together with {', '.join(partners)}" + ("" if row["macs"] is not None else ", counted there")
