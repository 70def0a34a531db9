"""Where trials are evaluated: a small seam between the search and whatever trains.

An `Evaluator` knows how to evaluate one job; an `Executor` decides where and how many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from search_space import Architecture

INTERRUPTED = "interrupted"
"""The reason of a trial that ended because the run was interrupted."""


class StopTrial(Exception):
    """Raised by a `Report` to end a trial early; the message is the reason on record."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One architecture to evaluate."""

    number: int
    """The number of the trial."""
    architecture: Architecture
    seed: int
    weights_path: Path | None = None
    """Where the trained weights go; None when nobody wants them."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a job has come."""

    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What became of a job."""

    outcome: Literal["complete", "stopped", "failed"]
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    """`accuracy`, which is maximised, and the APs beside it, all in 0..1; empty unless complete."""
    epochs: float = 0.0
    images_seen: int = 0
    seconds: float = 0.0


Report = Callable[[Step], None]
"""Called after each step of training; may raise `StopTrial` or `KeyboardInterrupt`."""


class Evaluator(Protocol):
    """Evaluates one job in this process. It may raise: that is a failed trial."""

    def evaluate(self, job: Job, report: Report) -> Evaluation: ...


class Executor(Protocol):
    """Runs up to `capacity` jobs at a time."""

    capacity: int

    def submit(self, job: Job) -> None:
        """Takes a job; never called while `capacity` jobs are under way."""

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end, with what became of it."""
