"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fault"]
"""`note`: a limitation that does not affect everyone; `fault`: searches or trainings will not work."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: a row of the table."""

    name: str
    found: str
    state: State = "ok"
    advice: str = ""
    """What to do next; empty if the state is ok."""

    def __post_init__(self) -> None:
        assert (self.state == "ok") == (not self.advice), "a check has advice exactly if it is not ok"


def gib(num_bytes: float) -> str:
    """Returns a number of bytes in GiB."""
    return f"{num_bytes / 2**30:.1f} GiB"
