"""Modules that commands read before any work begins load no large package."""

from __future__ import annotations

import os
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


SHOWING = {
    "HEAD_TRAINING": "from trainers import HEAD_TRAINING; print(*HEAD_TRAINING)",
    "FORMATS": "from trainers.data import FORMATS; print(*FORMATS)",
    "FORMATS of its module": "from trainers.data.format import FORMATS; print(*FORMATS)",
    "PROXIES": "from trainers.proxies import PROXIES; print(*PROXIES)",
    "a format of a plug-in": """
from trainers.data.format import FORMATS, Format
FORMATS.add("own", Format(readers=()))
print(*FORMATS)""",
    "missing in trainers": "import trainers as one; print(*[name for name in one.__all__ if not hasattr(one, name)])",
    "missing in trainers.data": "import trainers.data as one; print(*[n for n in one.__all__ if not hasattr(one, n)])",
}


@pytest.fixture(scope="module")
def shown() -> dict[str, list[str]]:
    """What each script of `SHOWING` prints, in a process of its own that has the large packages already."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    script = f"""
import os, cv2, numpy, pandas, torch
for name, text in {SHOWING!r}.items():
    if (child := os.fork()) == 0:
        print(name, end=":", flush=True)
        exec(text)
        print(flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    lines = (line.partition(":") for line in run.stdout.splitlines() if line)
    return {name: printed.split() for name, _, printed in lines}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("HEAD_TRAINING", "anchor_free"),
        ("FORMATS", "coco"),
        ("FORMATS of its module", "coco"),
        ("PROXIES", "gradient_norm"),
    ],
)
def test_registries_are_full_when_they_are_asked(name: str, first: str, shown: dict[str, list[str]]) -> None:
    assert shown[name][0] == first


@pytest.mark.slow
def test_a_format_of_a_plug_in_comes_after_the_built_in_ones(shown: dict[str, list[str]]) -> None:
    assert (shown["a format of a plug-in"][0], shown["a format of a plug-in"][-1]) == ("coco", "own")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["trainers", "trainers.data"])
def test_every_public_name_can_be_imported(package: str, shown: dict[str, list[str]]) -> None:
    assert shown[f"missing in {package}"] == []
