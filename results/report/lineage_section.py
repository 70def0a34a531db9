"""The section on inheritance: the donors of the front, and how scores after it compare with those from scratch."""

from __future__ import annotations

from results import records
from results.export import member_name
from results.report.content import Audits, Content
from results.report.lineage import Ancestor, Lineages
from results.report.payload import Members
from results.report.text import escape, paragraph, percent, section, table

TITLE = "Who inherited from whom"
INDENT, BRANCH = "\u00a0\u00a0\u00a0", "└ "
MAX_INDENTS = 12
"""Deeper descendants are not indented further."""


def lineage_section(content: Content, members: Members) -> str:
    """Returns the section on inheritance; an empty text for a run without any."""
    lineages = Lineages(content.table)
    parts = [*(_tree(lineages, members) if lineages else ()), *(_audits(content.audits) if content.audits else ())]
    return section(TITLE, *parts) if parts else ""


def _tree(lineages: Lineages, members: Members) -> list[str]:
    front = records.trials_of(members.front)
    ranks = {trial.key: rank for rank, trial in enumerate(front, start=1)}
    said = (
        f"{lineages.num_inherited} trials started from the weights of a donor, an earlier trial. Below are the members "
        "of the front and all donors before them; the images are those that the weights have seen in all."
    )
    titles = ("trials", "member", "origin", "#from trial", "#inherited %", "#images", "#accuracy %", "rung")
    rows = [_row(each, ranks) for each in lineages.tree(front)]
    return [paragraph(said), table(titles, rows, label="Donors of the front") if rows else ""]


def _row(each: Ancestor, ranks: dict[str, int]) -> tuple[str, ...]:
    begun, furthest = each.begun, each.furthest
    indent = f"{INDENT * min(each.depth - 1, MAX_INDENTS)}{BRANCH}" if each.depth else ""
    trials = ", ".join(str(trial.number) for trial in each.trials)
    member = member_name(ranks[begun.key], begun.key) if begun.key in ranks else ""
    inherited = begun.inherited_macs if each.donor is not None else None
    return (
        f'{indent}<a href="#trial={furthest.number}">{trials}</a>',
        f'<span class="key">{escape(member)}</span>',
        escape(str(begun.origin)),
        "-" if each.donor is None else str(each.donor),
        "-" if inherited is None else f"{100 * inherited:.0f}",
        "-" if furthest.images_in_all is None else f"{furthest.images_in_all:,}",
        percent(furthest.rung_score),
        f"{furthest.rung} of {furthest.rungs}",
    )


def _audits(audits: Audits) -> list[str]:
    titles = ("trial", "audit", "#inherited %", "#from scratch %")
    rows = [
        (
            f'<a href="#trial={each.inherited}">{each.inherited}</a>',
            str(each.from_scratch),
            percent(each.inherited_score),
            percent(each.from_scratch_score),
        )
        for each in audits.pairs
    ]
    said = (
        "An audit trains the architecture of a trial again, from scratch. The more alike the two orders are, the more "
        "the scores after inheritance say about the architectures."
    )
    return [
        "<h3>Audits</h3>",
        paragraph(said),
        paragraph(audits.line),
        table(titles, rows, label="Scores with inheritance and from scratch"),
    ]
