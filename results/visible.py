"""Makes untrusted text safe to show in pages, tables and terminals: no control characters, no formulas."""

from __future__ import annotations

import re
import unicodedata

HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that are invisible, break lines, control a terminal or cannot be encoded."""
TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text after them, so that a name could look like another."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"''*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def visible(text: object) -> str:
    """Returns a text with control characters escaped, such as `\\x1b`."""
    plain = str(text)
    return plain if plain.isascii() and plain.isprintable() else "".join(map(_escaped, plain))


def visible_lines(text: object) -> str:
    """Returns a text of several lines, each made visible."""
    return "\n".join(map(visible, str(text).split("\n")))


def as_cell(text: str) -> str:
    """Returns a text as a CSV cell; an apostrophe is prepended if a spreadsheet would read it as a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """Inverse of `as_cell`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN and character not in TURNING:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
