"""The default starts of a search with a limit on latency: the named designs that are predicted fastest on its board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nas.cost import cost_of
from nas.engine.domain import CostedDomain
from nas.engine.starts import adapted, fit
from search_space import DESIGNS, Architecture
from search_space.designs.references import REFERENCES
from search_space.errors import SpaceError

LEAST_SIDE, SIDE_STEP = 128, 64
"""Of the input in px at which designs are compared: every network takes these sizes."""


MAX_TRIED = 20
"""How many designs are scaled to the budget at most: each takes up to a second where it does not fit."""


@dataclass(frozen=True, kw_only=True)
class FastDesign:
    """A named design with its predicted latency at the input at which the designs are compared."""

    name: str
    sources: frozenset[str]
    """The paper of a design, and the family of a scale of YOLO."""
    architecture: Architecture
    latency_ms: float


def fastest_starts(domain: CostedDomain, *, count: int, wanted_side: int) -> tuple[tuple[str, ...], str]:
    """Chooses the named designs that are predicted fastest, among those that fit the budget as they are or scaled.

    All are compared at one input size, because each could be made as fast as another by a smaller input. The fastest of
    each paper comes first: variants of one design say little about the space.

    Args:
        domain: The space, the budget and the board.
        count: How many designs are wanted.
        wanted_side: Side of the input in px at which a detector sees the objects; see `nas.engine.starts.side_for`.

    Returns:
        The names and a notice; there are fewer names, or none, where no other design fits.
    """
    side = max(LEAST_SIDE, -(-wanted_side // SIDE_STEP) * SIDE_STEP)
    chosen: list[FastDesign] = []
    keys: set[str] = set()
    for design in _in_order(_timed(domain, side))[:MAX_TRIED]:
        start = fit(domain, design.name, design.architecture, wanted_side=wanted_side)
        if start is not None and start.candidate.key not in keys:
            chosen.append(design)
            keys.add(start.candidate.key)
        if len(chosen) == count:
            break
    listed = ", ".join(f"{each.name} {each.latency_ms:.3g} ms" for each in chosen)
    notice = (
        "with a limit on latency the search starts with the designs that are predicted fastest, the fastest of each "
        f"paper first ({listed} at {side}x{side} px input); --start replaces them"
    )
    return tuple(each.name for each in chosen), notice


def _in_order(designs: Iterable[FastDesign]) -> list[FastDesign]:
    """Returns the designs with the fastest of each source first, then the others; both by their latency."""
    first: list[FastDesign] = []
    others: list[FastDesign] = []
    sources: frozenset[str] = frozenset()
    for design in sorted(designs, key=lambda each: (each.latency_ms, each.name)):
        (others if design.sources & sources else first).append(design)
        sources |= design.sources
    return first + others


def _timed(domain: CostedDomain, side: int) -> Iterator[FastDesign]:
    """Yields every named design whose head is in the space, with its predicted latency at an input size.

    Designs that a search starts with only by name are left out; see `Design.by_name`.

    Raises:
        ValueError: The domain has no board.
    """
    if domain.device is None:
        raise ValueError("the domain has no board, so nothing predicts a latency")
    heads = domain.space.axis("head").choices
    for name in dict.fromkeys((*DESIGNS, *REFERENCES)):
        if name in DESIGNS and DESIGNS.get(name).by_name:
            continue
        design = DESIGNS.get(name).architecture if name in DESIGNS else REFERENCES[name]
        architecture, _ = adapted(domain, design)
        if architecture.head.kind not in heads:
            continue
        try:
            cost = cost_of(architecture, num_classes=domain.num_classes, input_hw=(side, side), device=domain.device)
        except SpaceError:  # no network at this input size
            continue
        if cost.latency is not None:
            ms = cost.latency.latency_ms
            yield FastDesign(name=name, sources=_sources(name), architecture=architecture, latency_ms=ms)


def _sources(name: str) -> frozenset[str]:
    """Returns the paper of a design and the family of a scale, such as `yolo11`; `yolov8n` has both."""
    paper = {DESIGNS.get(name).citation} if name in DESIGNS else set()
    return frozenset(paper | ({name[:-1]} if name in REFERENCES else set()))
