"""Pages that a script writes are as the script writes them now."""

from __future__ import annotations

import importlib.util
import math
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from nas.cost.operators import CLASS_OF, CONVOLUTIONS, TABLE_COLUMNS
from nas.cost.terms import TERMS
from search_space import DESIGNS, SearchSpace

DOCS = Path(__file__).parents[2] / "docs"


def _script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.slow
def test_the_designs_page_is_up_to_date():
    written = (DOCS / "designs.md").read_text(encoding="utf-8")
    fresh = _script("generate_designs").page()
    assert written == fresh, "docs/designs.md is stale; write it anew: python docs/generate_designs.py"


def test_the_names_that_shells_complete_are_those_of_the_registries() -> None:
    generator = _script("generate_completions")
    written = generator.FILE.read_text(encoding="utf-8")
    assert written == generator.text(), "they are stale; write them anew: python docs/generate_completions.py"
    assert all(f"| `{name}`" in written for name in DESIGNS)


def test_the_table_of_axes_is_up_to_date():
    written = (DOCS / "search-space.md").read_text(encoding="utf-8")
    script = _script("generate_axes")
    assert script.BEGIN in written and script.END in written
    assert written == script.page(written), "the table of axes is stale; write it anew: python docs/generate_axes.py"
    once = ("head", "backbone", "topology", "fusion", "dual_path", "stride_p1", "unit_downsample_p2")
    assert all(f"| `{name}`" in written for name in once)
    assert all(SearchSpace().axis(name) for name in once)


def test_the_tables_of_settings_are_up_to_date():
    written = (DOCS / "running.md").read_text(encoding="utf-8")
    script = _script("generate_settings")
    assert script.BEGIN in written and script.END in written
    assert written == script.page(written), "the settings are stale; write them anew: python docs/generate_settings.py"
    assert "| `--trial-minutes M` |" in written


def test_the_latency_page_names_every_operator_type_and_counts_the_constants():
    page = (DOCS / "latency.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`", page.split("## Networks of other frameworks")[1]))
    assert named - set(TABLE_COLUMNS) == {*CLASS_OF, *CONVOLUTIONS}
    assert all(column in page for column in TABLE_COLUMNS)
    assert f"one vector of {len(TERMS)} constants" in page


@pytest.mark.slow
def test_the_example_of_the_proxies_page_runs_as_it_stands(tmp_path: Path) -> None:
    page = (DOCS / "proxies.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(example[1])
    assert math.isfinite(runpy.run_path(str(tmp_path / "example.py"))["score"])


def test_the_settings_of_a_training_are_those_that_are_declared() -> None:
    script = _script("generate_train_settings")
    written = script.PAGE.read_text(encoding="utf-8")
    assert written == script.page(written), "the tables are stale; run python docs/generate_train_settings.py"


def test_the_training_page_names_options_that_exist() -> None:
    from nas.commands.train import command

    page = (DOCS / "training.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.split("## Settings")[1].splitlines() if line.startswith("| `--")]
    named = {option for row in rows for option in re.findall(r"--[a-z-]+", row)}
    known = {option for each in command.params if not getattr(each, "hidden", False) for option in each.opts}
    assert len(named) > 20 and named <= known


def test_make_test_runs_the_command_of_the_readme() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8").split("<!-- test command -->")[1]
    recipe = re.search(r"^test:.*\n\t(.+)$", (DOCS.parent / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None and readme.split("```")[1].rstrip().endswith(f"&& {recipe[1]}")
