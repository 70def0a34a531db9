"""Audits: some trials that started from a donor are trained again from scratch, and both orders are compared.

Inherited weights favour architectures that changed little, and those whose donors were trained longer. If the order of
the scores with a donor disagrees with that from scratch, no further trial gets a donor. Audits take no other part in
the search: they are never promoted, on no front, and no donors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.engine.ladder import Ladder
from results.ranking import kendall_tau
from results.trial import Outcome, Trial

AUDIT_EVERY = 8
"""One of this many trials that inherited something is audited."""
AUDIT_IMAGES = 1000
"""Training images of an audit, if the first rung has fewer: with fewer, training from scratch has no order yet."""
MIN_AUDITS = 6
"""Audits below which inheritance is not judged."""
MIN_TAU = 0.3
"""Kendall's tau below which inheritance ends."""


@dataclass(frozen=True, kw_only=True)
class AuditCorrelation:
    """The rank correlation of the scores with a donor and from scratch over the audited architectures."""

    tau: float
    """Kendall's tau-b; nan for fewer than two audits."""
    num_trials: int
    """Audits that have ended with a score."""

    @property
    def trusted(self) -> bool:
        """Whether trials go on inheriting: it has not been found to rank poorly."""
        return self.num_trials < MIN_AUDITS or self.tau >= MIN_TAU


def audit_correlation(trials: Sequence[Trial]) -> AuditCorrelation | None:
    """Measures how well scores of trials with a donor agree with those from scratch; None without an audit."""
    by_number = {trial.number: trial for trial in trials}
    pairs = []
    for audit in trials:
        audited = None if audit.audit_of is None else by_number.get(audit.audit_of)
        if audited is not None and audit.is_evaluated and audited.is_evaluated:
            pairs.append((audited.accuracy or 0.0, audit.accuracy or 0.0))
    if not pairs:
        return None
    tau = kendall_tau([inherited for inherited, _ in pairs], [scratch for _, scratch in pairs])
    return AuditCorrelation(tau=tau, num_trials=len(pairs))


def next_audit(trials: Sequence[Trial], running: Sequence[Trial]) -> Trial | None:
    """Returns the trial to audit; None while none is due.

    The best one and the one nearest to the median take turns, so that audits spread over the scores.

    Args:
        trials: Those that have ended.
        running: Those under way.
    """
    inherited = [trial for trial in trials if _has_inherited(trial)]
    begun = {trial.audit_of for trial in (*trials, *running) if trial.audit_of is not None}
    if len(inherited) // AUDIT_EVERY <= len(begun):
        return None
    found = audit_correlation(trials)
    left = [trial for trial in inherited if trial.number not in begun]
    if not left or (found is not None and not found.trusted):
        return None
    if len(begun) % 2 == 0:
        return max(left, key=lambda trial: (_score(trial), -trial.number))
    middle = sorted(map(_score, inherited))[len(inherited) // 2]
    return min(left, key=lambda trial: (abs(_score(trial) - middle), trial.number))


def audit_epochs(audited: Trial, ladder: Ladder) -> float:
    """Returns the epochs of an audit: those of the first rung, or of `AUDIT_IMAGES` where these are more.

    They are no more than the weights of the audited trial have seen.
    """
    first = ladder.effort(1)
    if not audited.images_seen or not audited.epochs or not audited.images_in_all:
        return first
    images = min(AUDIT_IMAGES, audited.images_in_all)
    return max(first, images * audited.epochs / audited.images_seen)


def _has_inherited(trial: Trial) -> bool:
    is_own = trial.is_evaluated and trial.outcome is not Outcome.CACHED and not trial.is_repetition
    return is_own and trial.rung == 1 and bool(trial.inherited_macs)


def _score(trial: Trial) -> float:
    return trial.accuracy or 0.0
