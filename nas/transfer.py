"""Weights of one detector for another, with the shares of its parameters and multiply-adds that came along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from nas.cost import meta_block, node_costs
from search_space import Architecture, Detector, Graph, lower
from trainers.weight_transfer import NodeTransfer, WeightShapes, count_transfer, transfer_weights, weight_shapes
from trainers.weights import Weights


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """How much of a detector has the weights of a donor; 1 for an identical architecture with the same classes."""

    parameters: float
    """Share of the parameters that came along, 0 to 1."""
    macs: float
    """Share of the multiply-adds whose weights came along, 0 to 1."""
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
    return TransferReport(
        parameters=sum(each.parameters for each in transfers.values()) / max(num_parameters, 1),
        macs=_macs_share(detector.graph, transfers),
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
    return _macs_share(target.graph, count_transfer(target, donor))


def _macs_share(graph: Graph, transfers: Mapping[str, NodeTransfer]) -> float:
    macs = came_macs = 0.0
    for node, count in node_costs(graph):
        came = transfers.get(node.shares or node.name)
        if came is not None and came.num_weights:
            macs += count.macs
            came_macs += count.macs * (came.weights / came.num_weights)
    return came_macs / max(macs, 1.0)
