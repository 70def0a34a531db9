"""The cost of an architecture: the sum over its graph's nodes, each block counted once and remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from nas.cost.counting import BlockCount, Shape, count_module
from search_space import Architecture, Graph, Node, lower
from search_space.graph import IMAGE, Arguments, build, cannot_be

_COUNTS: dict[tuple[str, Arguments, tuple[Shape, ...]], BlockCount] = {}
"""What is known already: a block, built with these arguments, on inputs of these shapes."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a detector costs for one image; all counts are exact."""

    macs: int
    """Multiply-adds; fvcore calls them FLOPs."""
    params: int
    """Trainable parameters, batch norm unfolded."""
    weight_bytes: int
    """Parameters and buffers as 32-bit floats."""
    activation_bytes: int
    """All that the operators write, as 32-bit floats: memory traffic, not the peak."""

    @property
    def gmacs(self) -> float:
        """Billion multiply-adds."""
        return self.macs / 1e9

    @property
    def gflops_2x(self) -> float:
        """Billion operations with a multiply-add as two, the Ultralytics count of convolutions."""
        return 2 * self.macs / 1e9

    @property
    def params_m(self) -> float:
        """Million parameters."""
        return self.params / 1e6


def cost_of(architecture: Architecture, *, num_classes: int, input_hw: tuple[int, int] | None = None) -> Cost:
    """Returns the cost of an architecture; well under a millisecond where all its blocks are remembered.

    Raises:
        SpaceError: where it cannot be lowered, or runs an operator that nobody has said how to count.
    """
    graph = lower(architecture, num_classes=num_classes, input_hw=input_hw)
    macs = params = weight_bytes = activation_bytes = 0
    for _, count in node_costs(graph):
        macs += count.macs
        params += count.params
        weight_bytes += count.weight_bytes
        activation_bytes += count.activation_bytes
    return Cost(macs=macs, params=params, weight_bytes=weight_bytes, activation_bytes=activation_bytes)


def node_costs(graph: Graph) -> Iterator[tuple[Node, BlockCount]]:
    """Yields each node of a graph with what it costs at the graph's input size; shared weights count once."""
    shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
    for node in graph.nodes:
        inputs = tuple([shapes[name] for name in node.inputs])
        key = (node.block, node.arguments, inputs)
        count = _COUNTS.get(key)
        if count is None:
            count = _COUNTS[key] = _count_node(node, inputs)
        shapes[node.name] = count.output_shape
        yield node, count if node.shares is None else replace(count, params=0, weight_bytes=0)


def _count_node(node: Node, shapes: tuple[Shape, ...]) -> BlockCount:
    with torch.device("meta"):
        block = build(node)
    try:
        return count_module(block, *shapes)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise cannot_be(node, error) from error
