"""Pages that are written by a script are as the script writes them now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from search_space import DESIGNS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_designs_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate_designs", DOCS / "generate_designs.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = (DOCS / "designs.md").read_text(encoding="utf-8")
    assert written == generator.page(), "docs/designs.md is stale; write it anew: python docs/generate_designs.py"
    assert all(f"| `{name}`" in written for name in DESIGNS)
