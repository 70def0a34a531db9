"""What a search should look at, by the sizes of the boxes alone: an opinion with its numbers, and no measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.advice.box_sizes import box_sizes
from nas.advice.input_advice import advise_input, advise_tiling
from nas.advice.level_advice import LevelReason, advise_levels, level_reasons
from nas.advice.recommendation import SIZE_AXIS, Narrowing, Recommendation
from trainers.data import Record


@dataclass(frozen=True, kw_only=True)
class Advice:
    """All that is advised for a data set and a space."""

    considered: tuple[int, ...]
    """Sizes of the input in px that the levels are judged at: the advised ones, or those that the user allows."""
    levels: tuple[LevelReason, ...]
    items: tuple[Recommendation, ...]


def advise(records: Sequence[Record], narrowing: Narrowing | None = None) -> Advice:
    """Returns the advice for training images, and for what the user allows of the space.

    Axes in `narrowing` are left as they are, and the advice on the others takes them as given.

    Raises:
        DataError: there is no box.
    """
    given, sizes = narrowing or {}, box_sizes(records)
    inputs = advise_input(sizes, given)
    considered = tuple(sorted(int(size) for size in given.get(SIZE_AXIS) or inputs.choices))
    levels = level_reasons(sizes, considered)
    items = [] if SIZE_AXIS in given else [inputs]
    items += advise_levels(sizes, given, considered, levels)
    items += advise_tiling(sizes, considered)
    return Advice(considered=considered, levels=levels, items=tuple(items))
