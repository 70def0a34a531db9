"""Advice on the search space from the sizes of the boxes alone. Nothing is trained or measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.advice.box_sizes import box_sizes
from nas.advice.input_advice import advise_input, advise_tiles, advise_tiling
from nas.advice.level_advice import LevelReason, advise_levels, level_reasons
from nas.advice.recommendation import SIZE_AXIS, Narrowing, Recommendation
from trainers.data import Record


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The advice for a data set and a search space."""

    considered: tuple[int, ...]
    """Input sizes in px for which levels are judged: the advised ones, or those that the user allows."""
    levels: tuple[LevelReason, ...]
    items: tuple[Recommendation, ...]


def advise(records: Sequence[Record], narrowing: Narrowing | None = None) -> Advice:
    """Returns the advice for training images within the part of the space that the user allows.

    Axes in `narrowing` are not advised on; the advice on other axes takes their choices as given.

    Raises:
        DataError: There are no boxes.
    """
    given, sizes = narrowing or {}, box_sizes(records)
    inputs = advise_input(sizes, given)
    considered = tuple(sorted(int(size) for size in given.get(SIZE_AXIS) or inputs.choices))
    levels = level_reasons(sizes, considered)
    items = [] if SIZE_AXIS in given else [inputs]
    items += advise_levels(sizes, given, considered, levels)
    items += [*advise_tiles(sizes, considered, given), *advise_tiling(sizes, considered)]
    return Advice(considered=considered, levels=levels, items=tuple(items))
