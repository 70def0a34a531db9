"""Convolutions of several parallel branches in training that become one plain convolution when deployed.

Sources: Ding et al., RepVGG, CVPR 2021, three branches; Wang et al., YOLOv9, ECCV 2024, two branches.
"""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.conv import BN_EPS, BN_MOMENTUM, Conv
from search_space.blocks.registries import DOWNSAMPLES, LAYERS, STAGES
from search_space.channel_layout import ChannelTrace, Layout


@LAYERS.register("rep")
class RepConv(nn.Module):
    """The sum of a wide and a small convolution, each with batch norm, and of a batch norm of the input; activation.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. The batch norm of the input, the
    third branch, is there where `identity` is set and the shapes agree. `merged` returns the same function as one
    convolution.

    Args:
        kernel_size: side of the wide kernel; odd.
        identity: whether there is a third branch, as in RepVGG; False: two branches, as in YOLOv9.
        small_kernel: side of the small kernel; odd and at most `kernel_size`.

    Raises:
        ValueError: A kernel is even, or the small one is the larger one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        identity: bool = True,
        small_kernel: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or small_kernel % 2 == 0 or small_kernel > kernel_size:
            raise ValueError(
                f"kernels must be odd and the small one at most {kernel_size}, got {kernel_size} and {small_kernel}"
            )
        self.stride = (stride, stride)
        same = identity and in_channels == out_channels and stride == 1
        self.identity = nn.BatchNorm2d(in_channels, eps=BN_EPS, momentum=BN_MOMENTUM) if same else None
        self.wide = Conv(in_channels, out_channels, kernel_size, stride, groups, activation=False)
        self.small = Conv(in_channels, out_channels, small_kernel, stride, groups, activation=False)
        self.activation = nn.SiLU(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        total = self.wide(x) + self.small(x)
        if self.identity is not None:
            total = total + self.identity(x)
        out: Tensor = self.activation(total)
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        if self.identity is None:
            return trace(self.small, x, out=trace(self.wide, x))
        trace(self.identity, x)  # each channel is added to that of the same number
        return trace(self.small, x, out=trace(self.wide, x, out=x))

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """Returns one convolution with bias, and the activation: the same function as this module in evaluation mode.

        The branches are added in double precision.
        """
        wide = self.wide.conv
        if wide.weight.is_meta:  # torch's kernels for `meta` import its compiler, which takes a second
            weight, bias = torch.empty_like(wide.weight), wide.weight.new_empty(wide.out_channels)
        else:
            weight, bias = self._summed()
        conv = deepcopy(wide)
        conv.stride = self.stride  # that of a 1x1 convolution is not in `wide`; see `Conv`
        conv.weight = nn.Parameter(weight.to(wide.weight.dtype))
        conv.bias = nn.Parameter(bias.to(wide.weight.dtype))
        return nn.Sequential(conv, deepcopy(self.activation)).train(self.training)

    def _summed(self) -> tuple[Tensor, Tensor]:
        """Returns the kernel and the bias of all branches together, in double precision."""
        wide = self.wide.conv
        side = wide.kernel_size[0]
        branches = [_folded(wide.weight, self.wide.norm), _folded(self.small.conv.weight, self.small.norm)]
        if self.identity is not None:
            unit = torch.zeros_like(wide.weight)
            branches.append(_folded(nn.init.dirac_(unit, wide.groups), self.identity))
        padded = [F.pad(kernel, [(side - kernel.shape[-1]) // 2] * 4) for kernel, _ in branches]
        weight, bias = torch.stack(padded).sum(dim=0), torch.stack([shift for _, shift in branches]).sum(dim=0)
        return weight, bias


@DOWNSAMPLES.register("rep")
class StridedRepConv(RepConv):
    """A `RepConv` at stride 2: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/2), ceil(W/2))`.

    Source: YOLOv6 (Li et al., 2022).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, stride=2)


@STAGES.register("rep")
class RepStage(nn.Module):
    """A chain of `repeats` 3x3 `RepConv`s of equal width: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    A 1x1 `Conv` before them changes the number of channels. Deployed, all of them are plain 3x3 convolutions. With
    equal channels it is the stage block of YOLOv6 (Li et al., 2022).
    """

    repeated = ("layers",)

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__()
        self.enter = nn.Identity() if in_channels == out_channels else Conv(in_channels, out_channels)
        self.layers = nn.Sequential(*(RepConv(out_channels, out_channels) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(self.enter(x))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.layers, trace(self.enter, x))


def _folded(kernel: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Returns kernel and bias, in double precision, of a convolution without bias and the batch norm after it."""
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return kernel.double() * gain[:, None, None, None], norm.bias.double() - norm.running_mean.double() * gain
