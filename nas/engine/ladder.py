"""The rungs of a run, and whether a rung ranks trials well enough to decide promotions.

Every rung is a short schedule of its own whose learning rate decays to its end, and starts from the weights of the
rung below: complete short schedules rank detectors much as long ones do, truncated long schedules do not.
`nas.engine.promotion` decides which trial is promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.ranking import kendall_tau
from results.trial import Trial
from search_space.errors import ConfigError

PROMOTED_SHARE = 3
"""One of this many trials of a rung is promoted."""
MIN_PAIRS = 8
"""Trials on two neighbouring rungs below which the lower rung is not judged."""
MIN_TAU = 0.3
"""Kendall's tau between two rungs below which the lower one is not trusted."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The training on each rung."""

    epochs: tuple[float, ...]
    """Passes over the training images on each rung, in addition to those of the rungs below."""
    proxy: str | None = None
    """The score without training that makes rung 0; None: there is no rung 0."""
    images: tuple[int, ...] = ()
    """The validation images that score each rung; none: all of them."""

    def __post_init__(self) -> None:
        if not self.epochs or not all(0 < each < float("inf") for each in self.epochs):
            got = ",".join(f"{each:g}" for each in self.epochs) or "none"
            raise ConfigError(f"--rungs must be numbers of epochs above zero, got {got}; next: --rungs 0.5,1.5")

    @property
    def first(self) -> int:
        """The rung of a new trial: 0 with a proxy, else 1."""
        return 1 if self.proxy is None else 0

    @property
    def last(self) -> int:
        """The rung whose trials are complete."""
        return len(self.epochs)

    def val_images(self, rung: int) -> int | None:
        """Returns the number of validation images that score a rung; None: all of them."""
        return self.images[rung - 1] if rung and self.images else None

    def effort(self, rung: int) -> float:
        """Returns the epochs of a rung, 0 for the proxy."""
        return self.epochs[rung - 1] if rung else 0.0


@dataclass(frozen=True, kw_only=True)
class RungCorrelation:
    """The rank correlation of two neighbouring rungs over the trials that were on both."""

    rung: int
    """The lower one."""
    num_trials: int
    tau: float
    """Kendall's tau-b between the scores of both; nan for fewer than two trials."""
    tau_counts: float | None = None
    """For a proxy: tau of the activation bytes, which are known without computing the proxy, with the rung above."""

    @property
    def trusted(self) -> bool:
        """Whether the lower rung decides promotions: it has not been found to rank poorly."""
        if self.num_trials < MIN_PAIRS:
            return True
        return self.tau >= MIN_TAU and (self.tau_counts is None or self.tau > self.tau_counts)


def evaluated(trials: Sequence[Trial], rung: int) -> list[Trial]:
    """Returns the trials that have the score of a rung, without repetitions with other seeds."""
    return [trial for trial in trials if trial.rung == rung and trial.is_promotable]


def rung_correlation(trials: Sequence[Trial], rung: int) -> RungCorrelation:
    """Measures how well a rung ranks the trials that were promoted from it.

    Those are the better ones, which are harder to rank than all.
    """
    above = {trial.key: trial for trial in evaluated(trials, rung + 1)}
    pairs = [(trial, above[trial.key]) for trial in evaluated(trials, rung) if trial.key in above]
    high = [_score(upper) for _, upper in pairs]
    counts = None if rung else kendall_tau([lower.activation_bytes for lower, _ in pairs], high)
    tau = kendall_tau([_score(lower) for lower, _ in pairs], high)
    return RungCorrelation(rung=rung, num_trials=len(pairs), tau=tau, tau_counts=counts)


def _score(trial: Trial) -> float:
    return trial.rung_score or 0.0
