"""Choices that the members of a front have in common."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

MIN_MEMBERS = 3
MIN_SHARE = 0.75
AXIS = "axis_"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A choice that most members of the front have."""

    axis: str
    choice: str
    num_agreeing: int
    num_members: int
    """Members in which the axis is active."""
    share_elsewhere: float
    """Share of the choice among all trained architectures in which the axis is active."""
    num_elsewhere: int


def shared(members: pd.DataFrame, trained: pd.DataFrame) -> list[Shared]:
    """Finds the choices of at least `MIN_SHARE` of the members that are less common among all trained architectures.

    Args:
        members: The front, of `MIN_MEMBERS` or more in which the axis is active.
        trained: All trials that were trained, the members among them; each architecture counts once.

    Returns:
        The choices, by the difference of the two shares, the largest first.
    """
    others = trained.drop_duplicates("key")
    found = []
    for column in (name for name in members.columns if str(name).startswith(AXIS)):
        chosen, everywhere = members[column].dropna(), others[column].dropna()
        if len(chosen) < MIN_MEMBERS:
            continue
        counts = chosen.value_counts()
        choice, agreeing = str(counts.index[0]), int(counts.iloc[0])
        elsewhere = float((everywhere == choice).mean())
        if agreeing / len(chosen) < MIN_SHARE or agreeing / len(chosen) <= elsewhere:
            continue
        found.append(
            Shared(
                axis=str(column).removeprefix(AXIS),
                choice=choice,
                num_agreeing=agreeing,
                num_members=len(chosen),
                share_elsewhere=elsewhere,
                num_elsewhere=len(everywhere),
            )
        )
    return sorted(found, key=lambda each: each.share_elsewhere - each.num_agreeing / each.num_members)
