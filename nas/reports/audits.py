"""Scores of trials that started from donors against those of the same architectures trained from scratch."""

from __future__ import annotations

import pandas as pd

from nas.engine.audit import audit_correlation
from nas.reports.correlation_words import audit_lines
from results import records
from results.report import AuditPair, Audits


def audits_of(table: pd.DataFrame) -> Audits | None:
    """Returns the audits of a run that have ended, in their order; None for a run without any."""
    trials = records.trials_of(table)
    by_number = {trial.number: trial for trial in trials}
    pairs = []
    for again in trials:
        first = None if again.audit_of is None else by_number.get(again.audit_of)
        if first is not None and first.rung_score is not None and again.rung_score is not None:
            pairs.append(AuditPair(first.number, again.number, first.rung_score, again.rung_score))
    lines = audit_lines(audit_correlation(trials))
    return Audits(pairs=tuple(pairs), line=lines[0]) if pairs and lines else None
