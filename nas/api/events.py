"""What `nas.search` tells while it runs: one event for each thing that happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.config import RunConfig
    from nas.cost.profile import Profile
    from nas.engine.time_plan import TimePlan
    from nas.reports.finished_member import FinishedMember
    from results.trial import Origin, Trial


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The settings are resolved, and the run has its folder."""

    folder: Path
    config: RunConfig
    data_source: str
    """What the data is, in words."""
    profile: Profile | None
    """Of the device that latency is predicted for."""
    num_axes: int
    """Axes that are searched."""
    num_fixed_axes: int
    heads: tuple[str, ...]
    """Kinds of head that are searched."""
    num_starts: int
    """Architectures that the search begins with."""
    plan: TimePlan | None = None
    """How the time is divided, where members are trained on after the search."""
    measures_speed: bool = False
    """Whether the speed of training is measured first, and the rungs follow from it."""


@dataclass(frozen=True, kw_only=True)
class RunOpened:
    """The study is open and the search begins."""

    trials: tuple[Trial, ...]
    """Of earlier sessions of the run."""
    run_seconds: float


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """The training of a trial begins."""

    number: int
    origin: Origin
    """Where its point comes from."""
    rung: int
    num_rungs: int
    gmacs: float
    audit_of: int | None = None
    """The trial whose architecture it trains again from scratch, to check its score."""


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One step of a training is done."""

    number: int
    """Of the trial."""
    step: int
    num_steps: int
    loss: float
    run_seconds: float
    """Time spent on the run."""


@dataclass(frozen=True, kw_only=True)
class TrialFinished:
    """A trial has ended."""

    trial: Trial
    trials: tuple[Trial, ...]
    """All trials of the run that have ended, this one included."""
    run_seconds: float


@dataclass(frozen=True, kw_only=True)
class FinishStarted:
    """After the search, the training of a member of the front begins."""

    name: str
    """Its rank and its key."""
    rank: int
    num_members: int
    """That are trained on."""
    epochs: float | None
    """Of its schedule; None where an interrupted training is resumed."""


@dataclass(frozen=True, kw_only=True)
class FinishStep:
    """One step of the training of a member is done."""

    name: str
    step: int
    num_steps: int
    loss: float
    images_per_second: float | None
    """None at the first step."""
    seconds_left: float | None
    """Of this training."""


@dataclass(frozen=True, kw_only=True)
class FinishEnded:
    """A member is trained, evaluated and exported."""

    member: FinishedMember


FinishEvent = FinishStarted | FinishStep | FinishEnded
SearchEvent = RunStarted | RunOpened | TrialStarted | TrainingStep | TrialFinished | FinishEvent
OnSearchEvent = Callable[[SearchEvent], None]
