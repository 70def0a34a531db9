"""The module that runs a graph."""

from __future__ import annotations

from torch import Tensor, nn

from search_space.graph import IMAGE, Graph, build
from search_space.heads.anchor_free import REG_MAX


class Detector(nn.Module):
    """Runs the nodes of a graph on images.

    Attributes:
        head: `anchor_free`, `ssd` or `two_stage`.
        strides: pixels per cell of each level that carries a head, finest first.
        reg_max: bins of each side's distance distribution, of an anchor-free head.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.num_classes = graph.num_classes
        self.input_hw = graph.input_hw
        self.head = graph.head
        self.strides = graph.strides
        self.reg_max = REG_MAX
        self.blocks = nn.ModuleDict({node.name: build(node) for node in graph.nodes if node.shares is None})
        self._last_uses = _last_uses(graph)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images `(B, 3, H, W)`, RGB from 0 to 1, to the raw outputs of the head, finest level first.

        An anchor-free head gives `(B, 4 * reg_max + num_classes, H / stride, W / stride)` a level. An SSD head gives
        `(B, 4k + k * (num_classes + 1), h, w)` a map for k anchors a cell: box offsets, then classes with the
        background first. A two-stage head gives `(B, 15, h, w)` a level from its proposal head, then the proposals
        `(B, N, 4)` in pixels, then what they hold `(B, N, num_classes + 5)`: classes with the background first, box.
        """
        maps = {IMAGE: images}
        for node in self.graph.nodes:
            maps[node.name] = self.blocks[node.shares or node.name](*(maps[name] for name in node.inputs))
            for name in self._last_uses[node.name]:
                del maps[name]
        return [maps[name] for name in self.graph.outputs]


def _last_uses(graph: Graph) -> dict[str, list[str]]:
    """Returns, for each node, the maps that no later node needs, so that their memory can go."""
    last_user = {name: node.name for node in graph.nodes for name in node.inputs}
    frees: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for name, user in last_user.items():
        if name not in graph.outputs:
            frees[user].append(name)
    return frees
