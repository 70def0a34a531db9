"""One piece of advice, with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_space.axis import Choice

SIZE_AXIS, LEVEL_AXIS, P6_AXIS = "input_size", "head_levels", "p6"
"""The axes of the space that are advised on."""

Narrowing = Mapping[str, tuple[Choice, ...]]
"""The choices that remain, by axis."""


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


def narrowed(axis: str, kept: tuple[Choice, ...], reason: str, numbers: Mapping[str, Any]) -> Recommendation:
    """Returns the advice to leave these choices of an axis."""
    option = "--fix" if len(kept) == 1 else "--choices"
    flags = (option, f"{axis}={','.join(map(str, kept))}")
    return Recommendation(topic=axis, flags=flags, choices=kept, reason=reason, numbers=numbers)


def pixels(considered: tuple[int, ...]) -> str:
    """Returns input sizes as text, `320 px` or `256 to 448 px`."""
    first, last = min(considered), max(considered)
    return f"{first} px" if first == last else f"{first} to {last} px"


def percent(share: float) -> str:
    """Returns a share in percent with one digit."""
    return f"{100 * share:.1f} %"
