"""Names are unique in the tree: one public class name, and one module name, for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping

import pytest
from import_graph import MODULES

SAME_CLASSES: dict[str, str] = {}
"""Class names that may occur more than once, with the reason."""
SAME_MODULES = {
    "anchor_free": "a kind of head: its layers in search_space, its training in trainers",
    "ssd": "a kind of head: its layers in search_space, its training in trainers",
    "two_stage": "a kind of head: its layers in search_space, its training in trainers",
    "backbone": "a part of a detector: its axes in point/, its nodes in lowering/",
    "convert": "of annotations in trainers.data, of weights in trainers.importing",
    "config": "what a run and what a training is configured by, each beside its package",
    "loop": "of trials in nas.engine, of training steps in trainers",
    "settings": "the settings of a search in nas, the declaration of settings in trainers",
    "detect": "detection in images in trainers, the script for boards",
    "pictures": "of a report in nas, of the script for boards",
    "plugins": "loaded in search_space, checked against a run in nas",
}
"""Module names that may occur more than once, with the reason."""
SUBJECTS = ("nas.api.", "nas.commands.")
"""Modules of a verb have its name here, and where its work is done."""


def _repeated(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns the names that occur in more than one place."""
    places: Mapping[str, list[str]] = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def _classes() -> Iterable[tuple[str, str]]:
    for module, path in MODULES.items():
        if ".kit." not in module:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name, module


def test_class_names_are_unique() -> None:
    assert {name: at for name, at in _repeated(_classes()).items() if name not in SAME_CLASSES} == {}


def test_module_names_are_unique() -> None:
    modules = [
        (module.rpartition(".")[2], module)
        for module, path in MODULES.items()
        if path.name != "__init__.py" and not module.startswith(SUBJECTS)
    ]
    assert {name: at for name, at in _repeated(modules).items() if name not in SAME_MODULES} == {}


@pytest.mark.parametrize("name", SAME_MODULES)
def test_exceptions_are_needed(name: str) -> None:
    assert sum(module.rpartition(".")[2] == name for module in MODULES) > 1


def test_repeated_names_are_found() -> None:
    assert _repeated([("A", "x"), ("B", "x"), ("A", "y")]) == {"A": ["x", "y"]}
