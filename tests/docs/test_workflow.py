"""The checks of forks are those that the README and the package tell of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
PROJECT = (ROOT / "pyproject.toml").read_text()


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def made(target: str) -> list[str]:
    """Returns the commands of a target of the Makefile."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    return [line.strip() for line in recipe.group(1).splitlines()]


def test_tests_run_as_the_readme_says_on_every_python_that_the_package_names() -> None:
    line = re.search(r"<!-- test command -->\n```sh\n.*&& (pytest[^\n]*)\n", (ROOT / "README.md").read_text())
    assert line is not None and line.group(1) in made("test") and "make test" in commands("test").splitlines()
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT)
    assert JOBS["test"]["strategy"]["matrix"]["python"] == named
    oldest = re.search(r'requires-python = ">=([\d.]+)"', PROJECT)
    assert oldest is not None and oldest.group(1) == named[0]


def test_lint_and_types_are_those_of_every_other_check() -> None:
    own = (ROOT / ".ci/run").read_text().splitlines()
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        assert command in own and command in made("check") and "make check" in commands("lint").splitlines()


def test_versions_of_torch_are_those_of_the_package() -> None:
    required = re.search(r'"(torch[^"]+)"', PROJECT)
    assert required is not None
    for job in ("lint", "test", "wheel"):
        assert f'pip install "{required.group(1)}"' in commands(job)


def test_the_wheel_is_used_from_an_empty_folder_and_the_site_is_strict() -> None:
    assert re.search(r"pip wheel .*\n.*pip install .*dist/\*\.whl\n.*mkdir.*nas run --budget-gflops", commands("wheel"))
    assert "make docs" in commands("docs").splitlines() and "mkdocs build --strict" in made("docs")
