"""Attention blocks: gates that re-weight a map and keep its shape `(B, C, H, W)`."""

from __future__ import annotations

from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import ATTENTIONS
from search_space.channel_layout import ChannelTrace, Layout, one_part


def eca_kernel_size(channels: int) -> int:
    """Returns the kernel size of the 1D convolution of ECA: half of |log2(C) + 1|, rounded up to an odd number."""
    size = int(abs(log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


@ATTENTIONS.register("eca")
class ECA(nn.Module):
    """Efficient channel attention (Wang et al., CVPR 2020): one gate per channel, from a 1D convolution.

    Keeps `(B, C, H, W)`. The kernel size is derived from `kernel_channels`, by default `channels`.
    """

    def __init__(self, channels: int, kernel_channels: int | None = None) -> None:
        super().__init__()
        kernel_size = eca_kernel_size(kernel_channels or channels)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3)).unsqueeze(1)
        gate: Tensor = self.conv(pooled).transpose(1, 2).unsqueeze(-1)
        return x * gate.sigmoid()

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace(self.conv, one_part(1))
        return x


@ATTENTIONS.register("cbam")
class CBAM(nn.Module):
    """CBAM as in the small-object YOLOv8 paper, which differs from the original CBAM.

    Keeps `(B, C, H, W)`. Channel gate: average pool and a 1x1 convolution with bias, without reduction and maximum
    branch. Spatial gate: a 7x7 convolution over the channel mean and maximum. Source: Krasnov et al., YOLOv8 for small
    objects.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_gate = nn.Conv2d(channels, channels, 1)
        self.spatial_gate = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel_gate(F.adaptive_avg_pool2d(x, 1)).sigmoid()
        summary = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        gate: Tensor = self.spatial_gate(summary)
        return x * gate.sigmoid()

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace(self.channel_gate, x, out=x)
        trace(self.spatial_gate, one_part(2))
        return x


@ATTENTIONS.register("se")
class SE(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018), reduction 16, at least 8 hidden channels. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        return x * gate.sigmoid()

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.excite, trace(self.squeeze, x), out=x)
