"""What a tracker is told of a run or a training, and what it has to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = "str | int | float | bool"


class TrackedEnding(str, Enum):
    """How a session of a run or a training, or a trial, ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A search or a training that is tracked."""

    folder: Path
    """Of the search or the training."""
    name: str
    is_search: bool
    """Whether it has parts."""
    settings: Mapping[str, Any]
    """Plain data by name, maybe nested."""
    tracked_id: str | None = None
    """What `Tracker.start` returned in the first session; None: there was none."""


@dataclass(frozen=True, kw_only=True)
class TrackedPart:
    """A trial of a search, or a member of its front that was trained on."""

    name: str
    number: int
    params: Mapping[str, Value]
    """What it was made by: its axes."""
    metrics: Mapping[str, float]
    notes: Mapping[str, str]
    ending: TrackedEnding


class Tracker(Protocol):
    """Writes what happens into a program for experiments. It is made in the main thread and used in another one."""

    step_interval: int | None
    """Steps of a training between the losses that it takes; None: it takes the rows of the history."""

    def start(self, run: TrackedRun) -> str:
        """Begins to track with the settings, or continues what was begun; returns its id, empty where it has none."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Writes numbers of a step, which are finite."""

    def log_part(self, part: TrackedPart) -> None:
        """Writes a trial that has ended, or a member that was trained on."""

    def log_results(self, results: Mapping[str, Value]) -> None:
        """Writes what is known at the end."""

    def close(self, ending: TrackedEnding) -> None:
        """Ends the session, so that all is written."""


def flat(settings: Mapping[str, Any], parent: str = "") -> Iterator[tuple[str, Value]]:
    """Yields settings as single values by dotted names: lists as text, None left out."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{parent}{name}.")
        elif value is not None:
            plain = isinstance(value, (str, int, float, bool))
            yield f"{parent}{name}", value if plain else ", ".join(map(str, value))


def is_number(value: Value) -> bool:
    """Returns whether a value is a number and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
