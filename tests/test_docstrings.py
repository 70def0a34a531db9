"""What docstrings must say, read from the source: that they exist, shapes of tensors, errors that users see, units.

Public is a module, and a class, function or method outside any function, whose name has no leading underscore. What a
method does not say its class may say: `forward` needs no docstring of its own.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from search_space import errors
from search_space.blocks import ROLES

ROOT = Path(__file__).parents[1]
PACKAGES = ("search_space", "trainers", "results", "nas")
USER_ERRORS = {name for name, thing in vars(errors).items() if inspect.isclass(thing) and name.endswith("Error")}

SHAPE = re.compile(r"`\([^`()]*,[^`()]*\)`|\b[Ss]calars?\b|\bany shape\b")
"""A shape such as `(B, C, H, W)` or `(N,)`, that a tensor is a scalar, or that any shape will do."""
TENSORS = re.compile(r"(?<!str, )\bTensor\b")
"""Of the tensors of a state, a mapping from names, the shapes are those of the module."""
QUANTITY = re.compile(r"(^|_)(ms|mb|bytes|minutes|seconds|latency|macs|flops|gflops)(_|$)")
UNIT = re.compile(r"(^|_)(ms|mb|bytes|minutes|seconds|percent|macs|gmacs|gflops)(_|$)")
UNIT_IN_WORDS = re.compile(r"\b(milliseconds?|ms|bytes|MB|minutes|seconds|MACs|GFLOPs|multiply-adds?|operations)\b")
Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True, kw_only=True)
class Place:
    """Something public, with what its docstring and that of the class around it say."""

    name: str
    node: ast.Module | Definition
    own: str
    both: str


def _text(node: ast.Module | Definition) -> str:
    return ast.get_docstring(node) or ""


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Gives what is defined in a module or a class, also under an `if` such as that of a platform."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            if not child.name.startswith("_") and "overload" not in map(ast.unparse, child.decorator_list):
                yield child
        elif isinstance(child, ast.If | ast.Try):
            yield from _public(child)  # type: ignore[arg-type]


def _places(path: Path) -> Iterator[Place]:
    tree, where = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix()
    if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(ROOT).parts):
        yield Place(name=where, node=tree, own=_text(tree), both=_text(tree))
    for node in _public(tree):
        yield Place(name=f"{where} {node.name}", node=node, own=_text(node), both=_text(node))
        if isinstance(node, ast.ClassDef):
            for each in _public(node):
                name = f"{where} {node.name}.{each.name}"
                yield Place(name=name, node=each, own=_text(each), both=f"{_text(each)}\n{_text(node)}")


@cache
def _all_places() -> list[Place]:
    return [each for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) for each in _places(path)]


def _function(place: Place) -> ast.FunctionDef | None:
    return place.node if isinstance(place.node, ast.FunctionDef) else None


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    args = function.args
    optional = [each for each in (args.vararg, args.kwarg) if each is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *optional]


def lacks_docstring(place: Place) -> bool:
    return not (place.both if getattr(place.node, "name", "") == "forward" else place.own)


def lacks_shape(place: Place) -> bool:
    function = _function(place)
    if function is None:
        return False
    annotations = [each.annotation for each in _parameters(function)] + [function.returns]
    typed = any(TENSORS.search(ast.unparse(each)) for each in annotations if each is not None)
    return typed and not SHAPE.search(place.both)


def lacks_error(place: Place) -> bool:
    """An error is named, or their family `UserError`. A command's docstring is its help, where no class belongs."""
    function = _function(place)
    if function is None:
        return False
    if any("click." in ast.unparse(each) for each in function.decorator_list):
        return False
    raised = [each.exc for each in ast.walk(function) if isinstance(each, ast.Raise)]
    names = {each.func.id for each in raised if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)}
    return "UserError" not in place.both and any(name not in place.both for name in names & USER_ERRORS)


def lacks_unit(place: Place) -> bool:
    function = _function(place)
    if function is None:
        return False
    names = [function.name, *(each.arg for each in _parameters(function))]
    vague = [name for name in names if QUANTITY.search(name) and not UNIT.search(name)]
    returned = ast.unparse(function.returns) if function.returns is not None else "None"
    if function.name in vague and returned not in ("int", "float", "int | None", "float | None", "Tensor"):
        vague.remove(function.name)  # what is returned names its own fields
    return bool(vague) and not UNIT_IN_WORDS.search(place.both)


@pytest.mark.parametrize(
    "lacks", [lacks_docstring, lacks_shape, lacks_error, lacks_unit], ids=["docstring", "shape", "error", "unit"]
)
def test_every_docstring_says_what_it_must(lacks: Callable[[Place], bool]) -> None:
    assert len(_all_places()) > 1000
    assert [place.name for place in _all_places() if lacks(place)] == []


SAMPLE = '''
"""A module."""
def bare(): pass
def shapeless(maps: list[Tensor]): "Takes maps."
def shaped(maps: list[Tensor]): "Takes maps `(B, C, H, W)`."
def stateful(state: dict[str, Tensor]): "Takes a state."
def silent(): "Fails."; raise DataError("x")
def honest(): "Fails; raises DataError."; raise DataError("x")
def vague(latency): "Takes a latency."
def exact(latency_ms): "Takes a latency."
def worded(flops): "Takes FLOPs as MACs."
def count_macs() -> int: "Counts."
def latency() -> float: "Predicts."
class Block:
    "Keeps `(B, C, H, W)`."
    def forward(self, x: Tensor) -> Tensor: return x
'''


@pytest.mark.parametrize(
    ("lacks", "found"),
    [
        (lacks_docstring, ["bare"]),
        (lacks_shape, ["shapeless"]),
        (lacks_error, ["silent"]),
        (lacks_unit, ["vague", "latency"]),
    ],
)
def test_what_is_missing_is_seen(
    lacks: Callable[[Place], bool], found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    monkeypatch.setattr("test_docstrings.ROOT", tmp_path)
    functions = [place for place in _places(tmp_path / "sample.py") if isinstance(place.node, ast.FunctionDef)]
    assert [place.name.split()[-1] for place in functions if lacks(place)] == found


def test_every_block_states_its_shapes() -> None:
    found = [f"{role}:{name}" for role, blocks in ROLES.items() for name in blocks]
    assert len(found) > 50
    assert [each for each in found if not SHAPE.search(_class_of(each).__doc__ or "")] == []


def _class_of(block: str) -> type:
    role, _, name = block.partition(":")
    return ROLES[role].get(name)
