"""The rules that imports must keep, read from the source: packages, floors, circles, and what starts fast."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from import_graph import MODULES, PACKAGES, ROOT, SOURCES, circles, graph, imports, module_of

from nas.cli import COMMANDS

MAY_IMPORT = {
    "search_space": {"search_space"},
    "trainers": {"trainers", "search_space"},
    "results": {"results"},
    "nas": set(PACKAGES),
}
FOREIGN = {"search_space": {"torch", "yaml", "numpy"}, "results": {"numpy", "pandas", "scipy"}}
"""Installed packages that are allowed, where not all are: `results` reads no tensors, `search_space` no tables."""
ONLY_IN = {"optuna": "nas/engine/", "ray": "nas/executors/ray", "fvcore": "nas/cost/"}
HEAVY = {"torch", "pandas", "optuna", "ray", "cv2", "numpy", "scipy"}
FLOORS = (
    ("data_words",),
    ("data_settings", "trackers"),
    ("box_drawing", "busy_machine", "locking", "process_control", "setting_forms", "settings", "weights_path"),
    ("advice", "architectures", "config", "cost"),
    ("data_state", "plugins", "run_folder", "transfer"),
    ("pretrained",),
    ("executors",),
    ("engine",),
    ("bench", "exporters", "reports"),
    ("api",),
    ("doctor",),
    ("commands",),
    ("cli",),
)
"""Modules and packages of `nas`, lowest first. Each imports only itself and the floors below, late imports included."""
FLOOR_OF = {f"nas.{name}": number for number, names in enumerate(FLOORS) for name in names}
MAX_COMMAND_LINES = 4_000


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _roots(path: Path, *, late: bool = True) -> set[str]:
    """Returns the top-level names that a file imports; a relative import keeps its dots."""
    modules = [module for module, _ in imports(path, late=late, typing=late)]
    return {module if module.startswith(".") else module.partition(".")[0] for module in modules}


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_run_downward(path: Path) -> None:
    package, imported = path.relative_to(ROOT).parts[0], _roots(path)
    assert not [name for name in imported if name.startswith(".")], "the rules are read from full names"
    assert imported & set(PACKAGES) <= MAY_IMPORT[package]
    installed = imported - set(PACKAGES) - sys.stdlib_module_names
    assert installed <= FOREIGN.get(package, installed)
    for module, place in ONLY_IN.items():
        assert module not in imported or _name(path).startswith(place)


def _floor(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_part_of_nas_has_a_floor() -> None:
    assert {_floor(name) for name in MODULES if name.startswith("nas.")} == set(FLOOR_OF)


def test_nas_imports_only_lower_floors() -> None:
    upward = sorted(
        f"{name} -> {other}"
        for name, others in graph().items()
        for other in others
        if _floor(name) in FLOOR_OF and _floor(other) in FLOOR_OF and _floor(name) != _floor(other)
        if FLOOR_OF[_floor(other)] >= FLOOR_OF[_floor(name)]
    )
    assert not upward


def test_no_modules_import_each_other() -> None:
    assert not circles(graph())


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles({name: frozenset(others) for name, others in edges.items()}) == [{"b", "c"}]


def test_names_of_packages_lead_to_their_modules() -> None:
    assert "search_space.architecture" in graph()["nas.cost.user_measurements"]
    assert "nas.cost.cost" in graph()["nas.plugins"], "late imports count"
    assert "nas.engine.strategies.ehvi" in graph()["nas.engine.strategies"], "submodules count"


def test_only_the_command_line_imports_commands() -> None:
    users = {name for name, others in graph().items() if any(other.startswith("nas.commands") for other in others)}
    assert {name for name in users if not name.startswith("nas.commands")} <= {"nas.cli"}


def test_commands_only_parse_call_and_print() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (ROOT / "nas" / "commands").rglob("*.py"))
    assert lines < MAX_COMMAND_LINES


def test_benchmarks_import_no_tests() -> None:
    paths = sorted((ROOT / "benchmarks").rglob("*.py"))
    assert len(paths) > 10
    assert not [_name(path) for path in paths if "tests" in _roots(path)]


UNDER_WAY = [path for path in SOURCES if _name(path).startswith(("nas/engine/", "results/"))]


@pytest.mark.parametrize("path", UNDER_WAY, ids=_name)
def test_a_running_search_imports_no_large_package(path: Path) -> None:
    """Ctrl-C in the middle of such an import leaves a package that is broken when the summary needs it."""
    late = _roots(path) - _roots(path, late=False)
    assert not late & {"numpy", "optuna", "pandas", "scipy", "torch"}


def test_the_rules_are_about_what_is_imported(tmp_path: Path) -> None:
    users = {module: {_name(path) for path in SOURCES if module in _roots(path)} for module in (*ONLY_IN, *PACKAGES)}
    assert all(users.values())
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)
    sample = tmp_path / "sample.py"
    sample.write_text("import os.path\nfrom ..nas import cli\ndef late():\n    from optuna.trial import Trial\n")
    assert _roots(sample) == {"os", "..nas", "optuna"} and _roots(sample, late=False) == {"os", "..nas"}


LIGHT = ("errors", "files", "plain", "registry", "yaml_text")
"""Modules of `search_space` that import nothing large."""


def test_light_modules_are_imported_at_the_top() -> None:
    light = {f"search_space.{name}" for name in LIGHT} | {"results.visible", "nas.locking", "nas.process_control"}
    late = sorted(
        f"{_name(path)}: {module}"
        for path in SOURCES
        for module in {each for each, _ in imports(path) - imports(path, late=False)}
        if module in light
    )
    assert not late


def _loaded(script: str) -> list[str]:
    """Runs a script in a new process and returns the heavy packages that it loaded."""
    ends = f"import sys\n{script}\nprint('HEAVY', *sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", ends], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.splitlines()[-1].split()[1:]


def test_import_nas_loads_no_heavy_package() -> None:
    assert not _loaded("import nas")
    assert _loaded("import nas.cost") == ["numpy", "torch"], "what is loaded is seen"


def test_the_command_line_loads_no_heavy_package() -> None:
    assert not _loaded("import nas.cli\ntry: nas.cli.main(['--help'])\nexcept SystemExit: pass")
    assert not _loaded("\n".join(f"import nas.commands.{name}" for name in (*COMMANDS, "options")))


def test_no_unsafe_calls_in_the_packages() -> None:
    unsafe = re.compile(r"yaml\.load\(|pickle\.loads?\(|\beval\(|\bexec\(|weights_only=False|urlopen|requests\.")
    found = [
        f"{_name(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if unsafe.search(line) and ".eval()" not in line
    ]
    assert not found


def test_modules_have_the_names_of_their_files() -> None:
    assert module_of(ROOT / "nas" / "cost" / "__init__.py") == "nas.cost"
    assert module_of(ROOT / "nas" / "cli.py") == "nas.cli"
