"""The consoles that tables and bars are printed on: what others named is shown, and never obeyed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from results.visible import visible_lines


class Screen(Console):
    """A console on which control characters are spelt out and square brackets are printed as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns a text of others, visible."""
        return super().render_str(visible_lines(text), **options)
