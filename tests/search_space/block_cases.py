"""One node of the space for each block and set of options, for tests that cover every registered block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from nas.cost import node_costs
from search_space import DESIGNS, Axis, Graph, Node, SearchSpace, lower
from search_space.graph import IMAGE
from search_space.space import INPUT_AXES

SPACE = SearchSpace()
OF_INPUT = {"input_size": 256, "free_input_size": 320}
SMALL = {"width": 0.25, "fpn_width": 49, **OF_INPUT}
Shape = tuple[int, ...]


class Lowered:
    """A graph whose maps are measured when a test first asks for their shapes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape `(C, H, W)` of each map by the name of its node."""
        return {IMAGE: (3, *self.graph.input_hw)} | {
            node.name: count.output_shape for node, count in node_costs(self.graph)
        }


@dataclass(frozen=True, kw_only=True)
class BlockCase:
    """A node and the point that it was met in."""

    node: Node
    point: Lowered

    def inputs(self) -> list[Shape]:
        """Returns the shapes `(C, H, W)` of the inputs of the node."""
        return [self.point.shapes[name] for name in self.node.inputs]


@cache
def blocks_of_the_space() -> dict[str, BlockCase]:
    """Lowers points that take every choice of every axis, so that a newly registered block is met without a new test.

    Returns one node a block and set of options. Nothing is counted yet, so that it is quick where tests are collected.
    """
    found: dict[str, BlockCase] = {}
    for params in _points():
        point = Lowered(lower(SPACE.decode(params), num_classes=3))
        for node in point.graph.nodes:
            options = {name: value for name, value in node.arguments if isinstance(value, (str, bool))}
            found.setdefault(f"{node.block}-{options}", BlockCase(node=node, point=point))
    return found


def _points() -> list[dict[str, object]]:
    """Returns a small point for each design and for each choice of each axis."""
    rng = np.random.default_rng(0)
    bases = [SPACE.encode(DESIGNS.get(name).architecture) for name in DESIGNS]
    points = [SPACE.completed({**base, **SMALL}, _first) for base in bases]
    bases += [SPACE.random(rng) for _ in range(300)]
    for axis in SPACE.axes:
        for choice in () if axis.name in INPUT_AXES else axis.choices:
            taking = (
                SPACE.completed({**base, **small, axis.name: choice}, _first)
                for small in (SMALL, OF_INPUT)  # some axes are active at one width only
                for base in bases
            )
            points.append(next(point for point in taking if point.get(axis.name) == choice))
    return points


def _first(axis: Axis) -> object:
    return axis.choices[0]
