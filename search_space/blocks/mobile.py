"""The units of MobileNetV1 and MobileNetV3: depthwise separable convolutions and inverted residuals, with their stems.

Convolutions have no bias. Batch norm has eps 1e-5 and momentum 0.1, the defaults of PyTorch, unlike the YOLO blocks.
A unit maps `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. An aligned unit averages
2x2 windows at stride 1 before the strided convolution, which removes the half-pixel shift. It needs even sides (odd
ones are rounded down) and adds no parameters. With stride 1, `aligned` has no effect. Source of the filter: TinyDet.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import LAYERS, STAGES, UNITS
from search_space.channel_layout import ChannelTrace, Layout
from search_space.errors import check_known

ACTIVATIONS: dict[str, type[nn.ReLU] | type[nn.Hardswish] | type[nn.SiLU]] = {
    "relu": nn.ReLU,
    "hswish": nn.Hardswish,
    "silu": nn.SiLU,
}


def activation_of(name: str) -> nn.Module:
    """Returns a new activation; raises SpaceError unless `name` is one of ACTIVATIONS."""
    check_known("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name](inplace=True)


def normed_conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Returns a convolution without bias, padded by half its kernel, and a batch norm."""
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def alignment(aligned: bool, stride: int) -> nn.Module:
    """Returns the 2x2 mean at stride 1 before an aligned convolution of stride 2; an identity otherwise."""
    return nn.AvgPool2d(2, stride=1) if aligned and stride == 2 else nn.Identity()


def init_he_normal(module: nn.Module) -> None:
    """Initialises all convolutions by He's normal distribution over the fan-out, as in MobileNetV3."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")


@LAYERS.register("conv_hswish")
class HardswishConv(nn.Module):
    """Convolution, batch norm, hard swish: the stem of MobileNetV3 (Howard et al., ICCV 2019).

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = normed_conv(in_channels, out_channels, kernel_size, stride)
        self.activation = activation_of("hswish")
        init_he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x))
        return out


@LAYERS.register("conv_relu")
class ReLUConv(nn.Module):
    """Convolution, batch norm, ReLU: the stem of MobileNetV1 (Howard et al., MobileNets, 2017).

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = normed_conv(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class HardSE(nn.Module):
    """Squeeze and excitation of MobileNetV3: a hard sigmoid and C // 4 hidden channels. Keeps `(B, C, H, W)`.

    The 1x1 convolutions have a bias in LCNet and none in TinyDet; the hidden channels are not rounded.
    """

    def __init__(self, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1, bias=bias)
        self.excite = nn.Conv2d(channels // 4, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.excite, trace(self.squeeze, x), out=x)


@UNITS.register("inverted_residual")
class InvertedResidual(nn.Module):
    """1x1 to `expanded` channels, depthwise `kernel` x `kernel`, optional SE, 1x1 to `out_channels`.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    The activation follows the first two; the last is linear. The input is added where shapes match.
    Source: MobileNetV3 (Howard et al., ICCV 2019) as in TinyDet.

    Raises:
        SpaceError: The activation is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded: int,
        kernel: int = 3,
        squeeze: bool = False,
        activation: str = "relu",
        stride: int = 1,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.expand = nn.Sequential(normed_conv(in_channels, expanded), activation_of(activation))
        self.align = alignment(aligned, stride)
        depthwise = normed_conv(expanded, expanded, kernel, stride, groups=expanded)
        self.depthwise = nn.Sequential(depthwise, activation_of(activation))
        self.squeeze = HardSE(expanded) if squeeze else nn.Identity()
        self.project = normed_conv(expanded, out_channels)
        self.residual = stride == 1 and in_channels == out_channels
        init_he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.squeeze(self.depthwise(self.align(self.expand(x)))))
        return x + out if self.residual else out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        expanded = trace(self.squeeze, trace(self.depthwise, trace(self.expand, x)))
        return trace(self.project, expanded, out=x if self.residual else None)


@UNITS.register("depthwise_residual")
class DepthwiseResidual(nn.Module):
    """Depthwise 3x3 with activation, linear 1x1; the input is added where shapes match.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. The first unit of
    MobileNetV3, without expansion.

    Raises:
        SpaceError: The activation is unknown.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: str = "relu", stride: int = 1) -> None:
        super().__init__()
        depthwise = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
        self.depthwise = nn.Sequential(depthwise, activation_of(activation))
        self.project = normed_conv(in_channels, out_channels)
        self.residual = stride == 1 and in_channels == out_channels
        init_he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(x))
        return x + out if self.residual else out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.project, trace(self.depthwise, x), out=x if self.residual else None)


@UNITS.register("separable")
class Separable(nn.Module):
    """Depthwise convolution with the stride and 1x1, each with batch norm and activation; optional SE in between.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. With ReLU a layer of MobileNetV1
    (Howard et al., MobileNets, 2017), with hard swish and wider kernels one of LCNet (Cui et al., PP-LCNet, 2021).

    Raises:
        SpaceError: The activation is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        aligned: bool = False,
        kernel: int = 3,
        squeeze: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.align = alignment(aligned, stride)
        self.depthwise = normed_conv(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.squeeze = HardSE(in_channels, bias=True) if squeeze else nn.Identity()
        self.pointwise = normed_conv(in_channels, out_channels)
        self.activation = activation_of(activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(self.activation(self.depthwise(self.align(x))))
        out: Tensor = self.activation(self.pointwise(x))
        return out


@STAGES.register("lcnet")
class LCNetStage(nn.Sequential):
    """Layers of LCNet with depthwise 5x5, one more than `repeats`; the first one changes the channels.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        sizes = self.sizes(in_channels, out_channels, repeats)
        super().__init__(*(Separable(*pair, kernel=5, activation="hswish") for pair in pairwise(sizes)))

    @staticmethod
    def sizes(in_channels: int, out_channels: int, repeats: int) -> tuple[int, ...]:
        """Returns the channels of the input and of each layer."""
        return (in_channels, *(out_channels,) * (repeats + 1))


@STAGES.register("lcpan")
class LCPANStage(LCNetStage):
    """The neck block of PicoDet (Yu et al., 2021): as `LCNetStage`, but the last layer changes the channels.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    @staticmethod
    def sizes(in_channels: int, out_channels: int, repeats: int) -> tuple[int, ...]:
        """Returns the channels of the input and of each layer."""
        return (*(in_channels,) * (repeats + 1), out_channels)
