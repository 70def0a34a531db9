"""The sections on what a run ends with: its finished detectors, and its time by the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results.report.content import Content, FinishedDetector, PhaseTime
from results.report.payload import accuracy_title
from results.report.text import escape, paragraph, percent, section, table

SHOWN_SCORES = ("ap50", "ap", "ap_small", "accuracy")
WITH_INTERVAL = "ap50"
LONG_SECONDS = 600
"""From here on times are in minutes."""


def finished_section(content: Content) -> str:
    """Returns the section on the finished detectors; an empty text for a run without any."""
    if not content.finished:
        return ""
    columns = {"detector": [f'<span class="key">{escape(each.name)}</span>' for each in content.finished]}
    for name in SHOWN_SCORES:
        columns |= _scores(name, content.finished)
    columns |= {
        "#GFLOPs": [f"{each.macs / 1e9:.4f}" for each in content.finished],
        "#params M": [f"{each.params / 1e6:.3f}" for each in content.finished],
        "#epochs": [f"{each.epochs:.3g}" for each in content.finished],
        "#images": [f"{each.images_seen:,}" for each in content.finished],
        "#time": [duration(each.seconds) for each in content.finished],
        "weights": [f'<span class="key">{escape(each.weights)}</span>' for each in content.finished],
        "export": [f'<span class="key">{escape(each.export or "-")}</span>' for each in content.finished],
    }
    rows = zip(*columns.values(), strict=True)
    said = "The best members of the front, trained on after the search."
    return section(
        "Finished detectors",
        paragraph(f"{said} {content.finished_on}".strip()),
        table(columns, rows, label="The finished detectors"),
    )


def time_section(content: Content) -> str:
    """Returns the section on the plan of the time against what happened; an empty text for a run without a plan."""
    phases = content.phases
    if not phases:
        return ""
    begun = [each.actual_seconds for each in phases if each.actual_seconds is not None]
    rows = [(escape(each.title), duration(each.planned_seconds), _actual(each)) for each in phases]
    planned = math.fsum(each.planned_seconds for each in phases)
    rows.append(("in all", duration(planned), duration(math.fsum(begun)) if begun else "-"))
    return section(
        "The time: planned and taken", table(("phase", "#planned", "#taken"), rows, label="The time by phase")
    )


def duration(seconds: float) -> str:
    """Returns a time in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < LONG_SECONDS else f"{seconds / 60:.0f} min"


def _actual(phase: PhaseTime) -> str:
    return "-" if phase.actual_seconds is None else duration(phase.actual_seconds)


def _scores(name: str, finished: Sequence[FinishedDetector]) -> dict[str, list[str]]:
    if not any(name in each.scores for each in finished):
        return {}
    columns = {f"#{accuracy_title(name)} %": [percent(each.scores.get(name)) for each in finished]}
    low, high = f"{name}_low", f"{name}_high"
    if name == WITH_INTERVAL and any(low in each.scores for each in finished):
        columns["#95 %"] = [f"{percent(each.scores.get(low))}-{percent(each.scores.get(high))}" for each in finished]
    return columns
