"""A trial of a search as data: what was to be trained, what became of it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Outcome(str, Enum):
    """What became of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    """Trained and scored on the last rung."""
    STOPPED = "stopped"
    """Ended before the last rung was done."""
    REJECTED = "rejected"
    """Not trained, because it may not or need not be."""
    CACHED = "cached"
    """Not trained, because the result was known."""
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


class Cause(str, Enum):
    """Why a trial ended as it did; every outcome but `running` and `complete` has one."""

    RUNG_DONE = "rung_done"
    """Trained and scored on a rung below the last."""
    INTERRUPTED = "interrupted"
    """The run was interrupted or killed."""
    TIME_UP = "time_up"
    """The time of the run was used up."""
    TIME_LIMIT = "time_limit"
    """The trial took longer than one trial may."""
    WORKER_LOST = "worker_lost"
    """The process that trained it died."""
    OUT_OF_MEMORY = "out_of_memory"
    """It ran out of memory twice, the second time with nothing running beside it."""
    NOT_FINITE = "not_finite"
    """Its loss or its score is not a finite number."""
    EXCEPTION = "exception"
    """The evaluation raised an exception."""
    OVER_BUDGET = "over_budget"
    WITHDRAWN = "withdrawn"
    """Another worker trains the same."""
    SAME_AS = "same_as"
    """An earlier trial of the run evaluated the same."""
    IMPORTED = "imported"
    """Taken over from an earlier run."""

    def __str__(self) -> str:
        return self.value

    @property
    def text(self) -> str:
        """The cause in words, for a trial with no more to say."""
        return self.value.replace("_", " ")


CAUSES: Mapping[Outcome, frozenset[Cause | None]] = MappingProxyType(
    {
        Outcome.RUNNING: frozenset({None}),
        Outcome.COMPLETE: frozenset({None}),
        Outcome.STOPPED: frozenset({Cause.RUNG_DONE, Cause.INTERRUPTED, Cause.TIME_UP}),
        Outcome.REJECTED: frozenset({Cause.OVER_BUDGET, Cause.WITHDRAWN}),
        Outcome.CACHED: frozenset({Cause.SAME_AS, Cause.IMPORTED}),
        Outcome.FAILED: frozenset(
            {
                Cause.INTERRUPTED,
                Cause.TIME_LIMIT,
                Cause.WORKER_LOST,
                Cause.OUT_OF_MEMORY,
                Cause.NOT_FINITE,
                Cause.EXCEPTION,
            }
        ),
    }
)
"""The causes that go with each outcome."""
HELD_OUT = ("accuracy", "accuracy_low", "accuracy_high", "ap", "ap50", "ap_small")
"""The scores of a trial that is reported on images that are held out; they are called `held_out_...`."""
LOST = frozenset({Cause.INTERRUPTED, Cause.TIME_UP, Cause.WORKER_LOST})
"""The causes that say nothing about the architecture: such a trial is tried again."""
EVALUATED = frozenset({Outcome.COMPLETE, Outcome.STOPPED, Outcome.CACHED})
"""The outcomes with which a trial may have a score."""


def check_cause(outcome: Outcome, cause: Cause | None) -> None:
    """Raises ValueError where a cause does not go with an outcome."""
    if cause not in CAUSES[outcome]:
        allowed = ", ".join(sorted(str(each) for each in CAUSES[outcome]))
        raise ValueError(f"a trial cannot be {outcome} with the cause {cause}; allowed: {allowed}")


