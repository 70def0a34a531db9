"""The cost of an architecture: the sum over the nodes of its graph. Each block is counted once and cached."""

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

NodeKey = tuple[str, Arguments, tuple[Shape, ...], str]
"""A block, its arguments, its input shapes and the activation: everything that its cost depends on."""

_COUNTS: dict[NodeKey, BlockCount] = {}
"""Cached counts."""

MAX_BLOCKS = 256
_BLOCKS: dict[tuple[str, Arguments, str], nn.Module] = {}
"""The most recently built blocks, without weights: a few kB per layer."""


EXTRAPOLATES_FROM = 0.05
"""Share of the time in unmeasured operators at which a latency counts as extrapolated."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The predicted time for one image; never a measurement."""

    latency_ms: float
    low_ms: float
    high_ms: float
    """The interval from `low_ms` to `high_ms` contains the measured time with the requested confidence."""
    unsupported_share: float
    """Share of the time in operators that the profile has no measurement of."""
    unlike_measured: bool = False
    """Whether no measured family has a similar composition: similar shares of the time by class of operators."""

    @property
    def extrapolated(self) -> bool:
        """Whether so much is unmeasured that the interval is based on an assumption instead of measured errors."""
        return self.unsupported_share >= EXTRAPOLATES_FROM


class PredictsLatency(Protocol):
    """Predicts the latency of a graph on one device."""

    def latency(self, graph: Graph) -> Latency:
        """Returns the predicted latency of a graph."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a detector for one image, in all of its tiles. Counts are exact, the latency is a prediction."""

    macs: int
    """Multiply-adds of the deployed form, in which branches are merged; fvcore calls them FLOPs."""
    macs_trained: int
    """Multiply-adds as trained, with all branches."""
    params: int
    """Trainable parameters as trained, batch norm unfolded."""
    params_deployed: int
    """Parameters of the deployed form; a batch norm that belongs to no merged branch counts as in `params`."""
    weight_bytes: int
    """Parameters and buffers as trained, as 32-bit floats."""
    activation_bytes: int
    """Everything that the operators of the deployed form write, as 32-bit floats: memory traffic, not the peak."""
    memory_bytes: int
    """Peak of the image and activations alive at one time, as 32-bit floats, without weights. A runtime that fuses
    operators needs less."""
    latency: Latency | None = None
    """On the requested device; None without one."""
    passes: int = 1
    """Passes of the network for an image, one for each of its tiles. Multiply-adds and latency are those of all; bytes
    are those of one."""

    @property
    def latency_high_ms(self) -> float:
        """Upper end of the latency interval in milliseconds, which a budget limits.

        Raises:
            ValueError: No device was given.
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
        """Billion operations with a multiply-add counted as two, the Ultralytics count of convolutions."""
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
    """Returns the cost of an architecture; takes well under a millisecond if all its blocks are cached.

    Args:
        device: Predicts the latency; None leaves it out.

    Raises:
        SpaceError: The architecture cannot be lowered, or runs an operator without a counting rule.
    """
    graph = lower(architecture, num_classes=num_classes, input_hw=input_hw)
    passes = graph.tiles.count
    counts = list(node_costs(graph))
    macs = macs_trained = params = params_deployed = weight_bytes = activation_bytes = 0
    for _, count in counts:
        macs += count.macs
        macs_trained += count.macs_trained
        params += count.params
        params_deployed += count.params_deployed
        weight_bytes += count.weight_bytes
        activation_bytes += count.activation_bytes
    return Cost(
        macs=passes * macs,
        macs_trained=passes * macs_trained,
        params=params,
        params_deployed=params_deployed,
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
        memory_bytes=peak_memory(graph, [count for _, count in counts]),
        latency=None if device is None else device.latency(graph),
        passes=passes,
    )


def forget_blocks() -> None:
    """Clears the cached counts, after a block was replaced by another one of the same name."""
    _COUNTS.clear()
    _BLOCKS.clear()


def node_costs(graph: Graph) -> Iterator[tuple[Node, BlockCount]]:
    """Yields each node of a graph with its cost at the graph's input size; shared weights count once."""
    for node, _, count in counted_nodes(graph):
        yield node, count if node.shares is None else replace(count, params=0, params_deployed=0, weight_bytes=0)


def peak_memory(graph: Graph, counts: Sequence[BlockCount]) -> int:
    """Returns the peak bytes alive at one time: maps that a later node reads plus the memory of the running node."""
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
    """Yields each node of a graph with the cache key and the cost of its block."""
    shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
    for node in graph.nodes:
        key = (node.block, node.arguments, tuple([shapes[name] for name in node.inputs]), node.activation)
        count = _COUNTS.get(key)
        if count is None:
            count = _COUNTS[key] = _count_node(node, key[2])
        shapes[node.name] = count.output_shape
        yield node, key, count


def _count_node(node: Node, shapes: tuple[Shape, ...]) -> BlockCount:
    block = meta_block(node)
    try:
        return count_module(block, *shapes)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise cannot_be(node, error) from error


def meta_block(node: Node) -> nn.Module:
    """Returns a node's block on the `meta` device; it is built once for several input sizes."""
    key = (node.block, node.arguments, node.activation)
    block = _BLOCKS.get(key)
    if block is None:
        with OnMeta():
            block = build(node)
        if len(_BLOCKS) >= MAX_BLOCKS:
            del _BLOCKS[next(iter(_BLOCKS))]
        _BLOCKS[key] = block
    return block
