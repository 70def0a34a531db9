"""Why a search ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EndCause(Enum):
    """Why a search ends; see `SearchEnding`."""

    TRIALS_DONE = "trials_done"
    TIME_UP = "time_up"
    NO_TIME = "no_time"
    """The time left is too short for another trial."""
    NOTHING_NEW = "nothing_new"
    """The strategy has no new point within the budget."""
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class SearchEnding:
    """The end of a search: its cause, and the same in a few words for the user."""

    cause: EndCause
    text: str

    @property
    def is_interrupted(self) -> bool:
        """Whether it was ended by Ctrl-C or SIGTERM."""
        return self.cause is EndCause.INTERRUPTED

    def __str__(self) -> str:
        return self.text


TIME_UP = SearchEnding(cause=EndCause.TIME_UP, text="time is up")
NO_TIME = SearchEnding(cause=EndCause.NO_TIME, text="no time is left for another trial")
NOTHING_NEW = SearchEnding(cause=EndCause.NOTHING_NEW, text="no new point within the budget is left")
INTERRUPTED = SearchEnding(cause=EndCause.INTERRUPTED, text="interrupted")
