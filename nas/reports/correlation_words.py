"""Rank correlations in words."""

from __future__ import annotations

from nas.engine.audit import MIN_AUDITS, AuditCorrelation
from nas.engine.ladder import MIN_PAIRS, RungCorrelation


def rung_correlation_line(rung: RungCorrelation) -> str:
    """Returns a line on how well a rung ranks the trials that were promoted from it."""
    low = f"rung {rung.rung}" if rung.rung else "the proxy"
    head = f"{low} against rung {rung.rung + 1}: "
    if rung.num_trials < 2:
        trials = "1 trial" if rung.num_trials == 1 else f"{rung.num_trials} trials"
        return f"{head}{trials} on both, too few for a rank correlation"
    if rung.tau != rung.tau:
        return f"{head}no rank correlation, because all {rung.num_trials} trials are equal on one of the two"
    counts = "" if rung.tau_counts is None else f", of activation bytes {rung.tau_counts:+.2f}"
    trust = "trusted" if rung.trusted else "not trusted, so all later trials were promoted"
    trust = trust if rung.num_trials >= MIN_PAIRS else f"{MIN_PAIRS} are needed to judge it"
    return f"{head}Kendall's tau {rung.tau:+.2f}{counts} on {rung.num_trials} trials; {trust}"


def audit_lines(audits: AuditCorrelation | None) -> list[str]:
    """Returns a line on how well trials with a donor are ranked; nothing without an audit."""
    if audits is None:
        return []
    head = "with a donor against from scratch: "
    if audits.num_trials < 2:
        return [f"{head}1 audit, too few for a rank correlation"]
    trust = "trusted" if audits.trusted else "not trusted, so all later trials start without a donor"
    trust = trust if audits.num_trials >= MIN_AUDITS else f"{MIN_AUDITS} are needed to judge it"
    tau = "no rank correlation" if audits.tau != audits.tau else f"Kendall's tau {audits.tau:+.2f}"
    return [f"{head}{tau} on {audits.num_trials} audits; {trust}"]
