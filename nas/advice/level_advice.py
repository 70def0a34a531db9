"""Advise the pyramid levels of the head from the share of boxes that each level serves."""

from __future__ import annotations

from dataclasses import dataclass

from nas.advice.box_sizes import BoxSizes
from nas.advice.levels import LEVELS, num_served
from nas.advice.recommendation import LEVEL_AXIS, P6_AXIS, Narrowing, Recommendation, narrowed, percent, pixels
from search_space import SearchSpace
from search_space.axis import Choice
from search_space.point.layout import COARSEST as COARSEST_SPAN
from search_space.point.layout import span

LEAST_REASON = 0.02
"""Share of the boxes that a level must serve to be advised."""
LEAST_SERVED = 0.9
"""Share of the boxes that the levels of a head must serve together at some input size."""
SSD = "ssd"


@dataclass(frozen=True, kw_only=True)
class LevelReason:
    """The share of the boxes that a level serves over the considered input sizes."""

    level: int
    least: float
    most: float
    reason: bool
    """Whether it serves enough boxes at some size, or lies between levels that do."""


def level_reasons(sizes: BoxSizes, considered: tuple[int, ...]) -> tuple[LevelReason, ...]:
    """Returns the shares that each level serves at input sizes in px."""
    by_size = _shares(sizes, considered)
    shares = {level: [share[level] for share in by_size] for level in LEVELS}
    enough = [level for level in LEVELS if max(shares[level]) >= LEAST_REASON]
    return tuple(
        LevelReason(level=level, least=min(each), most=max(each), reason=enough[0] <= level <= enough[-1])
        for level, each in shares.items()
    )


def _shares(sizes: BoxSizes, considered: tuple[int, ...]) -> list[dict[int, float]]:
    """Returns, for each input size, the share of the boxes that each level serves."""
    served = [num_served(sizes.at(size)) for size in considered]
    return [{level: count / len(sizes.original) for level, count in counts.items()} for counts in served]


def advise_levels(
    sizes: BoxSizes, given: Narrowing, considered: tuple[int, ...], levels: tuple[LevelReason, ...]
) -> list[Recommendation]:
    """Advises the ranges of head levels that skip needless levels and still serve most of the boxes.

    SSD heads get no advice: their levels continue in stages after the backbone, which this axis does not describe.
    """
    if SSD in given.get("head", ()):
        return []
    known = SearchSpace().axis(LEVEL_AXIS).choices
    served = {choice: _served_by(choice, _shares(sizes, considered)) for choice in known}
    with_reason = [each.level for each in levels if each.reason]
    finest, coarsest = with_reason[0], with_reason[-1]
    kept = tuple(
        choice
        for choice, share in served.items()
        if share >= LEAST_SERVED and finest <= _span(choice)[0] and _span(choice)[1] <= coarsest
    )
    items = []
    if LEVEL_AXIS not in given and 0 < len(kept) < len(known):
        served_by_kept = {str(choice): served[choice] for choice in kept}
        items.append(narrowed(LEVEL_AXIS, kept, _why_levels(considered, levels), {"served": served_by_kept}))
    may_reach_p5 = any(_span(choice)[1] == COARSEST_SPAN for choice in given.get(LEVEL_AXIS) or kept or known)
    p6 = levels[-1]
    if P6_AXIS not in given and may_reach_p5 and not p6.reason:
        items.append(narrowed(P6_AXIS, ("no",), f"{_no_reason(p6)}, at {pixels(considered)}", {"served": p6.most}))
    return items


def _why_levels(considered: tuple[int, ...], levels: tuple[LevelReason, ...]) -> str:
    without = [_no_reason(each) for each in levels if not each.reason]
    serves = f"each serves {percent(LEAST_SERVED)} of the boxes or more at some size of {pixels(considered)}"
    return "; ".join((serves, *without))


def _no_reason(level: LevelReason) -> str:
    return f"P{level.level} serves {percent(level.most)} of the boxes at most and is not needed"


def _span(choice: Choice) -> tuple[int, int]:
    return span({LEVEL_AXIS: choice})


def _served_by(choice: Choice, by_size: list[dict[int, float]]) -> float:
    """Returns the largest share that a range of levels serves at any size; P5 also serves the boxes of P6."""
    finest, coarsest = _span(choice)
    return max(
        sum(share for level, share in shares.items() if finest <= min(level, COARSEST_SPAN) <= coarsest)
        for shares in by_size
    )
