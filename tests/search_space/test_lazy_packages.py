"""Imports: the package is lazy, and the built-in kinds of head are known whichever module comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import results
import search_space

ROOT = Path(__file__).parents[2]
LIGHT = (
    "search_space",
    "search_space.architecture",
    "search_space.axis",
    "search_space.errors",
    "search_space.files",
    "search_space.head_kind",
    "search_space.parts",
    "search_space.plain",
    "search_space.registry",
    "search_space.yaml_text",
    "results",
    "results.visible",
)
FIRST = (
    "search_space.architecture",
    "search_space.blocks",
    "search_space.designs",
    "search_space.graph",
    "search_space.head_kind",
    "search_space.heads.two_stage",
    "search_space.point.layout",
)


def output_of(script: str) -> str:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_light_modules_import_no_large_package() -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'scipy', 'optuna'}"
    loop = f"for name in {LIGHT}:\n    import_module(name)\n    print(name, *{heavy} & set(sys.modules))"
    assert output_of(f"import sys\nfrom importlib import import_module\n{loop}").splitlines() == list(LIGHT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_built_in_heads_are_known_in_order_whichever_module_is_imported_first() -> None:
    """Each module in a process of its own that has PyTorch already."""
    script = f"""
import importlib, os, torch
for module in {FIRST}:
    if (child := os.fork()) == 0:
        importlib.import_module(module)
        from search_space.head_kind import HEAD_KINDS
        print(module, *HEAD_KINDS, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    assert output_of(script).splitlines() == [f"{module} anchor_free ssd two_stage" for module in FIRST]


@pytest.mark.slow
def test_the_blocks_of_the_heads_are_known_without_an_import_of_them() -> None:
    assert "anchor_free" in output_of("from search_space.blocks import ROLES\nprint(*ROLES['head'])")


@pytest.mark.parametrize("package", [search_space, results])
def test_every_public_name_of_a_lazy_package_is_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert set(names) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in names)
    assert not hasattr(package, "Architektur")
