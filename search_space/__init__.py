"""What a detector can be: architectures, the space they span, and the modules they become."""

from __future__ import annotations

from search_space import heads  # noqa: F401  isort: skip  a `Head` is one of the kinds that are known
from search_space.architecture import Architecture
from search_space.axis import Axis
from search_space.designs import DESIGNS, Design
from search_space.detector import Detector
from search_space.graph import Graph, Node
from search_space.lowering import lower
from search_space.parts import Backbone, Extra, Head, Neck, Stage, Unit
from search_space.space import SearchSpace

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
    "Neck",
    "Node",
    "SearchSpace",
    "Stage",
    "Unit",
    "lower",
]
