"""Where a search starts: the named designs, scaled to the budget where they are too dear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nas.search.gate import Candidate, Gate
from nas.search.moves import INPUT_AXIS
from search_space import Architecture
from search_space.errors import SpaceError


@dataclass(frozen=True, kw_only=True)
class Start:
    """A named design as the search begins with it."""

    name: str
    candidate: Candidate
    note: str
    """How it was scaled, or an empty string."""


def starting_points(gate: Gate, designs: Mapping[str, Architecture]) -> tuple[list[Start], list[str]]:
    """Fits the named designs into the space and the budget.

    A design that is over budget is taken at the largest input size at which the same network fits; where none
    fits, with its widths narrowed as well.

    Returns:
        The starts, each architecture once, and a line for every design that was changed or left out.
    """
    starts: dict[str, Start] = {}
    notices: list[str] = []
    for name, architecture in designs.items():
        start = fit(gate, name, architecture)
        if start is None:
            reason = gate.space.why_not(architecture) if not gate.space.contains(architecture) else None
            notices.append(f"{name} is left out: {reason or 'it does not fit the budget at any input size or width'}")
            continue
        if start.note:
            notices.append(f"{name} {start.note}")
        starts.setdefault(start.candidate.key, start)
    return list(starts.values()), notices


def fit(gate: Gate, name: str, architecture: Architecture) -> Start | None:
    """Returns the design as it is, smaller, or smaller and narrower: the first that fits; None when nothing does."""
    for scaled, note in _scalings(gate, architecture):
        if not gate.space.contains(scaled):
            continue
        candidate = gate.consider(gate.space.encode(scaled))
        if candidate is not None and candidate.feasible:
            return Start(name=name, candidate=candidate, note=note)
    return None


def _scalings(gate: Gate, architecture: Architecture) -> Iterator[tuple[Architecture, str]]:
    """Yields the architecture itself, then smaller inputs, then smaller widths with every input."""
    yield architecture, ""
    smaller = list(_smaller_inputs(gate, architecture))
    for resized in smaller:
        yield resized, f"is taken at {resized.input_hw[1]}x{resized.input_hw[0]} px input to fit the budget"
    for narrow, factor in _narrower(gate, architecture):
        for resized in [architecture, *smaller]:
            thin = _at(narrow, resized.input_hw)
            if thin is not None:
                size = f"{resized.input_hw[1]}x{resized.input_hw[0]} px input"
                yield thin, f"is taken at {size} with its width at most {factor:g} to fit the budget"


def _smaller_inputs(gate: Gate, architecture: Architecture) -> Iterator[Architecture]:
    """Yields the same network at the smaller input sizes of the space, the largest first."""
    height, width = architecture.input_hw
    sides = sorted(int(choice) for axis in gate.space.axes if axis.name == INPUT_AXIS for choice in axis.choices)
    for side in reversed(sides):
        if side < max(height, width):
            resized = _at(architecture, (side, side))
            if resized is not None:
                yield resized


def _at(architecture: Architecture, sides: tuple[int, int]) -> Architecture | None:
    try:
        return architecture.resized(sides)
    except SpaceError:
        return None


def _narrower(gate: Gate, architecture: Architecture) -> Iterator[tuple[Architecture, float]]:
    """Yields the architecture with every width axis capped at each smaller choice, the widest first."""
    if not gate.space.contains(architecture):
        return
    params = gate.space.encode(architecture)
    widths = {
        axis.name: sorted(float(choice) for choice in axis.choices)
        for axis in gate.space.axes
        if "width" in axis.name and axis.ordered and axis.name in params
    }
    for cap in sorted({choice for choices in widths.values() for choice in choices}, reverse=True):
        wanted = {name: min(cap, float(params[name])) for name in widths}
        capped = {name: max([c for c in widths[name] if c <= wanted[name]], default=widths[name][0]) for name in widths}
        if any(capped[name] != params[name] for name in capped):
            candidate = gate.consider({**params, **capped})
            if candidate is not None:
                yield candidate.architecture, cap
