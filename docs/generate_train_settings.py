"""Writes the settings into docs/training.md: python docs/generate_train_settings.py, in the folder of the project."""

from __future__ import annotations

from pathlib import Path

from nas.api.train_request import training_settings
from nas.setting_forms import settings_table

PAGE = Path(__file__).with_name("training.md")
BEGIN = "<!-- settings: written by docs/generate_train_settings.py -->"
END = "<!-- end of settings -->"


def page(text: str) -> str:
    """Returns the page with its tables written anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{settings_table(training_settings().values())}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
