"""Where trials are evaluated: a small seam between the search and whatever trains.

An `Evaluator` knows how to evaluate one job; an `Executor` decides where and how many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from search_space import Architecture

INTERRUPTED = "interrupted"
"""The reason of a trial that ended because the run was interrupted."""
WORKER_LOST = "worker lost"
"""How the reason of a trial begins whose worker process died, for instance by `kill -9`."""
OUT_OF_MEMORY = "out of memory, also alone"
"""How the reason of a trial begins that ran out of memory twice, the second time with nothing beside it."""


TIME_LIMIT = "time limit of {minutes:g} minutes (--trial-minutes)"
"""The reason of a trial that was ended because it took longer than one may."""


class NothingUnderWay(RuntimeError):
    """Raised by `Executor.wait` where no job is under way."""


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
    rung: int = 0
    """Level of effort, counted from the cheapest."""
    epochs: float | None = None
    """Passes over the training images on this rung; None: the evaluator's own."""
    start_weights: Path | None = None
    """Weights file to go on from, that of the rung before; None: fresh weights."""
    memory_bytes: int | None = None
    """Predicted peak activation memory of one image."""
    proxy: str | None = None
    """The score without training to take instead of training; the score is `proxy` among the scores."""

    def absolute(self) -> Job:
        """Returns the job with absolute paths, for workers that run in another folder."""
        paths = {name: getattr(self, name) for name in ("weights_path", "start_weights")}
        return replace(self, **{name: path.absolute() for name, path in paths.items() if path is not None})


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a job has come."""

    number: int
    """The number of the trial."""
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
    """Time in the evaluator; without waiting for a worker."""
    accuracy_draws: tuple[float, ...] = ()
    """The accuracy on draws of the validation images with replacement, the same draws for all jobs."""
    peak_memory_bytes: int | None = None
    """The most memory that the job held at a time; None where it cannot be known."""


Report = Callable[[Step], None]
"""Called as training goes on; may raise `StopTrial` or `KeyboardInterrupt`."""


class Evaluator(Protocol):
    """Evaluates one job in this process. It may raise: that is a failed trial.

    `report` is called after each step. It may raise `StopTrial`, which the evaluator turns into a stopped evaluation.
    """

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Returns what became of the job."""


class EvaluatorFactory(Protocol):
    """Makes an evaluator inside a worker process: plain data that pickles, of a class that a worker can import."""

    def make(self, worker: int) -> Evaluator:
        """Returns the evaluator of the worker of this index, from 0; called once a worker."""


class Executor(Protocol):
    """Runs up to `capacity` jobs at a time; a context manager that ends by `close`.

    How jobs end, with every executor:

    * An exception of the evaluator makes a failed evaluation with the exception as its reason.
    * `StopTrial` out of the report ends the job whose step was reported, and no other one.
    * A worker process that dies makes a failed evaluation whose reason begins with `WORKER_LOST`; another worker takes
      its place.
    * A job that runs out of memory is run again with nothing beside it. Only a second failure is returned, with a
      reason that begins with `OUT_OF_MEMORY`.
    * A job that takes longer than the executor was told that one may is ended with its worker, hung or not, and makes
      a failed evaluation with the reason `TIME_LIMIT`. The start of a worker counts in.
    * After Ctrl-C every job under way comes back as stopped for the reason `INTERRUPTED`, and nothing is left running.
    """

    capacity: int

    def submit(self, job: Job) -> None:
        """Takes a job; never called while `capacity` jobs are under way."""

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end, with what became of it; calls `report` for steps of any job meanwhile.

        Raises:
            DataError: the data set is at fault, which no other architecture would put right.
            WriteError: the weights cannot be written, those of no architecture.
            NothingUnderWay: no job was submitted that was not returned.
        """

    def interrupt(self) -> None:
        """Ends what is under way after a Ctrl-C that came outside `wait`; a worker that hangs tells no step."""

    def close(self) -> None:
        """Ends whatever still runs; may be called twice."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *_: object) -> None: ...
