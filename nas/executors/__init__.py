"""The interface between the search and the training of its trials.

An `Evaluator` evaluates one job; an `Executor` decides where jobs are evaluated, and how many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from results.trial import Cause, Outcome, check_cause

if TYPE_CHECKING:
    from search_space import Architecture


class NothingUnderWay(RuntimeError):
    """Raised by `Executor.wait` where no job is under way."""


class StopTrial(Exception):
    """Raised by a `Report` to end a trial early; picklable.

    Args:
        cause: Why.
        keep: Whether the weights at this step are scored and written, although the training is not done.
    """

    def __init__(self, cause: Cause, keep: bool = False) -> None:
        super().__init__(cause, keep)
        self.cause, self.keep = cause, keep

    def __str__(self) -> str:
        return self.cause.text


@dataclass(frozen=True, kw_only=True)
class Donor:
    """The trained trial whose weights a job starts from."""

    number: int
    """The number of the trial."""
    weights: Path
    accuracy: float | None = None
    """What its weights scored on the validation images; None where that is unknown."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One architecture to evaluate."""

    number: int
    """The number of the trial."""
    architecture: Architecture
    seed: int
    weights_path: Path | None = None
    """Where the trained weights are written; None: nowhere."""
    rung: int = 0
    """Rung of the ladder; 0 is the cheapest."""
    epochs: float | None = None
    """Passes over the training images on this rung; None: those of the evaluator."""
    start_weights: Path | None = None
    """Weights of the rung below to start from; None: random weights."""
    pretrained: Path | None = None
    """Weights of another detector to start from where there are no `start_weights`."""
    val_images: int | None = None
    """How many of the validation images score it, evenly spaced; None: all."""
    is_reported: bool = False
    """Whether it is scored on the images that are held out as well."""
    donor: Donor | None = None
    """What fits of its weights is taken, where there are no `start_weights`; `pretrained` is then not used."""
    memory_bytes: int | None = None
    """Predicted peak activation memory of one image."""
    proxy: str | None = None
    """The zero-cost score to compute instead of training; it is returned as the score `proxy`."""

    def absolute(self) -> Job:
        """Returns the job with absolute paths, for workers with another working folder."""
        paths = {name: getattr(self, name) for name in ("weights_path", "start_weights", "pretrained")}
        donor = None if self.donor is None else replace(self.donor, weights=self.donor.weights.absolute())
        return replace(self, donor=donor, **{name: each.absolute() for name, each in paths.items() if each is not None})


@dataclass(frozen=True, kw_only=True)
class Step:
    """Progress of a job."""

    number: int
    """The number of the trial."""
    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of a job.

    Raises:
        ValueError: If the cause does not go with the outcome; see `results.trial.CAUSES`.
    """

    outcome: Outcome
    """Complete, stopped or failed."""
    cause: Cause | None = None
    """Why it was stopped or failed; None if it is complete."""
    reason: str = ""
    """Details for the user; empty where the cause needs none."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """`accuracy` and the APs, all in 0..1, or `proxy`; empty unless complete, or stopped by a `StopTrial` that keeps
    what there is."""
    epochs: float = 0.0
    images_seen: int = 0
    seconds: float = 0.0
    """Time in the evaluator, without waiting for a worker."""
    training_seconds: float | None = None
    """The part of `seconds` that was spent on training; the rest is spent on scores."""
    accuracy_draws: tuple[float, ...] = ()
    """The accuracy on bootstrap draws of the validation images, the same draws for all jobs."""
    peak_memory_bytes: int | None = None
    """Peak memory of the job; None where it cannot be measured."""
    pretrained_params: float | None = None
    """Share of the parameters that started from pretrained weights, in 0..1; None where there were none to start from.
    """
    pretrained_macs: float | None = None
    """Share of the multiply-adds whose weights started from pretrained ones, in 0..1."""
    inherited_macs: float | None = None
    """Share of the multiply-adds whose weights started from those of the donor, in 0..1; None without a donor."""
    images_in_all: int | None = None
    """The images that the weights have seen, in donors as well; the search fills it in."""
    peak_learning_rate: float | None = None
    """Of a training with a donor."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))  # a plug-in may give texts
        object.__setattr__(self, "cause", None if self.cause is None else Cause(self.cause))
        check_cause(self.outcome, self.cause)


Report = Callable[[Step], None]
"""Called after steps of training; may raise `StopTrial` or `KeyboardInterrupt`."""


class Evaluator(Protocol):
    """Evaluates one job in this process. An exception makes a failed trial.

    `report` is called after each step. It may raise `StopTrial`, which the evaluator turns into a stopped evaluation
    with the same cause; if it is to keep what there is, with scores.
    """

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Returns the result of the job."""


class EvaluatorFactory(Protocol):
    """Makes the evaluator of a worker process; picklable, of a class that the worker can import."""

    def make(self, worker: int) -> Evaluator:
        """Returns the evaluator of the worker with this index, from 0; called once a worker."""


class Executor(Protocol):
    """Runs up to `capacity` jobs at a time; a context manager that calls `close` at its end.

    How jobs end, with every executor:

    * An exception of the evaluator makes a failed evaluation with `Cause.EXCEPTION` and the exception as its reason.
    * `StopTrial` raised by the report ends the job whose step was reported, and no other.
    * A worker process that dies makes a failed evaluation with `Cause.WORKER_LOST`; it is replaced by another worker.
    * A job that runs out of memory is run again with nothing beside it. Only a second failure is returned, with
      `Cause.OUT_OF_MEMORY`.
    * A job that exceeds the time limit of a trial is killed with its worker, even if it hangs, and makes a failed
      evaluation with `Cause.TIME_LIMIT`. The start of the worker counts.
    * After Ctrl-C every job under way is returned as stopped with `Cause.INTERRUPTED`, and nothing is left running.
    """

    capacity: int

    def submit(self, job: Job) -> None:
        """Takes a job; never called while `capacity` jobs are under way."""

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end with its evaluation; calls `report` for steps of any job meanwhile.

        Raises:
            DataError: The data set cannot be used; all architectures would fail.
            WriteError: The weights cannot be written; all architectures would fail.
            NothingUnderWay: All jobs that were submitted have been returned.
        """

    def interrupt(self) -> None:
        """Ends the jobs under way after a Ctrl-C outside `wait`; a worker that hangs reports no step."""

    def close(self) -> None:
        """Ends all jobs and workers; may be called twice."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *_: object) -> None: ...
