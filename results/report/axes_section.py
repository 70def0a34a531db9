"""The section on the axes: their importance, and what the front has in common."""

from __future__ import annotations

from results import records
from results.report.common import MIN_MEMBERS, Shared, shared
from results.report.content import Content, Importance
from results.report.payload import Members
from results.report.text import escape, paragraph, section, table

MAX_AXES = 12
"""The most axes shown in each table."""


def axes_section(content: Content, members: Members) -> str:
    """Returns the section on the axes."""
    found = content.importance
    parts = ["<h3>Importance of the axes</h3>"]
    parts += _importance(found) if isinstance(found, Importance) else [paragraph(found)]
    parts.append("<h3>What the front has in common</h3>")
    trained = content.table[content.table["accuracy"].notna() & ~records.is_repetition(content.table)]
    alike = shared(members.front, trained)
    if alike:
        parts += _common(alike)
    elif len(members.front) < MIN_MEMBERS:
        parts.append(paragraph(f"The front has fewer than {MIN_MEMBERS} members, too few to compare."))
    else:
        parts.append(paragraph("No choice is more common among its members than among all trained architectures."))
    return section("What matters", *parts)


def _common(alike: list[Shared]) -> list[str]:
    said = (
        "Choices that three quarters of the members or more have, and their share among all architectures that were "
        "trained, the largest difference first. Architectures in which the axis is not active do not count."
    )
    rows = [
        (
            f"<code>{escape(each.axis)}</code>",
            escape(each.choice),
            f"{each.num_agreeing} of {each.num_members}",
            f"{100 * each.share_elsewhere:.0f} % of {each.num_elsewhere}",
        )
        for each in alike[:MAX_AXES]
    ]
    titles = ("axis", "choice", "#members", "#all that were trained")
    more = f"{len(alike) - MAX_AXES} more choices have smaller differences." if len(alike) > MAX_AXES else ""
    shown = table(titles, rows, label="Choices that members of the front share")
    return [paragraph(said, "muted"), shown, more and paragraph(more, "muted")]


def _importance(found: Importance) -> list[str]:
    said = (
        f"PED-ANOVA on {found.num_trials} trials of rung {found.rung}: how much an axis distinguishes the "
        f"{found.num_top} best trials from the rest, in all objectives together and in accuracy alone, as shares of "
        "the sum over all axes. The vertical line is the 95 % quantile of the most important axis under random "
        "permutations of the values: shares below it may be chance. An axis that is active in a part of the trials is "
        "measured on those."
    )
    rows = [
        (
            f"<code>{escape(each.axis)}</code>",
            _meter(each.front, found.chance_front, ""),
            _meter(each.accuracy, found.chance_accuracy, " accuracy"),
            "all" if each.num_active == found.num_trials else f"{each.num_active}",
        )
        for each in found.axes[:MAX_AXES]
    ]
    titles = ("axis", "best in all objectives", "best in accuracy", "#trials with it")
    more = f"{len(found.axes) - MAX_AXES} more axes have smaller shares." if len(found.axes) > MAX_AXES else ""
    return [
        paragraph(said, "muted"),
        table(titles, rows, label="Importance of axes"),
        more and paragraph(more, "muted"),
    ]


def _meter(share: float, chance: float, kind: str) -> str:
    """Draws a share as a bar with the level of chance, and its number."""
    line = f'<rect x="{min(100 * chance, 99):.2f}%" width="2" height="100%" class="chance"/>'
    bar = f'<rect width="{100 * share:.2f}%" height="100%" class="bar{kind}"/>'
    track = '<rect width="100%" height="100%" class="track"/>'
    return f'<svg class="meter" aria-hidden="true">{track}{bar}{line}</svg>{100 * share:.1f} %'
