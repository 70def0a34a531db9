"""One piece of advice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_space.axis import Choice

SIZE_AXIS, LEVEL_AXIS, P6_AXIS, TILES_AXIS = "input_size", "head_levels", "p6", "tiles"
"""Axes of the search space with advice."""

Narrowing = Mapping[str, tuple[Choice, ...]]
"""Allowed choices by axis."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One piece of advice."""

    topic: str
    """`input_size`, `head_levels`, `p6`, `tiles` or `tiling`."""
    flags: tuple[str, ...]
    """Arguments to append to a command."""
    reason: str
    numbers: Mapping[str, Any]
    """The figures behind the reason, unrounded."""
    choices: tuple[Choice, ...] = ()
    """Allowed choices of the axis named by the topic; empty if it names none."""


def narrowed(axis: str, kept: tuple[Choice, ...], reason: str, numbers: Mapping[str, Any]) -> Recommendation:
    """Returns the advice to keep only these choices of an axis."""
    option = "--fix" if len(kept) == 1 else "--choices"
    flags = (option, f"{axis}={','.join(map(str, kept))}")
    return Recommendation(topic=axis, flags=flags, choices=kept, reason=reason, numbers=numbers)


def pixels(considered: tuple[int, ...]) -> str:
    """Returns input sizes as text, `320 px` or `256 to 448 px`."""
    first, last = min(considered), max(considered)
    return f"{first} px" if first == last else f"{first} to {last} px"


def percent(share: float) -> str:
    """Returns a share in percent with one decimal."""
    return f"{100 * share:.1f} %"
