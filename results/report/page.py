"""Renders a report as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from string import Template

from results.report.axes_section import axes_section
from results.report.content import Content
from results.report.finished_section import finished_section, time_section
from results.report.front_section import front_section
from results.report.lineage_section import lineage_section
from results.report.objects_section import objects_section
from results.report.payload import part, payload, without_front
from results.report.pictures_section import pictures_section
from results.report.progress import progress
from results.report.search_section import search_section
from results.report.text import escape, paragraph, script_json, section

GENERATOR = "PyramidNAS report"
"""Identifies a report; it is in the first bytes of the file."""


def render(content: Content) -> str:
    """Returns the report as one HTML file that loads nothing and runs only its own script."""
    members = part(content.table)
    members = without_front(members) if content.nothing_found else members
    course = progress(content.table, content.limits)
    style, script = (_template(name) for name in ("style.css", "script.js"))
    sections = (
        finished_section(content),
        front_section(content, members),
        pictures_section(content),
        search_section(content, course),
        time_section(content),
        lineage_section(content, members),
        axes_section(content, members),
        objects_section(content, members),
        _commands(content),
    )
    return Template(_template("page.html")).substitute(
        generator=GENERATOR,
        title=escape(f"{content.name}: report of a search"),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        header=_header(content),
        sections="\n".join(each for each in sections if each),
        data=script_json(payload(content, members, course)),
    )


def is_report(path: Path) -> bool:
    """Whether a file is an earlier report."""
    with path.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(400)


def _template(name: str) -> str:
    return (files("results.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(content: Content) -> str:
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in content.facts)
    return (
        f'<h1>{escape(content.name)}</h1>\n<p class="muted">Report of a search, written {escape(content.written)}</p>\n'
        f'<dl class="facts">{pairs}</dl>\n'
        + "\n".join(paragraph(each, "notice") for each in content.notices)
        + '\n<noscript><p class="notice">The plots and the tables of nodes need JavaScript.</p></noscript>'
    )


def _commands(content: Content) -> str:
    parts = []
    for each in content.commands:
        note = paragraph(each.note, "muted") if each.note else ""
        parts.append(f"<h3>{escape(each.title)}</h3>{note}<pre>{escape(each.line)}</pre>")
    return section("Commands", *parts)
