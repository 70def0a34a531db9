"""NWOT: how differently the images of a batch switch the activations of an untrained detector."""

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
"""Activations that are switched by the sign of their input; ReLU6 is a `hardtanh`. Gates such as sigmoid are none."""


class ActivationPatterns(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, counts for each pair of images the activations that both switch on or both switch off.

    It sees operators, not modules, so that activations in any block count, also those called as functions.
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_images = num_images
        self.num_switches = 0
        """Activations an image."""
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
        # Equal signs less unequal ones; whole numbers below 2 ** 24 are exact in float32.
        balance = (signs @ signs.T).double().cpu()
        self.num_switches += size
        self.agreement += (size + balance) / 2


@proxy("nwot", min_images=2)
@torch.no_grad()
def nwot(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the log determinant of the kernel of switching patterns: Mellor et al., ICML 2021.

    The kernel entry of two of the `images` `(B, 3, H, W)` is the number of activations that they switch alike. SiLU and
    its kin count as switched by the sign of what they are given. Batch norm takes the statistics of the batch. One is
    added to the diagonal, as if each image had one activation for itself, so that equal images give a finite score.
    """
    patterns = ActivationPatterns(len(images))
    with patterns:
        detector.train()(images)
    kernel = patterns.agreement + torch.eye(len(images), dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel).logabsdet)
