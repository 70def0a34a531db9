"""The section on the search: trials by outcome, curves, rank correlations of the rungs."""

from __future__ import annotations

from collections.abc import Mapping

from results import records
from results.report.content import Content
from results.report.payload import accuracy_title
from results.report.progress import SearchProgress
from results.report.text import escape, paragraph, section


def search_section(content: Content, course: SearchProgress) -> str:
    """Returns the section on the search."""
    counts = records.tally(content.table)
    parts = [f"<h3>Trials by outcome</h3>{_stack(counts)}"]
    said = " + ".join(f"{counts[outcome]} {outcome}" for outcome in records.OUTCOMES)
    parts.append(paragraph(f"trials: {counts['asked']} = {said}"))
    if course.best:
        name = next(name for name in records.objectives_of(content.table) if records.is_accuracy(name))
        reference = ", ".join(_reference(name, course.reference[name]) for name in course.reference)
        area = (
            "Hypervolume of the front, %, against the number of trials. 100 % would be perfect accuracy at no cost; "
            f"measured from {reference}."
        )
        both = (
            ("hypervolume", area),
            ("best", f"Best {accuracy_title(name)} so far, %, against the number of trials."),
        )
        plots = (
            f'<figure><figcaption>{escape(text)}</figcaption><div class="plot" id="{key}"></div></figure>'
            for key, text in both
        )
        parts.append(f'<div class="pair">{"".join(plots)}</div>')
    else:
        parts.append(paragraph("No trial is complete yet, so there are no curves.", "muted"))
    if content.rungs:
        parts.append("<h3>Rank correlation of the rungs</h3>")
        parts.extend(paragraph(line) for line in content.rungs)
    return section("How the search went", *parts)


def _stack(counts: Mapping[str, int]) -> str:
    """Draws the outcomes as a stacked bar."""
    at, bars = 0.0, []
    for outcome in records.OUTCOMES:
        share = 100 * counts[outcome] / max(counts["asked"], 1)
        if share:
            title = f"<title>{counts[outcome]} {outcome}</title>"
            bars.append(f'<rect x="{at:.3f}%" width="{share:.3f}%" height="100%" class="{outcome}">{title}</rect>')
        at += share
    legend = "".join(
        f'<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" class="{outcome}"/></svg>'
        f"{counts[outcome]} {outcome}</li>"
        for outcome in records.OUTCOMES
    )
    return f'<svg class="stack" role="img" aria-label="Outcomes">{"".join(bars)}</svg><ul class="legend">{legend}</ul>'


def _reference(name: str, value: float) -> str:
    if records.is_accuracy(name):
        return f"0 of {accuracy_title(name)}"
    units = {
        "macs": (1e-9, "GFLOPs"),
        "params": (1e-6, "million parameters"),
        "memory_bytes": (1e-6, "MB of activations"),
    }
    factor, unit = units.get(name, (1.0, "ms"))
    return f"{value * factor:.4g} {unit}"
