"""Text that is safe to put into a page, whatever a user called his files and classes."""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterable
from typing import Any

import pandas as pd

HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that would be invisible, break lines or cannot be written at all."""
TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the direction of what follows, so that a name could show itself as another."""


def visible(text: object) -> str:
    """Returns a text with its control characters spelt out, such as `\\x1b`."""
    return "".join(_spelt(each) if _is_hidden(each) else each for each in str(text))


def escape(text: object) -> str:
    """Returns a text as it may stand in HTML, in elements and in quoted attributes."""
    return html.escape(visible(text), quote=True)


def script_json(value: Any) -> str:
    """Returns a value as JSON that may stand inside a script element: nothing in it can end that or begin a tag."""
    plain = json.dumps(_visible_all(value), separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(titles: Iterable[str], rows: Iterable[Iterable[str]], *, label: str) -> str:
    """Returns an HTML table that scrolls sideways where it is too wide.

    Args:
        titles: Of the columns, as text; one that begins with `#` is of numbers, which are aligned to the right.
        rows: Cells as HTML.
        label: What it holds, for those who cannot see it.
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
    """Returns a section of a page; its parts are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(each for each in parts if each) + "\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Returns a text as a paragraph."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def percent(value: Any) -> str:
    """Returns a share as percent, a missing one as a dash."""
    return "-" if value is None or pd.isna(value) else f"{100 * value:.2f}"


def _visible_all(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(name): _visible_all(each) for name, each in value.items()}
    return [_visible_all(each) for each in value] if isinstance(value, (list, tuple)) else value


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in HIDDEN or character in TURNING


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
