"""One node of the space for each block and set of options, for tests that cover every registered block."""

from __future__ import annotations

import numpy as np

from nas.cost import node_costs
from search_space import DESIGNS, Axis, Node, SearchSpace, lower
from search_space.graph import IMAGE
from search_space.space import INPUT_AXES

SPACE = SearchSpace()
RNG = np.random.default_rng(0)
BASES = [SPACE.encode(DESIGNS.get(name).architecture) for name in DESIGNS] + [SPACE.random(RNG) for _ in range(300)]
OF_INPUT = {"input_size": 256, "free_input_size": 320}
SMALL = {"width": 0.25, "fpn_width": 49, **OF_INPUT}
Shape = tuple[int, ...]


def blocks_of_the_space() -> dict[str, tuple[Node, list[Shape]]]:
    """Lowers points that take every choice of every axis, so that a newly registered block is met without a new test.

    Returns one node a block and set of options, with the shapes of its inputs.
    """
    found: dict[str, tuple[Node, list[Shape]]] = {}
    points = [SPACE.completed({**base, **SMALL}, _first) for base in BASES[: len(DESIGNS.names())]]
    for axis in SPACE.axes:
        for choice in () if axis.name in INPUT_AXES else axis.choices:
            taking = (
                SPACE.completed({**base, **small, axis.name: choice}, _first)
                for small in (SMALL, OF_INPUT)  # some axes are active at one width only
                for base in BASES
            )
            points.append(next(point for point in taking if point.get(axis.name) == choice))
    for params in points:
        graph = lower(SPACE.decode(params), num_classes=3)
        shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
        for node, count in node_costs(graph):
            shapes[node.name] = count.output_shape
            options = {name: value for name, value in node.arguments if isinstance(value, (str, bool))}
            found.setdefault(f"{node.block}-{options}", (node, [shapes[name] for name in node.inputs]))
    return found


def _first(axis: Axis) -> object:
    return axis.choices[0]
