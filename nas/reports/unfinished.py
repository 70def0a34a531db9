"""A front of a lower rung: how far its members were trained, and what more time would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.config import RunConfig
from nas.engine.ladder import Ladder
from results.trial import Trial


@dataclass(frozen=True, kw_only=True)
class UnfinishedFront:
    """The front of a run in which no trial has reached the last rung."""

    stage: str
    """How far its members came, such as `rung 1 of 2` or `part of rung 1 of 2`."""
    rung: int
    rungs: int
    epochs: float
    """Of the member that was trained the longest."""
    last_epochs: float
    """What a member has at the end of the last rung."""
    num_members: int
    seconds_an_epoch: float | None
    """Mean over the members, their evaluation included; None where none of them was trained in this run."""
    seconds_for_first: float | None
    """Until the most accurate member has done the last rung."""
    seconds_for_all: float | None

    def line(self, again: str) -> str:
        """Says all this in one line.

        Args:
            again: The command that goes on with the run.
        """
        members = "1 member" if self.num_members == 1 else f"{self.num_members} members"
        head = (
            f"no trial reached the last rung: the front has {members} after {self.stage} ({self.epochs:.2g} of "
            f"{self.last_epochs:g} epochs)"
        )
        if self.seconds_for_first is None or self.seconds_for_all is None:
            return f"{head}; next: {again}"
        more = f"about {_duration(self.seconds_for_first)} more bring the first to the end of the last rung"
        more += "" if self.num_members == 1 else f", {_duration(self.seconds_for_all)} all of them"
        return f"{head}; {more} (measured: {_duration(self.seconds_an_epoch or 0.0)} an epoch); next: {again}"


def unfinished_front(members: Sequence[Trial], config: RunConfig) -> UnfinishedFront | None:
    """Returns what is missing of the front of a run; None for an empty front or one of the last rung.

    Args:
        members: Of the front, the most accurate first.
        config: Of the run.
    """
    if not members or not members[0].stage:
        return None
    ladder = Ladder(epochs=config.rungs, proxy=config.proxy)
    rates = [rate for rate in (_seconds_an_epoch(member, ladder) for member in members) if rate is not None]
    mean = sum(rates) / len(rates) if rates else None
    left = [
        None if mean is None else _epochs_left(member, ladder) * (_seconds_an_epoch(member, ladder) or mean)
        for member in members
    ]
    known = [each for each in left if each is not None]
    return UnfinishedFront(
        stage=members[0].stage,
        rung=members[0].rung,
        rungs=members[0].rungs,
        epochs=max(member.epochs or 0.0 for member in members),
        last_epochs=sum(ladder.epochs),
        num_members=len(members),
        seconds_an_epoch=mean,
        seconds_for_first=left[0],
        seconds_for_all=sum(known) if known else None,
    )


def _seconds_an_epoch(trial: Trial, ladder: Ladder) -> float | None:
    """Returns the seconds of a pass over the training images, from the time that a trial took on its own rung."""
    epochs = trial.epochs if trial.is_cut_short or trial.rung == 1 else ladder.effort(trial.rung)
    return trial.seconds / epochs if trial.seconds and epochs else None


def _epochs_left(trial: Trial, ladder: Ladder) -> float:
    """Returns the epochs until the last rung is done; a trial that was cut short is trained anew."""
    return sum(ladder.epochs) if trial.is_cut_short else sum(ladder.epochs[trial.rung :])


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
