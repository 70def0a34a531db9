"""Writes the names that a shell completes, from the registries: `python docs/generate_completions.py` in the project.

The command line reads them from a file, because a shell waits for a completion and the registries import torch.
"""

from __future__ import annotations

import json
from pathlib import Path

from nas.engine.strategies import STRATEGIES
from search_space import DESIGNS
from trainers.data import FORMATS
from trainers.recipes import RECIPES

FILE = Path(__file__).parents[1] / "nas" / "commands" / "completions.json"


def names() -> dict[str, list[str]]:
    """Returns the names of each kind."""
    formats = list(FORMATS)
    return {
        "design": sorted(DESIGNS),
        "format": sorted(formats),
        "output format": sorted(name for name in formats if FORMATS.get(name).writer is not None),
        "recipe": sorted([*RECIPES, "paper"]),
        "strategy": sorted(STRATEGIES),
    }


def text() -> str:
    """Returns the content of the file."""
    return json.dumps(names(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
