"""The transfer of weights from one detector to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from search_space import Detector
from trainers.weights import Weights


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """How much of a detector came along, as shares in 0..1."""

    parameters: float
    """Of the parameters."""
    macs: float
    """Of the multiply-adds."""
    by_node: Mapping[str, float] = field(default_factory=dict)
    """Of the parameters, by node of the graph."""


def transfer(detector: Detector, donor: Weights, *, classes: Sequence[str] | None = None) -> TransferReport:
    """Copies the tensors of equal name and shape into a detector, in place, and returns what came along.

    Args:
        detector: what does not come along stays as it is.
        donor: the weights to copy from.
        classes: names of the detector's classes; not used here.
    """
    own = detector.state_dict()
    fitting = {name: value for name, value in donor.state.items() if name in own and own[name].shape == value.shape}
    detector.load_state_dict(fitting, strict=False)
    sizes = {name: value.numel() for name, value in detector.named_parameters()}
    share = sum(size for name, size in sizes.items() if name in fitting) / sum(sizes.values())
    return TransferReport(parameters=share, macs=share)
