"""What a search should look at, by the sizes of the boxes alone: an opinion with its numbers, and no measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.advice.levels import COARSEST, LEVELS, least_seen_px, num_served
from nas.advice.sizes import BoxSizes, box_sizes
from search_space import SearchSpace
from search_space.axis import Choice
from search_space.point.layout import COARSEST as COARSEST_SPAN
from search_space.point.layout import span
from trainers.data import Record

SIZE_AXIS, LEVEL_AXIS, P6_AXIS = "input_size", "head_levels", "p6"
SSD = "ssd"
FEW_SEEN, MOST_SEEN = 0.5, 0.9
"""Share of the boxes that the finest level should see at the smallest input, and at the largest."""
MAX_GAIN = 2.0
"""By how much an input may blow the images up: more cells on an object may help, but there is nothing more to see."""
LEAST_REASON = 0.02
"""Share of the boxes that a level must serve to have a reason."""
LEAST_SERVED = 0.9
"""Share of the boxes that the levels of a head must serve together at one of the input sizes."""
TILING_GAIN = 0.1
"""By how much the share of boxes too small to be seen must fall in windows for these to be advised."""

Narrowing = Mapping[str, tuple[Choice, ...]]


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One piece of advice."""

    topic: str
    """`input_size`, `head_levels`, `p6` or `tiling`."""
    flags: tuple[str, ...]
    """What to paste after a command, in words of the shell."""
    reason: str
    numbers: Mapping[str, Any]
    """What the reason rests on, unrounded."""
    choices: tuple[Choice, ...] = ()
    """What remains of the axis that the topic names; empty where it names none."""


