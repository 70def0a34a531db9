"""The region proposal head: objectness and box offsets of the anchors of each level."""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import HEADS
from search_space.blocks.smooth import SCConv
from search_space.channel_layout import ChannelTrace, Layout, equal_parts
from search_space.heads.anchors import RPN_RATIOS


@HEADS.register("rpn")
class RPNLevel(nn.Module):
    """The light region proposal head: `(B, in_channels, H, W)` to `(B, 5 * num_anchors, H, W)`.

    A sparsely connected 3x3 and ReLU, then two 1x1 convolutions. The first `num_anchors` channels are objectness
    logits, the rest dx, dy, dw, dh of one anchor after the other. `groups` of the sparsely connected convolution are
    reduced to a common divisor with the channels. All levels share the weights, initialised to N(0, 0.01), biases to 0.
    Source: TinyDet, arXiv 2304.03428.
    """

    def __init__(self, in_channels: int, groups: int = 49, num_anchors: int = len(RPN_RATIOS)) -> None:
        super().__init__()
        self.smooth = SCConv(in_channels, groups=gcd(groups, in_channels))
        self.objectness = nn.Conv2d(in_channels, num_anchors, 1)
        self.box_offsets = nn.Conv2d(in_channels, 4 * num_anchors, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.smooth(x))
        return torch.cat((self.objectness(hidden), self.box_offsets(hidden)), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        hidden = trace(self.smooth, x)
        anchors = [f"anchor{anchor}" for anchor in range(self.objectness.out_channels)]
        objectness = trace(self.objectness, hidden, out=equal_parts(anchors, 1))
        return objectness + trace(self.box_offsets, hidden, out=equal_parts(anchors, 4))
