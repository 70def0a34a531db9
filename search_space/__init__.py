"""What a detector can be: architectures, the space they span, and the modules they become.

The names below are imported when they are first used, so that light modules such as `search_space.errors` can be
imported without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_space.architecture import Architecture
    from search_space.axis import Axis
    from search_space.designs import DESIGNS, Design
    from search_space.detector import Detector
    from search_space.graph import Graph, Node
    from search_space.input_format import InputFormat
    from search_space.lowering import lower
    from search_space.parts import Backbone, Extra, Head, Neck, Stage, Unit
    from search_space.space import SearchSpace
    from search_space.tile_grid import TileGrid

_MODULES = {
    "DESIGNS": "designs",
    "Architecture": "architecture",
    "Axis": "axis",
    "Backbone": "parts",
    "Design": "designs",
    "Detector": "detector",
    "Extra": "parts",
    "Graph": "graph",
    "Head": "parts",
    "InputFormat": "input_format",
    "Neck": "parts",
    "Node": "graph",
    "SearchSpace": "space",
    "Stage": "parts",
    "TileGrid": "tile_grid",
    "Unit": "parts",
    "lower": "lowering",
}
"""The module of each public name."""

__all__ = [
    "DESIGNS",
    "Architecture",
    "Axis",
    "Backbone",
    "Design",
    "Detector",
    "Extra",
    "Graph",
    "Head",
    "InputFormat",
    "Neck",
    "Node",
    "SearchSpace",
    "Stage",
    "TileGrid",
    "Unit",
    "lower",
]


if not TYPE_CHECKING:  # so that type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        """Imports a public name when it is first used (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
