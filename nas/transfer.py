"""Weights of one detector for another, with the shares of its parameters and multiply-adds that came along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from nas.cost import node_costs
from search_space import Detector
from trainers.weight_transfer import transfer_weights
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
    macs = came_macs = 0.0
    for node, count in node_costs(detector.graph):
        came = transfers.get(node.shares or node.name)
        if came is not None and came.num_weights:
            macs += count.macs
            came_macs += count.macs * (came.weights / came.num_weights)
    num_parameters = sum(each.num_parameters for each in transfers.values())
    return TransferReport(
        parameters=sum(each.parameters for each in transfers.values()) / max(num_parameters, 1),
        macs=came_macs / max(macs, 1.0),
        by_node={
            name: each.parameters / each.num_parameters for name, each in transfers.items() if each.num_parameters
        },
    )
