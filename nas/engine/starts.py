"""The points that a search starts with: named designs, scaled down where they are over budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nas.advice.box_sizes import BoxSizes
from nas.advice.levels import LEVELS, least_seen_px
from nas.engine.domain import Candidate, CostedDomain, Params
from nas.engine.variation import fit_input
from search_space import Architecture, Head
from search_space.errors import SpaceError
from search_space.heads.assignment import DUAL, is_one_to_one
from search_space.plain import Options
from search_space.space import INPUT_AXES
from search_space.tile_grid import TileGrid

WIDTH_AXIS, FPN_AXIS = "width", "fpn_width"
ANCHOR_FREE = "anchor_free"
JOINT_HEAD: Params = {"branches": "joint", "box_channels": 32}
"""The head of a start that is too small for the objects at every width: it takes fewer multiply-adds."""
LEAST_CELLS_A_BOX = 0.5
"""Cells of the finest level that the median box spans at least, in points that are drawn at random: with fewer, one
cell holds several objects."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A named design as the search starts with it."""

    name: str
    candidate: Candidate
    note: str
    """How it was changed; empty if it was not."""


def starting_points(
    domain: CostedDomain, designs: Mapping[str, Architecture], *, wanted_side: int = 0
) -> tuple[list[Start], list[str]]:
    """Fits the named designs into the space and the budget.

    A design whose head is not in the space gets an anchor-free one, and `many` replaces an assignment that is not. A
    design over budget gets the largest input size at which it fits; if none fits, or only sizes below the wanted one,
    smaller widths as well, and then one joint tower in the head.

    Args:
        domain: The space and the budget.
        designs: By name.
        wanted_side: Side of the input in px at which a detector sees the objects; see `side_for`.

    Returns:
        The starts, each architecture once, and a notice for every design that was changed or left out.
    """
    starts: dict[str, Start] = {}
    notices: list[str] = []
    for name, design in designs.items():
        architecture, swaps = adapted(domain, design)
        start = fit(domain, name, architecture, wanted_side=wanted_side)
        if start is None:
            reason = domain.space.why_not(architecture) if not domain.space.contains(architecture) else None
            notices.append(f"{name} is left out: {reason or 'it does not fit the budget at any input size or width'}")
            continue
        changes = ", ".join(filter(None, (*swaps, start.note)))
        if changes:
            notices.append(f"the search starts with {name} {changes}")
        starts.setdefault(start.candidate.key, replace(start, note=changes))
    return list(starts.values()), notices


def adapted(domain: CostedDomain, design: Architecture) -> tuple[Architecture, tuple[str, ...]]:
    """Returns a design with a head, an assignment and tiles that are in the space, where it can have them, and the
    changes."""
    heads, changes = domain.space.axis("head").choices, []
    if design.head.kind not in heads and ANCHOR_FREE in heads:
        design = with_anchor_free_head(design)
        changes.append("with an anchor-free head")
    tiles = domain.space.tiles
    if design.tiles.name not in tiles:
        design = replace(design, tiles=TileGrid.of(tiles[0]))
        changes.append(f"in {tiles[0]} tiles" if design.tiles.count > 1 else "without tiles")
    if is_one_to_one(design.head) and DUAL not in domain.space.axis("assignment").choices:
        design = with_many(design)
        changes.append("with the assignment many")
    return design, tuple(changes)


def with_anchor_free_head(architecture: Architecture) -> Architecture:
    """Returns an architecture with the light anchor-free head, and with padding in all its extra stages."""
    head = architecture.head
    return replace(
        architecture,
        head=Head(finest_level=head.finest_level, coarsest_level=head.coarsest_level, class_branch="depthwise"),
        extras=tuple(replace(extra, pattern="S") for extra in architecture.extras),
    )


def with_many(architecture: Architecture) -> Architecture:
    """Returns an architecture with the same head, trained with the assignment `many`."""
    options = {name: value for name, value in architecture.head.options.items() if name != "assignment"}
    return replace(architecture, head=replace(architecture.head, options=Options(options)))


def side_for(boxes: BoxSizes) -> int:
    """Returns the least input side in px at which half of the boxes span two cells of P2, at most that of the images.

    A smaller input hides objects from every detector, so a design is made narrower rather than smaller.
    """
    seen = np.median(boxes.at(boxes.long_side_px)) / least_seen_px(LEVELS[0])
    return int(np.ceil(boxes.long_side_px / max(seen, 1.0)))


