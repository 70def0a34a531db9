"""The module that runs a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_space.blocks.vgg import scale_stem
from search_space.graph import IMAGE, Graph, Node, build
from search_space.head_kind import HEAD_KINDS
from search_space.heads.assignment import is_one_to_one
from search_space.input_format import InputFormat


class Detector(nn.Module):
    """Runs the nodes of a graph on images, which it first converts to the graph's input format.

    Attributes:
        input_format: the input that the network is made for; its `fit` is for those who prepare images.
        tiles: how a picture is cut into inputs; for those who prepare images.
        head: the kind of head, one of `HEAD_KINDS`; its settings are in `graph.head`.
        strides: pixels per cell of each level with a head, finest first.
        reg_max: numbers for each box side, the option `bins` of an anchor-free head; 0 for other kinds.
        one_to_one: whether the head gives one box per object, so that its outputs are read without NMS.
        one_to_many: the second head of a detector that is in training with the assignment `dual`, otherwise None.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.num_classes = graph.num_classes
        self.input_hw = graph.input_hw
        self.input_format = graph.input_format
        self.tiles = graph.tiles
        self.head = graph.head.kind
        kind = HEAD_KINDS.get(self.head)
        self.strides = graph.strides
        self.reg_max = int(graph.head.option("bins")) if "bins" in kind.options else 0
        self.one_to_one = is_one_to_one(graph.head)
        self.one_to_many: nn.Module | None = None
        self.blocks = nn.ModuleDict({node.name: build(node) for node in graph.nodes if node.shares is None})
        self.convert = InputConversion(graph.input_format)
        self._plans = {graph.outputs: _plan(graph, graph.outputs)}
        scale_stem(self.blocks[graph.nodes[0].name], graph.input_format)
        kind.connect(self.blocks, graph)
        kind.init_weights(self.blocks, graph)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images `(B, 3, H, W)`, RGB from 0 to 1, to the raw outputs of the head, finest level first.

        An anchor-free head gives `(B, 4 * reg_max + num_classes, H / stride, W / stride)` a level. An SSD head gives
        `(B, 4k + k * (num_classes + 1), h, w)` a map for k anchors a cell: box offsets, then classes with the
        background first. A two-stage head gives `(B, 15, h, w)` a level from its proposal head, then the proposals
        `(B, N, 4)` in pixels, then their results `(B, N, num_classes + 5)`: classes with the background first, box.
        """
        return self.maps(images, self.graph.outputs)

    def maps(self, images: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Returns the outputs of the named nodes, in this order. Runs only the nodes that they depend on.

        Args:
            images: `(B, 3, H, W)`, RGB from 0 to 1.
            names: Names of nodes of the graph.
        """
        wanted = tuple(names)
        if wanted not in self._plans:
            self._plans[wanted] = _plan(self.graph, wanted)
        maps = {IMAGE: self.convert(images)}
        for node, done_with in self._plans[wanted]:
            maps[node.name] = self.blocks[node.shares or node.name](*(maps[name] for name in node.inputs))
            for name in done_with:
                del maps[name]
        return [maps[name] for name in wanted]


class InputConversion(nn.Module):
    """Converts images `(B, 3, H, W)`, RGB from 0 to 1, to the channels, range and normalisation of an input format.

    RGB from 0 to 1 itself is returned as it is. The constants are no part of a state dict: they belong to the
    architecture.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, input_format: InputFormat) -> None:
        super().__init__()
        white = input_format.value_range
        self.flips = input_format.channels == "bgr"
        self.subtracts = any(input_format.mean)
        self.scales = any(value != white for value in input_format.std)
        mean = torch.tensor([value / white for value in input_format.mean])
        scale = torch.tensor([white / value for value in input_format.std])
        self.register_buffer("mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("scale", scale.view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.flips:
            images = images.flip(1)
        if self.subtracts:
            images = images - self.mean
        return images * self.scale if self.scales else images

    def inverse(self, inputs: Tensor) -> Tensor:
        """Returns the images `(B, 3, H, W)` that `forward` converts to `inputs`, such as noise for the network."""
        images = inputs / self.scale + self.mean
        return images.flip(1) if self.flips else images


class _Step(NamedTuple):
    """A node to run, and the maps that no later node needs, whose memory is freed."""

    node: Node
    done_with: tuple[str, ...]


def _plan(graph: Graph, names: tuple[str, ...]) -> tuple[_Step, ...]:
    """Returns the steps that compute the outputs of the named nodes."""
    needed = set(names)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    last_user = {name: node.name for node in nodes for name in node.inputs}
    done_with: dict[str, list[str]] = {node.name: [] for node in nodes}
    for name, user in last_user.items():
        if name not in names:
            done_with[user].append(name)
    return tuple(_Step(node, tuple(done_with[node.name])) for node in nodes)
