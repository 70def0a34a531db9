"""The cost of an architecture: the sum over its graph's nodes, each block counted once and remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

from torch import nn

from nas.cost.counting import FLOAT_BYTES, BlockCount, Shape, count_module
from nas.cost.outputs import OnMeta
from search_space import Architecture, Graph, Node, lower
from search_space.graph import IMAGE, Arguments, build, cannot_be

NodeKey = tuple[str, Arguments, tuple[Shape, ...]]
"""A block, what it is built with, and the shapes of its inputs: all that its cost depends on."""

_COUNTS: dict[NodeKey, BlockCount] = {}
"""What is known already."""

MAX_BLOCKS = 256
_BLOCKS: dict[tuple[str, Arguments], nn.Module] = {}
"""The blocks that were built last, without numbers: a few kB a layer."""


EXTRAPOLATES_FROM = 0.05
"""Share of the time in operators never measured from which on a latency counts as extrapolated."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The predicted time of one image; never a measurement."""

    latency_ms: float
    low_ms: float
    high_ms: float
    """`low_ms` to `high_ms` holds the measured time with the confidence that was asked for."""
    unsupported_share: float
    """Share of the time in operators that the profile has never seen measured."""

    @property
    def extrapolated(self) -> bool:
        """Whether so much is unmeasured that the interval rests on an assumption instead of on measured errors."""
        return self.unsupported_share >= EXTRAPOLATES_FROM


class PredictsLatency(Protocol):
    """What predicts the latency of a graph on one device."""

    def latency(self, graph: Graph) -> Latency:
        """Returns the predicted latency of a graph."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a detector costs for one image; all counts are exact, the latency is a prediction."""

    macs: int
    """Multiply-adds; fvcore calls them FLOPs."""
    params: int
    """Trainable parameters, batch norm unfolded."""
    weight_bytes: int
    """Parameters and buffers as 32-bit floats."""
    activation_bytes: int
    """All that the operators write, as 32-bit floats: memory traffic, not the peak."""
    memory_bytes: int
    """The most that is alive at a time of the image and what the operators write, as 32-bit floats: peak memory of
    running the detector as it is, weights not counted; a runtime that fuses operators needs less."""
    latency: Latency | None = None
    """On the device that was asked for, if one was."""

    @property
    def latency_high_ms(self) -> float:
        """The upper end of the latency's interval in milliseconds: what a budget binds.

        Raises:
            ValueError: where no device was asked for.
        """
        if self.latency is None:
            raise ValueError("this cost has no latency: it was counted without a device")
        return self.latency.high_ms

    @property
    def memory_mb(self) -> float:
        """Peak memory of activations in MB, 1e6 bytes."""
        return self.memory_bytes / 1e6

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


def cost_of(
    architecture: Architecture,
    *,
    num_classes: int,
    input_hw: tuple[int, int] | None = None,
    device: PredictsLatency | None = None,
) -> Cost:
    """Returns the cost of an architecture; well under a millisecond where all its blocks are remembered.

    Args:
        device: Predicts the latency; without one the cost has none.

    Raises:
        SpaceError: where it cannot be lowered, or runs an operator that nobody has said how to count.
    """
    graph = lower(architecture, num_classes=num_classes, input_hw=input_hw)
    counts = list(node_costs(graph))
    macs = params = weight_bytes = activation_bytes = 0
    for _, count in counts:
        macs += count.macs
        params += count.params
        weight_bytes += count.weight_bytes
        activation_bytes += count.activation_bytes
    return Cost(
        macs=macs,
        params=params,
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
        memory_bytes=peak_memory(graph, [count for _, count in counts]),
        latency=None if device is None else device.latency(graph),
    )


def forget_blocks() -> None:
    """Forgets what blocks were counted to cost, after one of them was replaced by another of its name."""
    _COUNTS.clear()
    _BLOCKS.clear()


def node_costs(graph: Graph) -> Iterator[tuple[Node, BlockCount]]:
    """Yields each node of a graph with what it costs at the graph's input size; shared weights count once."""
    for node, _, count in counted_nodes(graph):
        yield node, count if node.shares is None else replace(count, params=0, weight_bytes=0)


def peak_memory(graph: Graph, counts: Sequence[BlockCount]) -> int:
    """Returns the most bytes alive at a time: maps that a later node reads, and what the node that runs holds."""
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    last_use.update(dict.fromkeys(graph.outputs, len(graph.nodes)))
    live_bytes = peak_bytes = prod((FLOAT_BYTES, 3, *graph.input_hw))
    sizes = {IMAGE: live_bytes}
    for index, (node, count) in enumerate(zip(graph.nodes, counts, strict=True)):
        peak_bytes = max(peak_bytes, live_bytes + count.peak_bytes)
        sizes[node.name] = FLOAT_BYTES * prod(count.output_shape)
        live_bytes += sizes[node.name]
        for name in {*node.inputs, node.name}:
            if last_use.get(name, index) == index:
                live_bytes -= sizes[name]
    return peak_bytes


def counted_nodes(graph: Graph) -> Iterator[tuple[Node, NodeKey, BlockCount]]:
    """Yields each node of a graph with what its block is remembered under, and what that costs by itself."""
    shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
    for node in graph.nodes:
        key = (node.block, node.arguments, tuple([shapes[name] for name in node.inputs]))
        count = _COUNTS.get(key)
        if count is None:
            count = _COUNTS[key] = _count_node(node, key[2])
        shapes[node.name] = count.output_shape
        yield node, key, count


def _count_node(node: Node, shapes: tuple[Shape, ...]) -> BlockCount:
    block = _block(node)
    try:
        return count_module(block, *shapes)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise cannot_be(node, error) from error


def _block(node: Node) -> nn.Module:
    """Returns a node's block on the `meta` device; of a network that is costed at several sizes it is built once."""
    key = (node.block, node.arguments)
    block = _BLOCKS.get(key)
    if block is None:
        with OnMeta():
            block = build(node)
        if len(_BLOCKS) >= MAX_BLOCKS:
            del _BLOCKS[next(iter(_BLOCKS))]
        _BLOCKS[key] = block
    return block
