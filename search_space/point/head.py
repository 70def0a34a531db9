"""The axes of the head, which each kind of head defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.head_kind import HEAD_KINDS
from search_space.parts import Head
from search_space.plain import Options
from search_space.point import layout
from search_space.point.layout import span


def axes() -> tuple[Axis, ...]:
    """Returns the axes of all kinds of head, each active for its kind only."""
    return tuple(
        replace(axis, active=_in_kind(kind, axis.active)) for kind in HEAD_KINDS for axis in HEAD_KINDS.get(kind).axes()
    )


def _in_kind(kind: str, active: Callable[[Point], bool]) -> Callable[[Point], bool]:
    return lambda params: params["head"] == kind and active(params)


def decode(params: Point) -> Head:
    """Returns the head of a point."""
    name = str(params["head"])
    kind = HEAD_KINDS.get(name)
    said = kind.decode({axis.name: params[axis.name] for axis in kind.axes() if axis.name in params})
    return Head(
        kind=name,
        finest_level=span(params)[0],
        coarsest_level=layout.coarsest(params),
        options=Options({option: said[option] for option in said if option in kind.options}),
        **{field: said[field] for field in said if field not in kind.options},
    )


def read(architecture: Architecture) -> Params:
    """Returns the choices of the head of an architecture."""
    head = architecture.head
    kind = HEAD_KINDS.get(head.kind)
    options = {name: head.option(name) for name in kind.options}
    return {**options, **{name: getattr(head, name) for name in kind.fields}, **kind.read(head)}
