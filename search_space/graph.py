"""The graph of a detector: an ordered list of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from torch import nn

from search_space.blocks import find_block
from search_space.blocks.activation import set_activation
from search_space.errors import SpaceError
from search_space.input_format import InputFormat
from search_space.parts import DEFAULT_ACTIVATION, Head
from search_space.tile_grid import TileGrid

Arguments = tuple[tuple[str, object], ...]
"""Constructor arguments of a block as (name, value) pairs, which are hashable."""

IMAGE = "image"
"""The name of the graph's input, a `(B, 3, H, W)` image in the graph's input format."""

SECOND_RUN = "second_"
"""Prefix of the names of nodes in the second run of a dual path, which reuse the weights of an earlier node."""


class Node(NamedTuple):
    """One block of a detector with its constructor arguments and inputs."""

    name: str
    block: str
    """`role:name` in the block registries."""
    arguments: Arguments
    inputs: tuple[str, ...]
    level: int
    """Pyramid level of the output; its stride is 2 ** level."""
    part: str = "backbone"
    """`backbone`, `extras`, `neck`, `head`, `rpn` or `roi_head`."""
    shares: str | None = None
    """The earlier node whose weights this one reuses; None: it has its own."""
    activation: str = DEFAULT_ACTIVATION
    """The activation of the network at this node; see `search_space.blocks.activation`."""


@dataclass(frozen=True)
class Graph:
    """A detector for a number of classes, as nodes in execution order."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    """Names of the output nodes, finest level first, then the second stage of a two-stage head."""
    strides: tuple[int, ...]
    """Strides of the levels with a head, in pixels."""
    num_classes: int
    input_hw: tuple[int, int]
    head: Head
    input_format: InputFormat
    """What the first node sees; a `Detector` converts RGB from 0 to 1 to it."""
    tiles: TileGrid = TileGrid()
    """How a frame is cut into inputs: a frame takes a pass for each tile."""


class Tap(NamedTuple):
    """A feature map of a detector under construction: `(B, channels, *hw)`."""

    name: str
    channels: int
    level: int
    """log2 of its stride."""
    hw: tuple[int, int]

    def renamed(self, name: str, channels: int | None = None) -> Tap:
        """Returns a map of the same size with another name and, if given, other channels."""
        return Tap(name, self.channels if channels is None else channels, self.level, self.hw)


@dataclass
class Builder:
    """Collects nodes and keeps track of the channels, strides and sizes of the maps."""

    nodes: list[Node] = field(default_factory=list)
    part: str = "backbone"
    """The part of the detector that the next nodes belong to."""
    second_run: bool = False
    """Whether the next nodes reuse the weights of the nodes of the same name."""
    activation: str = DEFAULT_ACTIVATION
    """The activation of the next nodes."""

    def add(
        self,
        output: Tap,
        block: str,
        inputs: tuple[Tap, ...],
        arguments: Mapping[str, object] | None = None,
        *,
        shares: str | None = None,
    ) -> Tap:
        """Appends a node that computes `output` by `block` with `arguments`; returns `output`.

        Raises:
            SpaceError: An input map is smaller than the block allows.
        """
        smallest = _smallest_side(block)
        for tap in inputs if smallest > 1 else ():
            _check_side(block, tap, smallest)
        if self.second_run:
            output, shares = Tap(SECOND_RUN + output.name, output.channels, output.level, output.hw), output.name
        names = tuple(tap.name for tap in inputs)
        given = tuple((arguments or {}).items())
        node = Node(output.name, block, given, names, output.level, self.part, shares, self.activation)
        self.nodes.append(node)
        return output


@cache
def _smallest_side(block: str) -> int:
    """Returns the smallest side of an input map that a block accepts."""
    return int(getattr(find_block(block), "min_side", 1))


def _check_side(block: str, tap: Tap, smallest: int) -> None:
    if min(tap.hw) < smallest:
        raise SpaceError(
            f"{block} at stride {2**tap.level} needs maps of at least {smallest} cells a side, this input gives "
            f"{tap.hw[0]}x{tap.hw[1]}; use an input of at least {smallest << tap.level} pixels a side"
        )


def build(node: Node) -> nn.Module:
    """Returns a node's block, with the activation of the network.

    Raises:
        SpaceError: The block refuses the arguments of the node, such as a number of channels that it cannot split, or
            the activation is unknown.
    """
    try:
        block = find_block(node.block)(**dict(node.arguments))
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise cannot_be(node, error) from error
    set_activation(block, node.activation)
    return block


def cannot_be(node: Node, error: Exception) -> SpaceError:
    """Returns the error of a node whose block refuses its arguments or maps; a SpaceError is returned unchanged."""
    if isinstance(error, SpaceError):
        return error
    arguments = ", ".join(f"{name}={value}" for name, value in node.arguments)
    return SpaceError(
        f"node {node.name!r} cannot be {node.block} with {arguments}: {str(error).splitlines()[0]}; change these"
    )
