"""The detector as an ordered list of nodes, lowered from an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from search_space.architecture import Architecture
from search_space.blocks import find_block
from search_space.errors import SpaceError
from search_space.registry import Registry

Arguments = tuple[tuple[str, object], ...]
"""Constructor arguments of a block as (name, value) pairs, so that they can be a dictionary's key."""

IMAGE = "image"
"""The name of the graph's input, a `(B, 3, H, W)` image with values from 0 to 1."""


@dataclass(frozen=True)
class Node:
    """One block of a detector: what it is built with and which maps it takes."""

    name: str
    block: str
    """`role:name` in the registries of blocks."""
    arguments: Arguments
    inputs: tuple[str, ...]
    level: int
    """Pyramid level of the output; its stride is 2 ** level."""


@dataclass(frozen=True)
class Graph:
    """A detector for a number of classes, as nodes in the order they run."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    """Names of the head nodes, finest level first."""
    strides: tuple[int, ...]
    num_classes: int
    input_hw: tuple[int, int]


@dataclass(frozen=True)
class Tap:
    """A map inside the detector under construction: `(B, channels, H / 2 ** level, W / 2 ** level)`."""

    name: str
    channels: int
    level: int


@dataclass
class Builder:
    """Collects nodes and follows the channels from one to the next."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, output: Tap, block: str, inputs: tuple[Tap, ...], **arguments: object) -> Tap:
        """Appends the node that makes `output` by building `block` with `arguments`; returns `output`."""
        names = tuple(tap.name for tap in inputs)
        self.nodes.append(Node(output.name, block, tuple(arguments.items()), names, output.level))
        return output


Lowering = Callable[[Architecture, int], Graph]

LOWERINGS: Registry[Lowering] = Registry("family")
"""How the architectures of each family become graphs: `(architecture, num_classes) -> Graph`."""


def lower(architecture: Architecture, *, num_classes: int, input_hw: tuple[int, int] | None = None) -> Graph:
    """Returns the graph of an architecture for a number of classes, optionally at another input size.

    Raises:
        SpaceError: for an unknown block or family, an input size the detector cannot take, or no class.
    """
    if num_classes < 1:
        raise SpaceError(f"num_classes must be at least 1, got {num_classes}")
    if input_hw is not None:
        architecture = architecture.resized(input_hw)
    graph = LOWERINGS.get(architecture.family)(architecture, num_classes)
    _check_map_sizes(graph)
    return graph


def _check_map_sizes(graph: Graph) -> None:
    """Raises SpaceError where a map is smaller than a block can take, such as the padding of its convolution."""
    for node in graph.nodes:
        smallest = getattr(find_block(node.block), "min_side", 1)
        if min(graph.input_hw) >> node.level < smallest:
            raise SpaceError(
                f"{node.block} on P{node.level} needs maps of at least {smallest} cells a side, the input "
                f"{graph.input_hw} gives fewer; use an input of at least {smallest << node.level}"
            )
