"""The rules of the house that the imports must keep, read from the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from nas.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("search_space", "trainers", "results", "nas")
MAY_IMPORT = {
    "search_space": {"search_space"},
    "trainers": {"trainers", "search_space"},
    "results": {"results"},
    "nas": set(PACKAGES),
}
FOREIGN = {"search_space": {"torch", "yaml", "numpy"}, "results": {"numpy", "pandas", "scipy"}}
"""What is installed, not part of Python, and allowed; `results` reads no tensors, and `search_space` no tables."""
ONLY_IN = {"optuna": "nas/engine/", "ray": "nas/executors/ray", "fvcore": "nas/cost/"}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def _imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = _run_at_import(tree) if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + str(node.module).partition(".")[0])
    return names


def _run_at_import(tree: ast.Module) -> list[ast.stmt]:
    """The statements outside functions and outside `if TYPE_CHECKING`."""
    return [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


UNDER_WAY = [path for path in SOURCES if _name(path).startswith(("nas/engine/", "results/"))]


@pytest.mark.parametrize("path", UNDER_WAY, ids=_name)
def test_a_search_under_way_imports_no_large_package(path: Path):
    """Ctrl-C in the middle of such an import leaves a package that is broken when the summary needs it."""
    late = _imported(path) - _imported(path, top_level_only=True)
    assert not late & {"numpy", "optuna", "pandas", "scipy", "torch"}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_run_downward(path: Path):
    package, imported = path.relative_to(ROOT).parts[0], _imported(path)
    assert not [name for name in imported if name.startswith(".")], "the rules are read from full names"
    assert imported & set(PACKAGES) <= MAY_IMPORT[package]
    installed = imported - set(PACKAGES) - sys.stdlib_module_names
    assert installed <= FOREIGN.get(package, installed)
    for module, place in ONLY_IN.items():
        assert module not in imported or _name(path).startswith(place)


def test_the_rules_are_about_what_is_imported(tmp_path: Path):
    users = {module: {_name(path) for path in SOURCES if module in _imported(path)} for module in (*ONLY_IN, *PACKAGES)}
    assert all(users.values())
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)
    sample = tmp_path / "sample.py"
    sample.write_text("import os.path\nfrom ..nas import cli\ndef late():\n    from optuna.trial import Trial\n")
    assert _imported(sample) == {"os", "..nas", "optuna"} and _imported(sample, top_level_only=True) == {"os", "..nas"}


@pytest.mark.parametrize("name", ["nas/cli.py", *(f"nas/commands/{name}.py" for name in (*COMMANDS, "options"))])
def test_commands_import_nothing_heavy(name: str):
    light = {"__future__", "click", "collections", "contextlib", "dataclasses", "importlib", "json", "math", "pathlib"}
    assert _imported(ROOT / name, top_level_only=True) <= light | {"nas", "signal", "sys", "typing"}


def test_help_loads_no_heavy_package():
    script = (
        "import sys, nas.cli\n"
        "try: nas.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('HEAVY', *sorted({'torch', 'pandas', 'optuna', 'ray', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1].strip() == "HEAVY"


def test_no_unsafe_calls_in_the_packages():
    unsafe = re.compile(r"yaml\.load\(|pickle\.loads?\(|\beval\(|\bexec\(|weights_only=False|urlopen|requests\.")
    found = [
        f"{_name(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if unsafe.search(line) and ".eval()" not in line
    ]
    assert not found
