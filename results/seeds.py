"""The accuracies of a member of the front that was trained with several seeds."""

from __future__ import annotations

from collections.abc import Iterable

from results.trial import Outcome, Trial


def over_seeds(member: Trial, trials: Iterable[Trial]) -> list[float]:
    """Returns the accuracies of a member of the front with all seeds, its own first; empty where it has none."""
    again = (trial for trial in trials if trial.repeat_of == member.number and trial.rung == trial.rungs)
    whole = (trial for trial in again if trial.outcome is Outcome.COMPLETE)
    return [trial.accuracy for trial in (member, *whole) if trial.accuracy is not None]
