"""The layers of VGG16 in SSD: convolutions with bias and ReLU but no norm, its last pool, and L2 scaling.

Sources: Simonyan and Zisserman, ICLR 2015; Liu et al., SSD, ECCV 2016; Liu et al., ParseNet, 2015, for the scaling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.mobile import alignment
from search_space.blocks.registries import LAYERS, UNITS
from search_space.errors import SpaceError
from search_space.input_format import InputFormat

IMAGE_SPREAD = 0.225
"""Standard deviation of natural images whose values are from 0 to 1, a mean over the channels of ImageNet."""


def init_without_norm(module: nn.Module) -> None:
    """Initialises all convolutions for a network of ReLUs without norm: activations keep their scale over its depth.

    He et al., "Delving deep into rectifiers", ICCV 2015: a normal distribution over the fan-in, and biases of 0.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            assert part.bias is not None
            nn.init.zeros_(part.bias)


@LAYERS.register("conv_bias_relu")
class BiasedConv(nn.Module):
    """Convolution with bias, ReLU: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.

    Zero padding keeps the sides at stride 1 for odd kernels and any dilation. Starts as `init_without_norm` says.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation)
        init_without_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


def scale_stem(stem: nn.Module, input_format: InputFormat) -> None:
    """Divides the weights of a stem without norm by the standard deviation of its inputs; leaves other stems alone.

    The maps of images from 0 to 255 would otherwise be 57 times as large, and so would the first losses.
    """
    if isinstance(stem, BiasedConv):
        spreads = [IMAGE_SPREAD * input_format.value_range / std for std in input_format.std]
        with torch.no_grad():
            stem.conv.weight /= stem.conv.weight.new_tensor(spreads)[:, None, None]


@UNITS.register("conv_bias_relu")
class VGGConv(BiasedConv):
    """A convolution of VGG16 inside a stage: stride 1, `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation)


@UNITS.register("max_pool3")
class MaxPool3(nn.MaxPool2d):
    """A 3x3 max pool: `(B, C, H, W)` to `(B, C, ceil(H/stride), ceil(W/stride))`.

    The last pool of VGG16 in SSD at stride 1, the first one of ShuffleNetV2 at stride 2.

    Raises:
        SpaceError: `out_channels` differs from `in_channels`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, aligned: bool = False) -> None:
        if in_channels != out_channels:
            raise SpaceError(
                f"max_pool3 keeps its {in_channels} channels, got out_channels {out_channels}; make them equal"
            )
        super().__init__(3, stride=stride, padding=1)
        self.align = alignment(aligned, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(self.align(x))
        return out


@LAYERS.register("l2_scale")
class L2Scale(nn.Module):
    """L2-normalises each position over the channels, times a learned gain per channel. Keeps `(B, C, H, W)`.

    The gains start at 20. A position of zeros stays zero, without a gradient through the norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels,), 20.0))

    def forward(self, x: Tensor) -> Tensor:
        # The gradient of the vector norm is zero at zero; that of the root of a sum of squares is not finite.
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return self.gain[:, None, None] * (x / (length + 1e-10))
