"""Scores of trials that started from donors against those of the same architectures trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results import records
from results.ranking import kendall_tau
from results.report import AuditPair, Audits

AUDIT_OF = "audit_of"
"""The column with the number of the trial that an audit trains again, from scratch."""


def audits_of(table: pd.DataFrame) -> Audits | None:
    """Returns the audits of a run that have ended, in their order; None for a run without any."""
    if AUDIT_OF not in table.columns:
        return None
    audited = pd.to_numeric(table[AUDIT_OF], errors="coerce")
    trials = {trial.number: trial for trial in records.trials_of(table)}
    pairs = []
    for number, of in zip(table["number"], audited, strict=True):
        first, again = trials.get(-1 if pd.isna(of) else int(of)), trials[int(number)]
        if first is not None and first.rung_score is not None and again.rung_score is not None:
            pairs.append(AuditPair(first.number, again.number, first.rung_score, again.rung_score))
    return Audits(pairs=tuple(pairs), line=audit_line(pairs)) if pairs else None


def audit_line(pairs: Sequence[AuditPair]) -> str:
    """Returns a line on how well inherited scores rank architectures."""
    tau = kendall_tau([each.inherited_score for each in pairs], [each.from_scratch_score for each in pairs])
    trials = "1 audited trial" if len(pairs) == 1 else f"{len(pairs)} audited trials"
    if tau != tau:
        return f"No rank correlation can be computed from {trials}."
    return f"Kendall's tau of the two orders: {tau:+.2f} on {trials}."
