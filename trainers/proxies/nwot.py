"""NWOT: how much the activation patterns of the images of a batch differ in an untrained detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.proxy import proxy

_NAMES = ("relu", "silu", "hardswish", "hardtanh", "leaky_relu", "gelu", "elu", "mish")
RECTIFIERS = frozenset(
    getattr(torch.ops.aten, name + end) for name in _NAMES for end in ("", "_") if hasattr(torch.ops.aten, name + end)
)
"""Activations that are on or off by the sign of their input. ReLU6 is a `hardtanh`. Sigmoid gates are not included."""


class ActivationPatterns(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, counts for each pair of images the activations that are on for both or off for both.

    It intercepts operators, not modules, so that functional activations count as well.
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_images = num_images
        self.num_switches = 0
        """Number of activations per image."""
        self.agreement = torch.zeros(num_images, num_images, dtype=torch.float64)
        """`(B, B)`."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        operator: Callable[..., Any] = func
        if func.overloadpacket in RECTIFIERS:
            self._add(args[0])
        return operator(*args, **(kwargs or {}))

    def _add(self, before: Tensor) -> None:
        if before.ndim == 0 or len(before) % self.num_images:
            return
        signs = torch.where(before.detach().reshape(self.num_images, -1) > 0, 1.0, -1.0)
        size = signs.shape[1]
        # Number of equal signs minus number of unequal ones: integers below 2 ** 24, exact in float32.
        balance = (signs @ signs.T).double().cpu()
        self.num_switches += size
        self.agreement += (size + balance) / 2


@proxy("nwot", min_images=2)
@torch.no_grad()
def nwot(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the log determinant of the kernel of activation patterns: Mellor et al., ICML 2021.

    The kernel entry of two of the `images` `(B, 3, H, W)` is the number of activations that are in the same state. SiLU
    and similar functions count as on if their input is positive. Batch norm uses the statistics of the batch. One is
    added to the diagonal, so that identical images give a finite score.
    """
    patterns = ActivationPatterns(len(images))
    with patterns:
        detector.train()(images)
    kernel = patterns.agreement + torch.eye(len(images), dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel).logabsdet)
