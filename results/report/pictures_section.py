"""The section with validation images: what members of the front find, miss and get wrong."""

from __future__ import annotations

import base64

from results.report.content import Content, MemberPictures, Picture, PictureGrid, PictureMark
from results.report.text import escape, paragraph, section, table

TITLE = "What the detectors see"
DASHES = {"solid": "", "dashed": ' stroke-dasharray="7 4"', "dotted": ' stroke-dasharray="2 3"'}


def pictures_section(content: Content) -> str:
    """Returns the section with images; an empty text where none were asked for."""
    grid = content.pictures
    if not isinstance(grid, PictureGrid):
        return section(TITLE, paragraph(grid)) if grid else ""
    shown = [member for member in grid.members if member.pictures]
    said = (
        f"The same {len(grid.names)} of {grid.source}, for {_members(len(shown))} of the front. The images were chosen "
        "by their annotations alone: spread over the set, with few and with many objects. Tick a picture to enlarge it."
    )
    parts = [
        paragraph(said) if shown else "",
        *(paragraph(member.problem) for member in grid.members if member.problem),
    ]
    if shown:
        parts += [_legend(grid), _counts(grid, shown)]
    for place, name in enumerate(grid.names if shown else ()):
        figures = "".join(_figure(member, member.pictures[place], name) for member in shown)
        parts.append(f'<h3>{escape(name)}</h3><div class="pictures">{figures}</div>')
    return section(TITLE, *parts)


def _members(number: int) -> str:
    return "1 member" if number == 1 else f"{number} members"


def _legend(grid: PictureGrid) -> str:
    meanings = {
        "found": f"detection of an object, with its class and an IoU of at least {grid.iou:g}",
        "missed": "object without such a detection",
        "wrong": "any other detection",
    }
    entries = "".join(
        f"<li>{_swatch(mark)}{escape(mark.title)}: {escape(meanings[mark.title])}, {mark.line} line"
        f"{escape(f', marked {mark.sign}' if mark.sign else '')}</li>"
        for mark in grid.marks
    )
    return f'<ul class="legend">{entries}</ul>'


def _swatch(mark: PictureMark) -> str:
    return (
        '<svg width="30" height="20" aria-hidden="true"><rect width="30" height="20" fill="#191919"/>'
        f'<rect x="4" y="4" width="22" height="12" fill="none" stroke-width="2" stroke="{escape(mark.color)}"'
        f"{DASHES[mark.line]}/></svg>"
    )


def _counts(grid: PictureGrid, shown: list[MemberPictures]) -> str:
    titles = ["member", "", "#GFLOPs", "#score from", *(f"#{mark.title}" for mark in grid.marks), "weights"]
    rows = [
        [
            f'<span class="key">{escape(member.name)}</span>',
            escape(member.role),
            f"{member.gmacs:.4f}",
            f"{member.score_threshold:.3f}",
            *(str(sum(each.counts[mark.title] for each in member.pictures)) for mark in grid.marks),
            f'<span class="key">{escape(member.weights)}</span>',
        ]
        for member in shown
    ]
    said = "Detections are shown from the score threshold with the best F1 on these images."
    without = [member.name for member in shown if not member.is_best_threshold]
    if without:
        said += f" None of {' and '.join(without)} is right at any threshold."
    return table(titles, rows, label="Boxes on all images") + paragraph(said, "muted")


def _figure(member: MemberPictures, picture: Picture, name: str) -> str:
    counts = ", ".join(f"{number} {title}" for title, number in picture.counts.items())
    encoded = base64.b64encode(picture.jpeg).decode()
    return (
        f'<figure><label><input type="checkbox" autocomplete="off"> <span class="key">{escape(member.name)}</span>, '
        f'{escape(member.role)}: {escape(counts)}</label><img src="data:image/jpeg;base64,{encoded}" '
        f'alt="{escape(f"{name} with the boxes of {member.name}: {counts}")}"></figure>'
    )
