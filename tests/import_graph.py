"""The imports of the packages, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("search_space", "trainers", "results", "nas")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    """Returns the dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def imports(path: Path, *, late: bool = True, typing: bool = False) -> set[tuple[str, str]]:
    """Returns what a file imports as (module, name); the name is empty for `import module`.

    Args:
        late: Whether to include imports inside functions.
        typing: Whether to include imports under `if TYPE_CHECKING`.
    """
    found = set()
    for node in _nodes(ast.parse(path.read_text()), late=late, typing=typing):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {("." * node.level + (node.module or ""), alias.name) for alias in node.names}
    return found


def _nodes(tree: ast.AST, *, late: bool, typing: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not typing:
            continue
        yield node
        if late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _nodes(node, late=late, typing=typing)


@cache
def graph() -> dict[str, frozenset[str]]:
    """Returns the modules of the packages that each module imports: at its top level, inside functions or for types.

    The names that a lazy package lists for type checkers are left out: it imports them when they are used.
    """
    found = {name: imports(path, typing=path.name != "__init__.py") for name, path in MODULES.items()}
    return {
        name: frozenset(_home(*each) for each in imported if _home(*each) in MODULES) - {name}
        for name, imported in found.items()
    }


def _home(module: str, name: str) -> str:
    """Returns the module that an imported name comes from: a submodule, or where a package takes the name from."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    while (module, name) in (homes := _package_names(module)):
        module, name = homes[module, name]
    return module


@cache
def _package_names(module: str) -> Mapping[tuple[str, str], tuple[str, str]]:
    """Returns where the names of a package come from; a lazy package lists them under `if TYPE_CHECKING`."""
    path = MODULES.get(module)
    if path is None or path.name != "__init__.py":
        return {}
    return {(module, name): (origin, name) for origin, name in imports(path, typing=True) if origin in MODULES}


def circles(edges: Mapping[str, frozenset[str]]) -> list[set[str]]:
    """Returns the groups of modules that import each other, directly or through others."""
    reached = {name: _reached(name, edges) for name in edges}
    found: list[set[str]] = []
    for name in edges:
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def _reached(start: str, edges: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found
