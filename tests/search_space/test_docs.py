"""The page on the search space is as its script writes it now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_axes_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate_axes", DOCS / "generate_axes.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = (DOCS / "search-space.md").read_text(encoding="utf-8")
    assert generator.BEGIN in written and generator.END in written
    assert written == generator.page(written), "the table of axes is stale; write it anew: python docs/generate_axes.py"