@dataclass(frozen=True)
class Origin:
    """Where the point of a trial comes from, such as `crossover` or `design yolov8n-p2`."""

    kind: str
    """`design` for an architecture that the run starts from, else the strategy's own word."""
    name: str = ""
    """Of the design."""

    DESIGN = "design"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Inverse of `str`."""
        kind, _, name = text.partition(" ")
        return cls(kind, name) if kind and name else cls(text)

    @property
    def is_design(self) -> bool:
        """Whether the run started from it."""
        return self.kind == self.DESIGN

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One architecture on one rung: the specification first, then the result.

    Units are in the names; `results.records.COLUMNS` says more about the figures.
    """

    number: int
    key: str
    """Of the architecture."""
    origin: Origin
    rung: int
    """0 is the score without training."""
    rungs: int
    """How many rungs of training the run has."""
    training_seed: int = 0
    donor: int | None = None
    """The trial whose weights it started from; None: none, or the run has no inheritance."""
    promoted_from: int | None = None
    """The trial of the same architecture one rung below."""
    retry_of: int | None = None
    """The interrupted trial that this one repeats."""
    attempt: int = 1
    repeat_of: int | None = None
    """The member of the front that this one trains again with another seed."""
    imported_from: str | None = None
    """The trial of an earlier run that this one repeats without training."""
    worker: str = ""
    objectives: tuple[str, ...] = ()
    """The columns that the run searched by."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """The choice on each active axis as text; axes with one choice may be left out."""
    input_height: int
    input_width: int
    levels: tuple[str, ...]
    """Of the head, the finest first, such as `P2`."""
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int
    memory_bytes: int
    latency_ms: float | None = None
    """Predicted for the run's device; None where it has none."""
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    latency_unsupported_share: float | None = None

    outcome: Outcome = Outcome.RUNNING
    cause: Cause | None = None
    reason: str = ""
    """The cause and its details in prose, for the user to read; nothing is decided by it."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """By column: `proxy`, `accuracy` and its interval, the APs."""
    epochs: float | None = None
    images_seen: int | None = None
    seconds: float | None = None
    training_seconds: float | None = None
    """The part of `seconds` that was spent on training."""
    peak_memory_bytes: int | None = None
    pretrained_params: float | None = None
    """Share of the parameters that started from pretrained weights; None where it did not start from any."""
    pretrained_macs: float | None = None
    """Share of the multiply-adds whose weights started from pretrained ones."""
    inherited_macs: float | None = None
    """Share of the multiply-adds whose weights started from those of the donor; None without a donor."""
    images_in_all: int | None = None
    """Images that its weights have seen, in its donors as well; None where the run has no inheritance."""
    peak_learning_rate: float | None = None
    """Of the training; None without a donor."""
    accuracy_draws: tuple[float, ...] = ()
    """The accuracy on bootstrap draws of the validation images."""

    def __post_init__(self) -> None:
        check_cause(self.outcome, self.cause)

    @property
    def accuracy(self) -> float | None:
        """None where it was not measured."""
        return self.scores.get("accuracy")

    @property
    def rung_score(self) -> float | None:
        """The score that trials of one rung are compared by: the accuracy, on rung 0 the proxy."""
        return self.scores.get("accuracy" if self.rung else "proxy")

    def value(self, column: str) -> float | None:
        """Returns a score or a cost by the name of its column; None where it is unknown."""
        found = self.scores.get(column, getattr(self, column, None))
        return None if found is None else float(found)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.outcome is Outcome.RUNNING

    @property
    def is_cut_short(self) -> bool:
        """Whether the time was up before its rung was done, and it was scored for want of anything else."""
        return self.cause is Cause.TIME_UP and bool(self.scores)

    @property
    def is_evaluated(self) -> bool:
        """Whether it has a result on its rung."""
        has_score = not {"accuracy", "proxy"}.isdisjoint(self.scores)
        return self.outcome in EVALUATED and has_score and not self.is_cut_short

    @property
    def is_promotable(self) -> bool:
        """Whether it may go on to the next rung: it has the score of its rung and does not repeat another training."""
        return self.rung_score is not None and self.repeat_of is None and not self.is_cut_short

    @property
    def stage(self) -> str:
        """How far its training came, such as `rung 1 of 2` or `part of rung 1 of 2`; empty where it is complete."""
        if self.is_cut_short:
            return f"part of rung {self.rung} of {self.rungs}"
        return f"rung {self.rung} of {self.rungs}" if self.rung < self.rungs else ""

    @property
    def is_lost(self) -> bool:
        """Whether it was cut short by an interrupt, the end of the time or the death of its worker."""
        return self.cause in LOST

    @property
    def is_ended(self) -> bool:
        """Whether it was trained, or failed by itself: it counts against a limit on trials."""
        if self.outcome is Outcome.FAILED:
            return not self.is_lost
        return self.outcome is not Outcome.CACHED and self.is_evaluated
