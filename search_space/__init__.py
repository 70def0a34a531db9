"""What a detector can be: architectures, the space they span, and the modules they become."""

from __future__ import annotations

from search_space.architecture import Architecture, Backbone, Head, Neck, Stage
from search_space.detector import Detector
from search_space.graph import Graph, Node, lower
from search_space.space import Axis, SearchSpace

from search_space import lowering  # noqa: F401  isort: skip
from search_space.designs import DESIGNS, Design  # isort: skip

__all__ = [
    "DESIGNS",
    "Architecture",
    "Axis",
    "Backbone",
    "Design",
    "Detector",
    "Graph",
    "Head",
    "Neck",
    "Node",
    "SearchSpace",
    "Stage",
    "lower",
]
