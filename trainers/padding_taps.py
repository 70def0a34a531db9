"""Guard against uninitialized gradients of kernel taps that only ever see padding."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class PaddingTapGuard:
    """Sets the gradient of kernel taps that only see padding to 0, its true value.

    In bfloat16 on a CPU, torch 2.13 does not write these entries of the gradient of depthwise or strided convolutions
    and returns uninitialized memory. A 3x3 kernel on a map of one or two cells then occasionally has a gradient of nan.

    Args:
        detector: hooks are added to its convolutions with more than one tap, until `close`.
    """

    def __init__(self, detector: nn.Module) -> None:
        self._hooks: list[Any] = []
        for module in detector.modules():
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
                self._watch(module)

    def _watch(self, conv: nn.Conv2d) -> None:
        seen: dict[str, Tensor] = {}

        def look(_: nn.Module, inputs: tuple[Tensor]) -> None:
            seen["taps"] = taps_on_map(conv, (inputs[0].shape[2], inputs[0].shape[3]))

        def clean(gradient: Tensor) -> Tensor | None:
            taps = seen["taps"]
            return None if bool(taps.all()) else torch.where(taps, gradient, 0)

        self._hooks.append(conv.register_forward_pre_hook(look))
        self._hooks.append(conv.weight.register_hook(clean))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()


def taps_on_map(conv: nn.Conv2d, map_hw: tuple[int, int]) -> Tensor:
    """Returns `(kernel height, kernel width)`: True if a tap reads a cell of an `(H, W)` map at some position."""
    rows, columns = (_seen_along(conv, axis, size) for axis, size in enumerate(map_hw))
    return rows[:, None] & columns[None, :]


def _seen_along(conv: nn.Conv2d, axis: int, size: int) -> Tensor:
    if isinstance(conv.padding, str):  # `same` and `valid` pad at most half a kernel, so that every tap reads some cell
        return torch.ones(conv.kernel_size[axis], dtype=torch.bool)
    return _seen(size, conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis], conv.padding[axis])


@cache
def _seen(size: int, kernel: int, stride: int, dilation: int, padding: int) -> Tensor:
    places = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    cells = torch.arange(places)[:, None] * stride - padding + torch.arange(kernel)[None, :] * dilation
    return ((cells >= 0) & (cells < size)).any(dim=0)
