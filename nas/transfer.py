"""Weights of one detector for another, with the shares of its parameters and multiply-adds that came along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from operator import mul
from typing import NamedTuple

from nas.cost import meta_block, node_costs
from search_space import Architecture, Detector, Graph, lower
from search_space.graph import IMAGE
from trainers.weight_transfer import NodeTransfer, WeightShapes, count_transfer, transfer_weights, weight_shapes
from trainers.weights import Weights

GATES = "attention:"
"""The role of blocks that multiply a map by values from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """How much of a detector has the weights of a donor; 1 for an identical architecture with the same classes."""

    parameters: float
    """Share of the parameters that came along, 0 to 1."""
    macs: float
    """Share of the multiply-adds whose weights came along, 0 to 1."""
    usable_macs: float
    """The same share where weights behind new features count less; see `nas.transfer.usable_macs`."""
    by_node: Mapping[str, float]
    """Share of the parameters that came along, of each node of the graph that has any."""

    @property
    def is_empty(self) -> bool:
        """Whether no convolution and no matrix got anything."""
        return self.macs == 0

    def __str__(self) -> str:
        return f"{_percent(self.parameters)} of the parameters and {_percent(self.macs)} of the multiply-adds"


def _percent(share: float) -> str:
    """Returns a share in percent, rounded down, so that only 1 is 100 %."""
    return f"{floor(1000 * share) / 10:.1f}%"


def transfer(detector: Detector, donor: Weights, *, classes: Sequence[str] | None = None) -> TransferReport:
    """Fills a detector, in place, with what fits of the weights of another one; the rest is not changed.

    The result depends on the arguments alone. See `trainers.weight_transfer` for what fits.

    Args:
        classes: names of the detector's classes, for those that the donor also has. None, or a donor without class
            names: class weights come along by index if the numbers of classes are equal.

    Raises:
        ConfigError: the donor's tensors do not have the shapes that its architecture gives them.
        SpaceError: the donor's architecture is invalid.
    """
    transfers = transfer_weights(detector, donor, classes if donor.has_class_names else None)
    num_parameters = sum(each.num_parameters for each in transfers.values())
    macs, usable = _shares_of_macs(detector.graph, transfers)
    return TransferReport(
        parameters=sum(each.parameters for each in transfers.values()) / max(num_parameters, 1),
        macs=macs,
        usable_macs=usable,
        by_node={
            name: each.parameters / each.num_parameters for name, each in transfers.items() if each.num_parameters
        },
    )


def shapes_of(architecture: Architecture, *, num_classes: int, classes: Sequence[str] | None = None) -> WeightShapes:
    """Returns the shapes of a detector's tensors without building them; takes some 10 ms for blocks that were counted.

    Args:
        classes: names of the classes; None: classes are told apart by their index.

    Raises:
        SpaceError: the architecture is invalid.
    """
    graph = lower(architecture, num_classes=num_classes)
    blocks = {node.name: meta_block(node) for node in graph.nodes if node.shares is None}
    return weight_shapes(graph, blocks, classes)


def shared_macs(target: WeightShapes, donor: WeightShapes) -> float:
    """Returns the share of a detector's multiply-adds that `transfer` would fill from a donor, without any tensors."""
    return _shares_of_macs(target.graph, count_transfer(target, donor))[0]


def usable_macs(target: WeightShapes, donor: WeightShapes) -> float:
    """Returns the share of a detector's multiply-adds that a donor fills, weights behind new features left out.

    Weights are of use if the maps that they read are much as those that they were trained on. A single new layer is
    soon learned; behind a new backbone, all is new. A node therefore counts as far as its own weights come along, and
    at most as far as the way to it allows: the least, over the places on the way from the image, of the mean share of
    the layers up to there that come along. Of several inputs the mean is taken, weighted by their channels. Attention,
    a gate on a map that stays much the same, is no layer on the way.

    The result is the mean over all nodes, weighted by their multiply-adds: 1 for an identical architecture, at most
    `shared_macs`, and 0 if nothing of the first layer comes along. It does not fall with the number of layers that come
    along alike.
    """
    return _shares_of_macs(target.graph, count_transfer(target, donor))[1]


class _Way(NamedTuple):
    """What lies between the image and a map."""

    layers: float
    came: float
    """How many of these layers came along."""
    usable: float
    """The least mean share of the layers that came along, over the places on the way."""

    def behind(self, share: float) -> _Way:
        """Returns the way behind one more layer, of which a share came along."""
        layers, came = self.layers + 1.0, self.came + share
        return _Way(layers, came, min(self.usable, came / layers))


def _shares_of_macs(graph: Graph, transfers: Mapping[str, NodeTransfer]) -> tuple[float, float]:
    """Returns the share of the multiply-adds whose weights came along, and the share that is usable."""
    ways, channels = {IMAGE: _Way(0.0, 0.0, 1.0)}, {IMAGE: 3}
    macs = came_macs = usable_macs = 0.0
    for node, count in node_costs(graph):
        way = _mean([ways[name] for name in node.inputs], [channels[name] for name in node.inputs])
        came = transfers.get(node.shares or node.name)
        if came is not None and came.num_weights:
            own = came.weights / came.num_weights
            macs += count.macs
            came_macs += count.macs * own
            usable_macs += count.macs * min(own, way.usable)
            if not node.block.startswith(GATES):
                way = way.behind(own)
        ways[node.name], channels[node.name] = way, count.output_shape[0]
    return came_macs / max(macs, 1.0), usable_macs / max(macs, 1.0)


def _mean(ways: Sequence[_Way], weights: Sequence[int]) -> _Way:
    """Returns the weighted mean of the ways to the inputs of a node."""
    total = sum(weights)
    return _Way(*(sum(map(mul, weights, values)) / total for values in zip(*ways, strict=True)))
