"""The layouts of all tensors of a detector, and the role of each of its nodes, by which detectors are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from search_space.blocks import find_block
from search_space.channel_layout import ChannelTrace, Layout, TensorLayout, equal_parts, labelled, one_part, width
from search_space.graph import IMAGE, Graph, Node
from search_space.input_format import InputFormat
from search_space.parts import DEFAULT_ACTIVATION

COLOURS = ("red", "green", "blue")
FINISHING = re.compile(r"_(block|unit\d+)$")
"""Ends of the names of nodes that finish what an earlier node of that level has begun."""
FLOATING = ("context", "context_attention", "l2_scale")
"""Nodes whose level their name does not say."""


@dataclass(frozen=True, kw_only=True)
class NodeLayout:
    """One node that has weights of its own."""

    name: str
    roles: tuple[str, ...]
    """What it is in any detector, such as `p3_block`; several where other nodes share its weights."""
    block: type[nn.Module]
    tensors: Mapping[str, TensorLayout]
    """By the name of the tensor in the state of the block, in the order of execution."""
    repeats: Mapping[str, tuple[type[nn.Module], ...]]
    """The classes of the entries of each container of repeated layers, by its path in the block."""


def detector_layout(
    graph: Graph, blocks: Mapping[str, nn.Module], classes: Sequence[str] | None = None
) -> list[NodeLayout]:
    """Returns the layouts of all nodes of a graph that have tensors of their own.

    Args:
        blocks: the modules of the nodes by name; they may be on the `meta` device.
        classes: names of the classes; None: classes are told apart by their index.
    """
    maps: dict[str, Layout] = {IMAGE: image_layout(graph.input_format)}
    origins = {IMAGE: IMAGE}
    roles: dict[str, list[str]] = {}
    traces: dict[str, ChannelTrace] = {}
    for node in graph.nodes:
        owner = node.shares or node.name
        inputs = [maps[name] for name in node.inputs]
        if len(inputs) > 1:
            inputs = [labelled(origins[name], layout) for name, layout in zip(node.inputs, inputs, strict=True)]
        trace = ChannelTrace(blocks[owner], classes)
        # Weights that were trained with another activation are of no use.
        variant = "" if node.activation == DEFAULT_ACTIVATION else node.activation
        maps[node.name] = _output(node, trace(blocks[owner], *inputs, variant=variant))
        before = origins[node.inputs[0]]
        origins[node.name] = _origin(node, before)
        roles.setdefault(owner, []).append(f"{before}_{node.name}" if node.name in FLOATING else node.name)
        traces.setdefault(owner, trace)
    return [
        NodeLayout(
            name=name,
            roles=tuple(roles[name]),
            block=type(blocks[name]),
            tensors=trace.tensors,
            repeats=dict(_repeats(blocks[name])),
        )
        for name, trace in traces.items()
        if trace.tensors
    ]


def image_layout(input_format: InputFormat) -> Layout:
    """Returns the layout of the image that the first node reads, in the order of its format."""
    return equal_parts(COLOURS[:: -1 if input_format.channels == "bgr" else 1], 1)


def _origin(node: Node, before: str) -> str:
    """Returns what the map of a node is called behind a concatenation: the same with and without attention after it.

    A map that comes from another level is what it is for the concatenation, whatever it comes from.
    """
    if node.block.startswith("attention:") or node.name in FLOATING:
        return before
    return FINISHING.sub("", node.name)


def _output(node: Node, traced: Layout) -> Layout:
    """Returns the layout of the map of a node: one part where the block does not say how its channels come about."""
    channels = _output_channels(node)
    return traced if channels is None or width(traced) == channels else one_part(channels)


def _output_channels(node: Node) -> int | None:
    """Returns the number of channels of a node's map, where its role decides it."""
    block, arguments = find_block(node.block), dict(node.arguments)
    if "out_channels" in arguments:
        return int(arguments["out_channels"]) * int(getattr(block, "channel_factor", 1))  # type: ignore[call-overload, no-any-return]
    if node.block.startswith("fusion:"):
        return int(block.output_channels(arguments["in_channels"]))  # type: ignore[attr-defined]
    return None


def _repeats(block: nn.Module) -> Iterator[tuple[str, tuple[type[nn.Module], ...]]]:
    """Yields the containers that the modules of a block name in `repeated`, with the classes of their entries."""
    for path, module in block.named_modules():
        for name in getattr(module, "repeated", ()):
            container = module.get_submodule(name)
            where = ".".join(part for part in (path, name) if part)
            yield where, tuple(type(entry) for entry in container.children())