def least_cells(boxes: BoxSizes) -> float:
    """Returns how many cells a level has along its input where half of the boxes span `LEAST_CELLS_A_BOX` or more."""
    return LEAST_CELLS_A_BOX * boxes.long_side_px / float(np.median(boxes.at(boxes.long_side_px)))


def fit(domain: CostedDomain, name: str, architecture: Architecture, *, wanted_side: int = 0) -> Start | None:
    """Returns the design as it is, smaller, narrower, or also with a joint head; None if none of them fits.

    It is the first of these with an input of the wanted side; if there is none, the first one with the largest input.
    """
    wanted = min(wanted_side, max(architecture.input_hw))
    best: Start | None = None
    for scaled, change in _smaller(domain, architecture):
        candidate = _at_best_size(domain, scaled)
        if candidate is None or not candidate.feasible:
            continue
        side = candidate.architecture.input_hw[0]
        if best is None or side > best.candidate.architecture.input_hw[0]:
            note = f"at {side}x{side} px input" if candidate.architecture != architecture else ""
            note += f" with {change}" if change else ""
            best = Start(name=name, candidate=candidate, note=note and f"{note} to fit the budget")
        if side >= wanted:
            break
    return best


def _at_best_size(domain: CostedDomain, architecture: Architecture) -> Candidate | None:
    """Returns the architecture at its own input size or the largest smaller one at which it fits."""
    params = _some_size(domain, architecture)
    if params is None:
        return None
    found = fit_input(domain, params, lambda gmacs: len(gmacs) - 1, largest=max(architecture.input_hw))
    return None if found is None else domain.consider(found.params)


def _some_size(domain: CostedDomain, architecture: Architecture) -> Params | None:
    """Returns the point of the network at its own input size or the largest smaller one in the space."""
    sides = {int(choice) for name in INPUT_AXES for choice in domain.space.axis(name).choices}
    fitting = sorted((side for side in sides if side <= max(architecture.input_hw)), reverse=True)
    found = (_at_size(domain, architecture, side) for side in fitting)
    return next((params for params in found if params is not None), None)


def _at_size(domain: CostedDomain, architecture: Architecture, size: int) -> Params | None:
    """Returns the point of the network at another input size; None if the space does not have it."""
    try:
        return domain.space.encode(architecture.resized((size, size)))
    except SpaceError:
        return None


def _smaller(domain: CostedDomain, architecture: Architecture) -> Iterator[tuple[Architecture, str]]:
    """Yields the architecture, then the same at each smaller width, the widest first, then all with a joint head.

    The second of each pair says in words what was changed.
    """
    yield architecture, ""
    params = _some_size(domain, architecture)
    if params is None or WIDTH_AXIS not in params:
        return
    smaller = (float(choice) for choice in domain.space.axis(WIDTH_AXIS).choices)
    widths = sorted((width for width in smaller if width < float(params[WIDTH_AXIS])), reverse=True)
    narrower: list[tuple[str, Params]] = [
        (f"width {width:g}", {WIDTH_AXIS: width, **_narrower_fpn(domain, params, width)}) for width in widths
    ]
    tries: list[tuple[str, Params]] = [(note, {**params, **changed}) for note, changed in narrower]
    joint = _with_joint_head(domain, params)
    if joint is not None:
        tries.append(("a joint head", joint))
        tries += [(f"{note} and a joint head", {**joint, **changed}) for note, changed in narrower]
    for note, point in tries:
        candidate = domain.consider(point)
        if candidate is not None:
            yield candidate.architecture, note


def _with_joint_head(domain: CostedDomain, params: Params) -> Params | None:
    """Returns the point with one tower for boxes and classes; None where it has one, or the space has none."""
    if any(name not in params or choice not in domain.space.axis(name).choices for name, choice in JOINT_HEAD.items()):
        return None
    changed = domain.space.completed({**params, **JOINT_HEAD}, lambda axis: axis.choices[0])
    return None if changed == params else changed


def _narrower_fpn(domain: CostedDomain, params: Params, width: float) -> dict[str, int]:
    """Returns the choice for an FPN that is narrowed like the backbone; empty without an FPN."""
    if FPN_AXIS not in params:
        return {}
    widths = [int(choice) for choice in domain.space.axis(FPN_AXIS).choices]
    return {FPN_AXIS: max([each for each in widths if each <= width * int(params[FPN_AXIS])], default=min(widths))}
