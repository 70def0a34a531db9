"""Advise input sizes that fit the boxes, and tiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nas.advice.box_sizes import BoxSizes
from nas.advice.levels import LEVELS, least_seen_px
from nas.advice.recommendation import LEVEL_AXIS, SIZE_AXIS, TILES_AXIS, Narrowing, Recommendation, narrowed, percent
from search_space import SearchSpace
from search_space.point.layout import span
from search_space.point.tiles import grids_for

FEW_SEEN, MOST_SEEN = 0.5, 0.9
"""Share of boxes that the finest level should see at the smallest and at the largest input size."""
MAX_GAIN = 2.0
"""Largest upscaling of images: more cells per object may help, but upscaling adds no detail."""
TILING_GAIN = 0.1
"""Tiling is advised if it lowers the share of boxes too small to be seen by at least this much."""


def advise_input(sizes: BoxSizes, given: Narrowing) -> Recommendation:
    """Advises a range of input sizes.

    The largest is where 90 % of the boxes are seen, or the size of the images if that is larger. The smallest is where
    50 % of the boxes are seen, but at most half of the largest, so that a tight budget has room.
    """
    finest = min((span({LEVEL_AXIS: each})[0] for each in given.get(LEVEL_AXIS, ())), default=LEVELS[0])
    choices = [int(choice) for choice in SearchSpace().axis(SIZE_AXIS).choices]
    seen = {size: float((sizes.at(size) >= least_seen_px(finest)).mean()) for size in choices}
    native = sizes.long_side_px
    blown_up = max((size for size in choices if size <= MAX_GAIN * native), default=choices[0])
    wanted = max(_first(choices, lambda size: seen[size] >= MOST_SEEN), _first(choices, lambda size: size >= native))
    upper = min(wanted, blown_up)
    lower = _first(choices, lambda size: seen[size] >= FEW_SEEN or 2 * size >= upper)
    kept = tuple(size for size in choices if lower <= size <= upper)
    reason = (
        f"boxes of {least_seen_px(finest):g} px or more, two cells of P{finest}: {percent(seen[lower])} at {lower} px, "
        f"{percent(seen[upper])} at {upper} px; the images are {native} px long, a larger input adds no detail"
    )
    numbers = {
        "finest_level": finest,
        "least_seen_px": least_seen_px(finest),
        "seen_at_smallest": seen[lower],
        "seen_at_largest": seen[upper],
        "image_long_side_px": native,
    }
    return narrowed(SIZE_AXIS, kept, reason, numbers)


def _first(choices: Sequence[int], good: Callable[[int], bool]) -> int:
    """Returns the first choice that is good, or the last choice if none is."""
    return next((choice for choice in choices if good(choice)), choices[-1])


def advise_tiles(sizes: BoxSizes, considered: tuple[int, ...], given: Narrowing) -> list[Recommendation]:
    """Advises a search with tiles as a choice, where `advise_tiling` advises a training on tiles.

    It names no choices to keep, so `nas run --auto` does not follow it: tiles change what all costs are of.
    """
    if TILES_AXIS in given or not (tiling := advise_tiling(sizes, considered)):
        return []
    height, width = sizes.usual_hw
    reason = (
        f"{tiling[0].reason}; a search for frames of {width}x{height} px, which most images have, chooses between the "
        f"tiles {', '.join(grids_for(sizes.usual_hw))}; each is a pass of the network in all costs"
    )
    flags = ("--frame", str(height), str(width))
    return [Recommendation(topic=TILES_AXIS, flags=flags, reason=reason, numbers=tiling[0].numbers)]


def advise_tiling(sizes: BoxSizes, considered: tuple[int, ...]) -> list[Recommendation]:
    """Advises tiling if the images are larger than any considered input and tiles make enough more boxes visible.

    The gain is computed for the middle one of the considered sizes.
    """
    side = considered[len(considered) // 2]
    least = least_seen_px(LEVELS[0])
    whole, windows = (float((each < least).mean()) for each in (sizes.at(side), sizes.original))
    if sizes.long_side_px <= considered[-1] or whole - windows < TILING_GAIN:
        return []
    reason = (
        f"at {side} px {percent(whole)} of the boxes are under {least:g} px if the whole image is scaled down, "
        f"{percent(windows)} if it is cut into tiles at its own scale"
    )
    return [
        Recommendation(
            topic="tiling",
            flags=("--tile-chance", "0.5", "--eval-tile"),
            reason=reason,
            numbers={"input_px": side, "under_whole": whole, "under_in_windows": windows, "limit_px": least},
        )
    ]
