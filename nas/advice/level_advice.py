"""Which levels of the pyramid have a reason, and which spans of them a head needs."""

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
"""Share of the boxes that a level must serve to have a reason."""
LEAST_SERVED = 0.9
"""Share of the boxes that the levels of a head must serve together at one of the input sizes."""
SSD = "ssd"


@dataclass(frozen=True, kw_only=True)
class LevelReason:
    """How large a share of the boxes a level serves over the input sizes that are considered."""

    level: int
    least: float
    most: float
    reason: bool
    """Whether it serves enough at one of the sizes, or lies between levels that do."""


def level_reasons(sizes: BoxSizes, considered: tuple[int, ...]) -> tuple[LevelReason, ...]:
    """Returns for each level what it serves at the sizes of the input in px."""
    by_size = _shares(sizes, considered)
    shares = {level: [share[level] for share in by_size] for level in LEVELS}
    enough = [level for level in LEVELS if max(shares[level]) >= LEAST_REASON]
    return tuple(
        LevelReason(level=level, least=min(each), most=max(each), reason=enough[0] <= level <= enough[-1])
        for level, each in shares.items()
    )


def _shares(sizes: BoxSizes, considered: tuple[int, ...]) -> list[dict[int, float]]:
    """Returns the share of the boxes that each level serves, at one size of the input after the other."""
    served = [num_served(sizes.at(size)) for size in considered]
    return [{level: count / len(sizes.original) for level, count in counts.items()} for counts in served]


def advise_levels(
    sizes: BoxSizes, given: Narrowing, considered: tuple[int, ...], levels: tuple[LevelReason, ...]
) -> list[Recommendation]:
    """Advises the spans of head levels that leave out what has no reason and still serve most of the boxes.

    Nothing is said of a search for SSD heads: theirs go on in stages after the backbone, which are no levels of it.
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
    serves = f"at one of {pixels(considered)} each serves {percent(LEAST_SERVED)} of the boxes or more"
    return "; ".join((serves, *without))


def _no_reason(level: LevelReason) -> str:
    return f"P{level.level}: {percent(level.most)} of the boxes at most, no reason for it"


def _span(choice: Choice) -> tuple[int, int]:
    return span({LEVEL_AXIS: choice})


def _served_by(choice: Choice, by_size: list[dict[int, float]]) -> float:
    """Returns the largest share that a span serves at any size; its P5 has what P6 would, where a detector has none."""
    finest, coarsest = _span(choice)
    return max(
        sum(share for level, share in shares.items() if finest <= min(level, COARSEST_SPAN) <= coarsest)
        for shares in by_size
    )
