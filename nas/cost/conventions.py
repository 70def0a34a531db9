"""Counting conventions of papers, each computed from the built detector.

Papers differ: parameters with or without folded batch norm, a multiply-add as one operation or two, batch norm and
biases counted or not. A published figure is only compared with our count in the same convention. Detectors are built on
the `meta` device: no weights are allocated and nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nas.cost.cost import cost_of, node_costs
from search_space import Architecture, Detector, lower
from search_space.blocks.attention import ECA
from search_space.blocks.conv import Conv
from search_space.deployed import deployed

PROBE_SIDE = 32
"""Side in pixels of the image that Ultralytics counts on before it scales the count by the area."""

Handler = Callable[[tuple[Any, ...], Tensor], int]
"""Count from the positional arguments and the result of a function."""


@dataclass(frozen=True, kw_only=True)
class Convention:
    """One counting convention."""

    name: str
    sentence: str
    """What is counted and how."""
    unit: float
    """Unit of the published figure: 1e6 if it is printed in millions."""
    count: Callable[[Architecture, int], int]
    """Exact count from an architecture, at its own input size, and a number of classes."""


def dfl_constants(architecture: Architecture) -> int:
    """Returns the number of constants that published counts of anchor-free heads include: bins of the side distances.

    Ultralytics computes the expected distance with a convolution whose frozen weights are 0 to `bins` - 1; with one
    bin it has none.
    """
    bins = int(architecture.head.option("bins")) if architecture.head.kind == "anchor_free" else 0
    return bins if bins > 1 else 0


def params_published(architecture: Architecture, num_classes: int) -> int:
    """Returns the trained parameters plus the constants of the distance expectation."""
    return cost_of(architecture, num_classes=num_classes).params + dfl_constants(architecture)


def params_folded(architecture: Architecture, num_classes: int) -> int:
    """Returns the parameters with branches merged and each `Conv`'s batch norm folded into one bias per channel.

    The folding pass of Ultralytics folds only the norm of its own `Conv`. A separate norm, such as that of EAFusion,
    stays. The constants of the distance expectation are not counted.
    """
    modules = deployed(_on_meta(architecture, num_classes)).modules()
    saved = sum(module.norm.num_features for module in modules if isinstance(module, Conv))
    return cost_of(architecture, num_classes=num_classes).params_deployed - saved


def params_folded_published(architecture: Architecture, num_classes: int) -> int:
    """Returns the folded parameters plus the constants of the distance expectation."""
    return params_folded(architecture, num_classes) + dfl_constants(architecture)


def ultralytics_flops(architecture: Architecture, num_classes: int, *, folded: bool = False) -> int:
    """Returns the operations that Ultralytics prints: twice the count of its hooks on a 32x32 image, scaled by area.

    Maps pooled to one position have one position on the 32x32 image too. Convolutions on them are therefore counted
    once per 32x32 pixels of the input; this is part of the convention.
    """
    detector = _on_meta(architecture, num_classes, (PROBE_SIDE, PROBE_SIDE))
    if folded:
        detector = deployed(detector)
        _fold(detector)
    counter = _FunctionCounter(HOOKED)
    outputs = _run(detector, counter)
    counter.total += 4 * dfl_constants(architecture) * sum(prod(level.shape[2:]) for level in outputs)
    height, width = architecture.input_hw
    return 2 * counter.total * height * width // PROBE_SIDE**2


def ultralytics_flops_folded(architecture: Architecture, num_classes: int) -> int:
    """Returns the operations that Ultralytics prints for a detector with folded batch norm."""
    return ultralytics_flops(architecture, num_classes, folded=True)


def flops_2x(architecture: Architecture, num_classes: int) -> int:
    """Returns the operations with a multiply-add counted as two."""
    return 2 * cost_of(architecture, num_classes=num_classes).macs


def convolutions_2x(architecture: Architecture, num_classes: int) -> int:
    """Returns the operations of the convolutions of the deployed form with a multiply-add counted as two."""
    counter = _FunctionCounter({torch.conv1d: _multiplications, torch.conv2d: _multiplications})
    _run(deployed(_on_meta(architecture, num_classes)), counter)
    return 2 * counter.total


def params_deployed(architecture: Architecture, num_classes: int) -> int:
    """Returns the parameters with branches merged; a batch norm that belongs to no merged branch is unfolded."""
    return cost_of(architecture, num_classes=num_classes).params_deployed


def params_both_heads(architecture: Architecture, num_classes: int) -> int:
    """Returns the trainable parameters and those of the second head, which only a training has."""
    graph = lower(architecture, num_classes=num_classes)
    return sum(count.params * (1 + (node.part == "head")) for node, count in node_costs(graph))


def macs_with_conv_bias(architecture: Architecture, num_classes: int) -> int:
    """Returns the MACs plus one addition per output element of each convolution with bias, of the deployed form."""
    detector = deployed(_on_meta(architecture, num_classes))
    counter = _FunctionCounter({torch.conv1d: _bias_adds, torch.conv2d: _bias_adds})
    _run(detector, counter)
    return cost_of(architecture, num_classes=num_classes).macs + counter.total


def _on_meta(architecture: Architecture, num_classes: int, input_hw: tuple[int, int] | None = None) -> Detector:
    graph = lower(architecture, num_classes=num_classes, input_hw=input_hw)
    with torch.device("meta"):
        return Detector(graph).eval()


def _fold(detector: Detector) -> None:
    for module in detector.modules():
        if isinstance(module, Conv):
            module.norm = nn.Identity()  # type: ignore[assignment]


class _FunctionCounter(TorchFunctionMode):
    """Sums the counts of the handlers over all functions called inside it."""

    def __init__(self, handlers: Mapping[Any, Handler]) -> None:
        super().__init__()
        self.handlers = handlers
        self.total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in self.handlers:
            self.total += self.handlers[func](args, output)
        return output


def _run(detector: Detector, counter: _FunctionCounter) -> list[Tensor]:
    """Runs the detector once inside the counter. Our ECA takes a mean where the papers' code has a pooling module."""

    def squeeze(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pool = counter.handlers.get(F.adaptive_avg_pool2d)
        counter.total += 0 if pool is None else pool(inputs, inputs[0][..., :1, :1])

    for module in detector.modules():
        if isinstance(module, ECA):
            module.register_forward_pre_hook(squeeze)
    with torch.no_grad(), counter:
        outputs: list[Tensor] = detector(torch.empty((1, 3, *detector.input_hw), device="meta"))
    return outputs


def _multiplications(args: tuple[Any, ...], output: Tensor) -> int:
    return int(output.numel() * prod(args[1].shape[1:]))


def _elements(args: tuple[Any, ...], output: Tensor) -> int:
    return output.numel()


def _norm_operations(args: tuple[Any, ...], output: Tensor) -> int:
    return 4 * output.numel()


def _pool_operations(args: tuple[Any, ...], output: Tensor) -> int:
    window: int = prod(args[0].shape[2:]) // prod(output.shape[2:])
    return (window + 1) * output.numel()


def _bias_adds(args: tuple[Any, ...], output: Tensor) -> int:
    return output.numel() if len(args) > 2 and args[2] is not None else 0


HOOKED: dict[Any, Handler] = {
    torch.conv1d: _multiplications,
    torch.conv2d: _multiplications,
    F.linear: _multiplications,
    F.batch_norm: _norm_operations,
    F.adaptive_avg_pool2d: _pool_operations,
    F.avg_pool2d: _elements,
    F.interpolate: _elements,
}
"""Counts of the Ultralytics hooks by function; attention products, activations, sums and maxima are not counted."""

_HOOKS_SENTENCE = (
    "2 x the count of hooks on a 32x32 image x the area: convolutions, 4 operations per element of batch norm, "
    "average pools, upsampling and the distance expectation; no attention products, no activations"
)

CONVENTIONS: dict[str, Convention] = {
    "params_m": Convention(
        name="parameters",
        sentence="all parameters, batch norm unfolded, with the 16 constants of an anchor-free head's expectation",
        unit=1e6,
        count=params_published,
    ),
    "params_m_folded": Convention(
        name="folded parameters",
        sentence="each Conv's batch norm folded into a bias, with the 16 constants of the head's expectation",
        unit=1e6,
        count=params_folded_published,
    ),
    "ultralytics_gflops": Convention(
        name="Ultralytics operations", sentence=_HOOKS_SENTENCE, unit=1e9, count=ultralytics_flops
    ),
    "ultralytics_gflops_folded": Convention(
        name="Ultralytics operations, folded",
        sentence=f"{_HOOKS_SENTENCE}; counted after each Conv's batch norm is folded",
        unit=1e9,
        count=ultralytics_flops_folded,
    ),
    "gflops_2x": Convention(
        name="2 x MACs",
        sentence="operations with a multiply-add counted as two, nothing else counted",
        unit=1e9,
        count=flops_2x,
    ),
    "gflops_2x_convolutions": Convention(
        name="2 x MACs of convolutions",
        sentence="operations of convolutions with a multiply-add counted as two; attention products are not counted",
        unit=1e9,
        count=convolutions_2x,
    ),
    "params_m_deployed": Convention(
        name="deployed parameters",
        sentence="the branches of each re-parameterised convolution merged, other batch norms unfolded",
        unit=1e6,
        count=params_deployed,
    ),
    "params_m_both_heads": Convention(
        name="parameters of the training",
        sentence="all parameters with both heads of a training with the assignment `dual`, batch norm unfolded",
        unit=1e6,
        count=params_both_heads,
    ),
    "mflops_with_conv_bias": Convention(
        name="MACs + convolution biases",
        sentence="multiply-adds, plus one addition per output element of each convolution with bias",
        unit=1e6,
        count=macs_with_conv_bias,
    ),
}
"""The convention of each published figure that can be counted, by the figure's name."""


def convention_of(name: str, published: Collection[str]) -> Convention | None:
    """Returns the convention of a published figure of a design, or None if it is no count.

    Ultralytics prints parameters and operations in one line: if a paper gives folded parameters, its operations are
    those of the folded detector too.
    """
    if name == "ultralytics_gflops" and "params_m_folded" in published:
        name = "ultralytics_gflops_folded"
    return CONVENTIONS.get(name)