@dataclass(frozen=True, kw_only=True)
class LevelReason:
    """How large a share of the boxes a level serves over the input sizes that are considered."""

    level: int
    least: float
    most: float
    reason: bool
    """Whether it serves enough at one of the sizes, or lies between levels that do."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """All that is advised for a data set and a space."""

    considered: tuple[int, ...]
    """Sizes of the input in px that the levels are judged at: the advised ones, or those that the user allows."""
    levels: tuple[LevelReason, ...]
    items: tuple[Recommendation, ...]

    @property
    def narrowing(self) -> dict[str, tuple[Choice, ...]]:
        """The axes of the space that the advice narrows."""
        return {item.topic: item.choices for item in self.items if item.choices}


def advise(records: Sequence[Record], narrowing: Narrowing | None = None) -> Advice:
    """Returns the advice for training images, and for what the user allows of the space.

    Axes in `narrowing` are left as they are, and the advice on the others takes them as given.

    Raises:
        DataError: there is no box.
    """
    given, sizes, space = narrowing or {}, box_sizes(records), SearchSpace()
    inputs = _advise_input(sizes, space, given)
    considered = tuple(map(int, given.get(SIZE_AXIS) or inputs.choices))
    levels = _level_reasons(sizes, considered)
    items = [] if SIZE_AXIS in given else [inputs]
    items += _advise_levels(sizes, space, given, considered, levels)
    items += _advise_tiling(sizes, considered)
    return Advice(considered=considered, levels=levels, items=tuple(items))


def flag(axis: str, choices: tuple[Choice, ...]) -> tuple[str, str]:
    """Returns the option of `nas run` that leaves these choices of an axis."""
    return "--fix" if len(choices) == 1 else "--choices", f"{axis}={','.join(map(str, choices))}"


def _advise_input(sizes: BoxSizes, space: SearchSpace, given: Narrowing) -> Recommendation:
    """Advises inputs up to where nine tenths of the boxes are seen, or the images are whole if that is more.

    The smallest is where half of the boxes are seen, and half of the largest at most, so that a tight budget has room.
    """
    finest = min((_span(each)[0] for each in given.get(LEVEL_AXIS, ())), default=LEVELS[0])
    choices = [int(choice) for choice in space.axis(SIZE_AXIS).choices]
    seen = {size: float((sizes.at(size) >= least_seen_px(finest)).mean()) for size in choices}
    native = sizes.long_side_px
    blown_up = max((size for size in choices if size <= MAX_GAIN * native), default=choices[0])
    wanted = max(_first(choices, lambda size: seen[size] >= MOST_SEEN), _first(choices, lambda size: size >= native))
    upper = min(wanted, blown_up)
    lower = _first(choices, lambda size: seen[size] >= FEW_SEEN or 2 * size >= upper)
    kept = tuple(size for size in choices if lower <= size <= upper)
    reason = (
        f"boxes of {least_seen_px(finest):g} px or more, two cells of P{finest}: {percent(seen[lower])} at {lower} px, "
        f"{percent(seen[upper])} at {upper} px; the images are {native} px long, and a larger input adds no detail"
    )
    numbers = {
        "finest_level": finest,
        "least_seen_px": least_seen_px(finest),
        "seen_at_smallest": seen[lower],
        "seen_at_largest": seen[upper],
        "image_long_side_px": native,
    }
    return Recommendation(topic=SIZE_AXIS, flags=flag(SIZE_AXIS, kept), choices=kept, reason=reason, numbers=numbers)


def _first(choices: Sequence[int], good: Callable[[int], bool]) -> int:
    """Returns the first of the rising choices that is good, or the last where none is."""
    return next((choice for choice in choices if good(choice)), choices[-1])


def _level_reasons(sizes: BoxSizes, considered: tuple[int, ...]) -> tuple[LevelReason, ...]:
    shares = {level: [share[level] for share in _shares(sizes, considered).values()] for level in LEVELS}
    enough = [level for level in LEVELS if max(shares[level]) >= LEAST_REASON]
    return tuple(
        LevelReason(level=level, least=min(each), most=max(each), reason=enough[0] <= level <= enough[-1])
        for level, each in shares.items()
    )


def _shares(sizes: BoxSizes, considered: tuple[int, ...]) -> dict[int, dict[int, float]]:
    """Returns by input size the share of the boxes that each level serves."""
    total = len(sizes.original)
    served = {size: num_served(sizes.at(size)) for size in considered}
    return {size: {level: count / total for level, count in counts.items()} for size, counts in served.items()}


def _advise_levels(
    sizes: BoxSizes,
    space: SearchSpace,
    given: Narrowing,
    considered: tuple[int, ...],
    levels: tuple[LevelReason, ...],
) -> list[Recommendation]:
    """Advises the spans of head levels that leave out what has no reason and still serve most of the boxes.

    Nothing is said of a search for SSD heads: theirs go on in stages after the backbone, which are no levels of it.
    """
    if SSD in given.get("head", ()):
        return []
    shares = _shares(sizes, considered)
    with_reason = [each.level for each in levels if each.reason]
    served = {
        str(span): max(_served_by(_span(span), share) for share in shares.values())
        for span in space.axis(LEVEL_AXIS).choices
        if with_reason[0] <= _span(span)[0] and _span(span)[1] <= with_reason[-1]
    }
    kept = tuple(span for span, share in served.items() if share >= LEAST_SERVED)
    without = [each for each in levels if not each.reason]
    items = []
    if LEVEL_AXIS not in given and 0 < len(kept) < len(space.axis(LEVEL_AXIS).choices):
        reason = "; ".join(
            (
                f"each serves {percent(LEAST_SERVED)} of the boxes or more at one of {_range(considered)} px",
                *(f"P{each.level}: {percent(each.most)} of the boxes at most, no reason for it" for each in without),
            )
        )
        numbers = {"served": {span: served[span] for span in kept}}
        items.append(
            Recommendation(topic=LEVEL_AXIS, flags=flag(LEVEL_AXIS, kept), choices=kept, reason=reason, numbers=numbers)
        )
    allowed = given.get(LEVEL_AXIS) or kept or space.axis(LEVEL_AXIS).choices
    coarsest = next(each for each in levels if each.level == COARSEST)
    if P6_AXIS not in given and not coarsest.reason and any(_span(span)[1] == COARSEST_SPAN for span in allowed):
        reason = f"P6: {percent(coarsest.most)} of the boxes at {_range(considered)} px at most, no reason for it"
        numbers = {"served": coarsest.most}
        items.append(
            Recommendation(topic=P6_AXIS, flags=flag(P6_AXIS, ("no",)), choices=("no",), reason=reason, numbers=numbers)
        )
    return items


def _span(choice: Choice) -> tuple[int, int]:
    return span({LEVEL_AXIS: choice})


def _served_by(levels: tuple[int, int], shares: Mapping[int, float]) -> float:
    """Returns the share that a span serves; P5 reads what P6 would, which most detectors do without."""
    finest, coarsest = levels
    return sum(share for level, share in shares.items() if finest <= min(level, COARSEST_SPAN) <= coarsest)


def _advise_tiling(sizes: BoxSizes, considered: tuple[int, ...]) -> list[Recommendation]:
    """Advises windows where the images shrink so much, in the middle one of the sizes, that these show more boxes."""
    side = considered[len(considered) // 2]
    least = least_seen_px(LEVELS[0])
    whole, windows = (float((each < least).mean()) for each in (sizes.at(side), sizes.original))
    if sizes.long_side_px <= side or whole - windows < TILING_GAIN:
        return []
    reason = (
        f"at {side} px {percent(whole)} of the boxes are under {least:g} px where the image is seen as a whole, "
        f"{percent(windows)} where it is seen in windows at its own scale"
    )
    return [
        Recommendation(
            topic="tiling",
            flags=("--tile-chance", "0.5", "--eval-tile"),
            reason=reason,
            numbers={"input_px": side, "under_whole": whole, "under_in_windows": windows, "limit_px": least},
        )
    ]


def _range(considered: tuple[int, ...]) -> str:
    first, last = min(considered), max(considered)
    return f"{first}" if first == last else f"{first} to {last}"


def percent(share: float) -> str:
    """Returns a share in percent with one digit."""
    return f"{100 * share:.1f} %"
