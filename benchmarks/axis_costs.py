"""What a change of one axis costs: multiply-adds, parameters and predicted milliseconds on three boards.

The reference is `yolov8n-p2-nop5` at 256x256 pixels and 4 classes. The changes come from the axes themselves: every
other choice that a search with the anchor-free head has on an axis that is active at the reference, as far as it is a
point of the space. Axes that become active have the choice that all detectors had before the axis existed, or their
first; the table names the latter. Of an axis with more than `MANY` choices there are the next smaller and larger one.

Milliseconds are predictions of the profiles of the boards; nothing is measured here.

Usage: python benchmarks/axis_costs.py [--axes NAME …] [--by-name] [--docs]
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.cost import Cost, cost_of
from nas.cost.latency import LatencyModel, load_model
from nas.engine.narrowing import with_defaults
from search_space import DESIGNS, SearchSpace
from search_space.axis import Axis, Choice, Params
from search_space.errors import SpaceError
from search_space.space import INPUT_AXES

REFERENCE, SIDE, NUM_CLASSES = "yolov8n-p2-nop5", 256, 4
BOARDS = {"jetson-nano": "Nano", "orin-nano": "Orin Nano", "pi5": "Pi 5"}
"""Title of a column by board; the rows are sorted by the first."""
MANY = 20
PAGE = Path(__file__).parents[1] / "docs" / "search-space.md"
BEGIN, END = "<!-- axis costs: written by benchmarks/axis_costs.py --docs -->", "<!-- end of axis costs -->"
COLUMNS = ("change", "M multiply-adds", "k parameters", *(f"{title} ms" for title in BOARDS.values()), "unmeasured %")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One axis of the reference with another choice."""

    axis: str
    choice: Choice
    first: Params
    """Axes that became active and have their first choice; those of several levels as one, such as `stride`."""
    params: Params

    def __str__(self) -> str:
        others = ", ".join(f"`{name}={choice}`" for name, choice in self.first.items())
        return f"`{self.axis}={self.choice}`" + (f" with {others}" if others else "")


@dataclass(frozen=True, kw_only=True)
class BoardCosts:
    """The counts of a network, and its predicted latencies in ms with the shares of operators never measured."""

    macs: int
    params: int
    milliseconds: tuple[float, ...]
    unmeasured: tuple[float, ...]


def reference() -> Params:
    """Returns the point that is changed."""
    return SearchSpace().encode(DESIGNS.get(REFERENCE).architecture.resized((SIDE, SIDE)))


def changes(space: SearchSpace, point: Params, axes: Sequence[str] | None = None) -> Iterator[Change]:
    """Yields every change of one axis that gives another point of the space.

    Args:
        space: Its axes and choices.
        point: Is changed.
        axes: Only these axes; None: all.
    """
    for axis in space.axes:
        if axis.name not in point or (axes is not None and axis.name not in axes):
            continue
        for choice in others(axis, point[axis.name]):
            sides = dict.fromkeys(INPUT_AXES, SIDE if axis.name not in INPUT_AXES else choice)
            params = space.completed({**point, **sides, axis.name: choice}, earliest)
            try:
                space.decode(params)
            except SpaceError:
                continue
            yield Change(axis=axis.name, choice=choice, first=_first_choices(space, params, point), params=params)


def _first_choices(space: SearchSpace, params: Params, point: Params) -> Params:
    """Returns the axes of a changed point that the reference does not have and that no earlier version lacked."""
    new = (name for name in params if name not in point and name not in INPUT_AXES)
    return {re.sub(r"_p\d$", "", name): params[name] for name in new if space.axis(name).formerly is None}


def others(axis: Axis, current: Choice) -> tuple[Choice, ...]:
    """Returns the other choices of an axis; of an axis with very many, those next to the current one."""
    if not axis.ordered or len(axis.choices) <= MANY:
        return tuple(choice for choice in axis.choices if choice != current)
    at = sorted(axis.choices, key=float).index(current)
    return tuple(sorted(axis.choices, key=float)[max(at - 1, 0) : at + 2 : 2])


def earliest(axis: Axis) -> Choice:
    """Returns the choice that all detectors had before the axis existed, or the first."""
    return axis.choices[0] if axis.formerly is None else axis.formerly


def costs(space: SearchSpace, params: Params, boards: Sequence[LatencyModel]) -> BoardCosts:
    """Returns the costs of a point on several boards.

    Raises:
        SpaceError: The network cannot be built.
    """
    found = [_cost(space, params, board) for board in boards]
    latencies = [each.latency for each in found if each.latency is not None]
    return BoardCosts(
        macs=found[0].macs,
        params=found[0].params,
        milliseconds=tuple(each.latency_ms for each in latencies),
        unmeasured=tuple(each.unsupported_share for each in latencies),
    )


def _cost(space: SearchSpace, params: Params, board: LatencyModel) -> Cost:
    return cost_of(space.decode(params), num_classes=NUM_CLASSES, device=board)


def rows(axes: Sequence[str] | None = None, *, by_name: bool = False) -> list[str]:
    """Returns the rows of the table, the fastest change on the first board first.

    Args:
        axes: Only changes of these axes; None: of all.
        by_name: Whether choices are included that a search has only where the user names them.
    """
    space, boards = SearchSpace(), [load_model(name) for name in BOARDS]
    searched = space.narrowed({"head": ("anchor_free",)} if by_name else with_defaults({}))
    point = reference()
    base = costs(space, point, boards)
    found = [(costs(space, change.params, boards), str(change)) for change in changes(searched, point, axes)]
    found.sort(key=lambda each: (each[0].milliseconds[0], each[1]))
    return [row(title, cost, base) for cost, title in found]


def row(title: str, cost: BoardCosts, base: BoardCosts) -> str:
    """Returns the row of a change: differences from the reference, and the shares of unmeasured operators."""
    milliseconds = (signed(ours - theirs, 2) for ours, theirs in zip(cost.milliseconds, base.milliseconds, strict=True))
    shares = " / ".join(f"{100 * share:.0f}" for share in cost.unmeasured)
    counts = (signed((cost.macs - base.macs) / 1e6, 1), signed((cost.params - base.params) / 1e3, 1))
    return f"| {' | '.join((title, *counts, *milliseconds, shares))} |"


def signed(value: float, digits: int) -> str:
    """Returns a difference with its sign; one that rounds to zero is positive."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def table(lines: Sequence[str]) -> str:
    """Returns the rows under their heading, with the costs of the reference itself first."""
    space, boards = SearchSpace(), [load_model(name) for name in BOARDS]
    base = costs(space, reference(), boards)
    milliseconds = (f"{each:.2f}" for each in base.milliseconds)
    shares = " / ".join(f"{100 * share:.0f}" for share in base.unmeasured)
    own = (f"`{REFERENCE}`", f"{base.macs / 1e6:.1f}", f"{base.params / 1e3:.1f}", *milliseconds, shares)
    return "\n".join((f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", f"| {' | '.join(own)} |", *lines))


def page(text: str, content: str) -> str:
    """Returns the text of the page with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--axes", nargs="+", help="only changes of these axes")
    parser.add_argument("--by-name", action="store_true", help="also choices that a search has only by name")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/search-space.md")
    options = parser.parse_args()
    if options.docs and (options.axes or options.by_name):
        parser.error("--docs writes the whole table; drop --axes and --by-name")
    found = table(rows(options.axes, by_name=options.by_name))
    print(found)
    if options.docs:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
