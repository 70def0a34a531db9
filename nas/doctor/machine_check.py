"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fault"]
"""`note`: something that works less well or not at all, and that not everybody needs; `fault`: the main job suffers."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    name: str
    found: str
    state: State = "ok"
    advice: str = ""
    """What to do next; empty where all is well."""

    def __post_init__(self) -> None:
        assert (self.state == "ok") == (not self.advice), "what is not well, and only that, has advice"


def gib(num_bytes: float) -> str:
    """Returns a number of bytes in GiB."""
    return f"{num_bytes / 2**30:.1f} GiB"
