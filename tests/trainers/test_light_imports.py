"""Modules that commands read before any work begins load no large package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIGHT = (
    "trainers",
    "trainers.config",
    "trainers.data",
    "trainers.data.defects",
    "trainers.data.format",
    "trainers.settings",
)


def _printed(script: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


@pytest.mark.parametrize("module", LIGHT)
def test_settings_and_registries_are_light(module: str):
    script = f"import sys, {module}; print('HEAVY', *sorted({{'torch', 'cv2', 'numpy', 'PIL'}} & set(sys.modules)))"
    assert _printed(script) == ["HEAVY"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imported", "name", "first"),
    [
        ("trainers", "HEAD_TRAINING", "anchor_free"),
        ("trainers.data", "FORMATS", "coco"),
        ("trainers.data.format", "FORMATS", "coco"),
        ("trainers.proxies", "PROXIES", "gradient_norm"),
    ],
)
def test_registries_are_full_when_they_are_asked(imported: str, name: str, first: str):
    assert _printed(f"from {imported} import {name}; print(*{name})")[0] == first


@pytest.mark.slow
def test_a_format_of_a_plug_in_comes_after_the_built_in_ones():
    script = "from trainers.data.format import FORMATS, Format; FORMATS.add('own', Format(readers=())); print(*FORMATS)"
    assert _printed(script)[0] == "coco" and _printed(script)[-1] == "own"


@pytest.mark.slow
@pytest.mark.parametrize("package", ["trainers", "trainers.data"])
def test_every_public_name_can_be_imported(package: str):
    script = f"import {package} as package; print(*[name for name in package.__all__ if not hasattr(package, name)])"
    assert _printed(script) == []
