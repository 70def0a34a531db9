"""Escapes text for HTML, and makes tables and paragraphs."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from results.visible import visible


def escape(text: object) -> str:
    """Returns a text escaped for HTML elements and quoted attributes."""
    return html.escape(visible(text), quote=True)


def script_json(value: Any) -> str:
    """Returns a value as JSON that is safe inside a script element: it contains no `<`, `>` or `&`."""
    plain = json.dumps(_visible_all(value), separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(titles: Iterable[str], rows: Iterable[Iterable[str]], *, label: str) -> str:
    """Returns an HTML table that scrolls sideways if it is too wide.

    Args:
        titles: Of the columns, as text; columns whose title begins with `#` are aligned to the right.
        rows: Cells as HTML.
        label: The accessible name of the table.
    """
    names = list(titles)
    numeric = [name.startswith("#") for name in names]
    marks = [' class="number"' if each else "" for each in numeric]
    head = "".join(f'<th scope="col"{m}>{escape(n.lstrip("#"))}</th>' for n, m in zip(names, marks, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{m}>{cell}</td>" for cell, m in zip(row, marks, strict=True)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(title: str, *parts: str) -> str:
    """Returns a section of the page from parts in HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(each for each in parts if each) + "\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Returns a text as a paragraph."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def percent(value: Any) -> str:
    """Returns a share in percent; a dash if it is missing."""
    return "-" if value is None or pd.isna(value) else f"{100 * value:.2f}"


def _visible_all(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(name): _visible_all(each) for name, each in value.items()}
    return [_visible_all(each) for each in value] if isinstance(value, (list, tuple)) else value
