"""The script that an export has beside its network, for the tests that read outputs by it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "nas" / "exporters" / "kit" / "postprocess.py"


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """`postprocess.py`, as a module."""
    script = importlib.util.spec_from_file_location("postprocess", SCRIPT)
    assert script is not None and script.loader is not None
    module = importlib.util.module_from_spec(script)
    script.loader.exec_module(module)
    return module
