"""How the time of a run is divided between the search, the training of its best members, and their evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nas.config import RunConfig
from nas.engine.ending import EndCause
from search_space.errors import ConfigError
from search_space.files import read_bytes, write_text

PLAN_JSON = "plan.json"
PHASES = ("search", "finish", "evaluation")
SEARCH_SHARE, FINISH_SHARE = 0.35, 0.62
"""Of the time of a run with a finish; the rest is for evaluation and export."""
MAX_FINISH_EPOCHS = 100.0
"""What a member is trained for at most in a finish."""
MAX_BYTES = 100_000
OUT_OF_TIME = (EndCause.TIME_UP.value, EndCause.NO_TIME.value)
EXAMPLE = "--hours 1"


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """The seconds of each phase of a run."""

    search_seconds: float
    finish_seconds: float
    """For the training of all members."""
    evaluation_seconds: float
    """For the evaluation and the export of all members."""
    num_members: int

    @property
    def total_seconds(self) -> float:
        """Of all phases."""
        return math.fsum((self.search_seconds, self.finish_seconds, self.evaluation_seconds))

    @property
    def member_seconds(self) -> float:
        """For the training of one member."""
        return self.finish_seconds / self.num_members if self.num_members else 0.0

    @property
    def evaluation_share(self) -> float:
        """Of evaluation and export in the time after the search."""
        after = self.finish_seconds + self.evaluation_seconds
        return self.evaluation_seconds / after if after else 0.0


def plan_time(seconds: float, num_members: int) -> TimePlan:
    """Divides the time of a run.

    Args:
        seconds: of the whole run.
        num_members: that are trained on after the search; 0: all of the time is for the search.
    """
    if not num_members:
        return TimePlan(search_seconds=seconds, finish_seconds=0.0, evaluation_seconds=0.0, num_members=0)
    search, finish = SEARCH_SHARE * seconds, FINISH_SHARE * seconds
    return TimePlan(
        search_seconds=search,
        finish_seconds=finish,
        evaluation_seconds=seconds - search - finish,
        num_members=num_members,
    )


@dataclass(frozen=True, kw_only=True)
class TimeRecord:
    """The plan of a run and what its phases took, as `plan.json` has it."""

    plan: TimePlan
    actual: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Seconds by phase; the search is missing until it has ended, the others until they have begun."""
    search_ended_by: str | None = None
    """The value of an `EndCause`."""

    @property
    def seconds_left(self) -> float:
        """What is left of the whole time; below 0 where phases took longer than planned."""
        return self.plan.total_seconds - math.fsum(self.actual.values())

    def is_search_over(self, plan: TimePlan) -> bool:
        """Whether the search has used up its part of the time, also by a new plan."""
        spent = max(self.plan.search_seconds, self.actual.get("search", 0.0))
        return self.search_ended_by in OUT_OF_TIME and plan.search_seconds <= spent

    def with_spent(self, phase: str, seconds: float) -> TimeRecord:
        """Returns a record in which a phase took so many seconds more."""
        return replace(self, actual={**self.actual, phase: self.actual.get(phase, 0.0) + seconds})

    def with_search(self, seconds: float, cause: EndCause) -> TimeRecord:
        """Returns a record in which the search has ended, after so many seconds in all."""
        return replace(self, actual={**self.actual, "search": seconds}, search_ended_by=cause.value)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data; seconds of a phase that has not ended or begun are None."""
        plan = self.plan
        planned = (plan.search_seconds, plan.finish_seconds, plan.evaluation_seconds)
        return {
            "num_members": plan.num_members,
            "planned_seconds": {name: round(each, 3) for name, each in zip(PHASES, planned, strict=True)},
            "actual_seconds": {name: _rounded(self.actual.get(name)) for name in PHASES},
            "search_ended_by": self.search_ended_by,
        }

    def write(self, folder: Path) -> None:
        """Writes `plan.json` of a run; raises WriteError."""
        write_text(folder / PLAN_JSON, json.dumps(self.to_dict(), indent=2) + "\n")


def read_record(folder: Path) -> TimeRecord | None:
    """Reads `plan.json` of a run; None where there is none that can be read."""
    try:
        content = json.loads(read_bytes(folder / PLAN_JSON, MAX_BYTES))
        planned, actual = content["planned_seconds"], content["actual_seconds"]
        plan = TimePlan(
            **{f"{name}_seconds": _seconds(planned[name]) for name in PHASES}, num_members=int(content["num_members"])
        )
        spent = {name: _seconds(actual[name]) for name in PHASES if actual[name] is not None}
        cause = content["search_ended_by"]
        return TimeRecord(plan=plan, actual=spent, search_ended_by=None if cause is None else EndCause(cause).value)
    except (OSError, OverflowError, ValueError, TypeError, KeyError, RecursionError):
        return None


def plan_of(config: RunConfig) -> TimePlan | None:
    """Returns the plan of a run; None where no member is trained on or the run has no limit of time."""
    return plan_time(60 * config.minutes, config.finish) if config.finish and config.minutes else None


def search_minutes(config: RunConfig, folder: Path) -> float | None:
    """Returns the minutes that the search of a run may take, earlier sessions included; None: no limit.

    Args:
        config: of the run.
        folder: of the run, whose `plan.json` says whether the search has used up its part.
    """
    plan, record = plan_of(config), read_record(folder)
    if plan is None:
        return config.minutes
    return 0.0 if record is not None and record.is_search_over(plan) else plan.search_seconds / 60


def check_finish(config: RunConfig) -> None:
    """Raises ConfigError for a run that trains members on and has no limit of time."""
    if config.finish and config.minutes is None:
        raise ConfigError(
            f"--finish {config.finish} needs a limit of time, of which it gets a part; --trials alone is none; "
            f"next: {EXAMPLE}, with or without --trials, or drop --finish"
        )


def _seconds(value: Any) -> float:
    """Returns seconds from a file; raises ValueError unless they are a number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"not a number of seconds: {value!r}")
    return float(value)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds), 3)
