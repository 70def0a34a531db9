"""Writes the tables of settings into docs/running.md: python docs/generate_settings.py, in the project's folder."""

from __future__ import annotations

from pathlib import Path

from nas.setting_forms import settings_table
from nas.settings import RunSettings

PAGE = Path(__file__).with_name("running.md")
BEGIN = "<!-- settings: written by docs/generate_settings.py -->"
END = "<!-- end of settings -->"


def page(text: str, owner: type[RunSettings] = RunSettings) -> str:
    """Returns the page with its tables written anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{settings_table(owner)}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
