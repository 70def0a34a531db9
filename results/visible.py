"""Text of others as it may stand in a page, in a table or on a terminal: nothing in it acts, everything is seen."""

from __future__ import annotations

import re
import unicodedata

HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that would be invisible, break lines, steer a terminal or cannot be written at all."""
TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the direction of what follows, so that a name could show itself as another."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"''*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def visible(text: object) -> str:
    """Returns a text with its control characters spelt out, such as `\\x1b`."""
    told = str(text)
    return told if told.isascii() and told.isprintable() else "".join(map(_spelt, told))


def visible_lines(text: object) -> str:
    """Returns a text of several lines, each visible."""
    return "\n".join(map(visible, str(text).split("\n")))


def as_cell(text: str) -> str:
    """Returns a text as a cell of CSV that no spreadsheet takes for a formula: with an apostrophe before it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """Inverse of `as_cell`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _spelt(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN and character not in TURNING:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
