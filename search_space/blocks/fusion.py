"""Fusions: merge maps `(B, C_i, H, W)` of one level, the lateral map last, into one map.

`output_channels(in_channels)` of each class returns the channels of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.conv import BN_EPS, BN_MOMENTUM, Conv
from search_space.blocks.registries import FUSIONS
from search_space.channel_layout import ChannelTrace, Layout, Part, concatenated, multiplied, one_part


@FUSIONS.register("concat")
class Concat(nn.Module):
    """Concatenation along the channels: maps `(B, C_i, H, W)` to `(B, sum of C_i, H, W)`."""

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return sum(in_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)

    def channel_layout(self, trace: ChannelTrace, *maps: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return tuple(part for layout in maps for part in layout)


@FUSIONS.register("reduced_concat")
class ReducedConcat(Concat):
    """Concatenation as in YOLOv7: on the way down, a 1x1 first brings both maps to the channels of their level.

    Maps `(B, C_i, H, W)` to `(B, sum of C_i, H, W)`. The lateral map comes first, and the bottom-up path takes the
    coarser map without the 1x1. The lowering adds these convolutions. Source: Wang et al., YOLOv7, CVPR 2023.
    """

    by_name = True
    reduces = True


@FUSIONS.register("weighted_concat")
class WeightedConcat(nn.Module):
    """Concatenation of maps scaled by learned weights, rectified and normalised to a sum of one.

    Maps `(B, C_i, H, W)` to `(B, sum of C_i, H, W)`. Source: SO-Det.
    """

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(len(in_channels)))

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return sum(in_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat([share * x for share, x in zip(shares(self.weights), maps, strict=True)], dim=1)

    def channel_layout(self, trace: ChannelTrace, *maps: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace.parameter(self, "weights", _one_each(maps))
        return tuple(part for layout in maps for part in layout)


def shares(weights: Tensor) -> Tensor:
    """Returns the weights `(N,)` of N maps, rectified and divided by their sum."""
    weights = weights.relu()
    return weights / (weights.sum() + 1e-4)


def _one_each(maps: tuple[Layout, ...]) -> Layout:
    """Returns the layout of one weight per map, labelled like the first channels of the map."""
    return tuple(Part(layout[0].label, 1) for layout in maps)


def trace_alignment(trace: ChannelTrace, align: nn.ModuleList, maps: tuple[Layout, ...]) -> Layout:
    """Records the convolutions of `align_to_last`; returns the layout of the aligned maps, that of the last."""
    for layer, layout in zip(align, maps, strict=True):
        trace(layer, layout, out=maps[-1], variant=layout[0].label)
    return maps[-1]


def align_to_last(in_channels: tuple[int, ...]) -> nn.ModuleList:
    """Returns for each map a 1x1 `Conv` to the channels of the last one, or an identity where they are equal."""
    last = in_channels[-1]
    return nn.ModuleList(nn.Identity() if channels == last else Conv(channels, last) for channels in in_channels)


def _aligned(align: nn.ModuleList, maps: tuple[Tensor, ...]) -> Iterator[Tensor]:
    return (layer(x) for layer, x in zip(align, maps, strict=True))


def _total(maps: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, maps)


@FUSIONS.register("add")
class Add(nn.Module):
    """The sum of the maps, as in FPN (Lin et al., CVPR 2017).

    Maps `(B, C_i, H, W)` to the shape of the last. A map with other channels than the lateral map passes a 1x1 `Conv`
    first.
    """

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.align = align_to_last(in_channels)

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return in_channels[-1]

    def forward(self, *maps: Tensor) -> Tensor:
        return _total(_aligned(self.align, maps))

    def channel_layout(self, trace: ChannelTrace, *maps: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace_alignment(trace, self.align, maps)


@FUSIONS.register("weighted_add")
class WeightedAdd(nn.Module):
    """The sum of the maps, aligned as in `Add`, by learned weights, rectified and normalised to a sum of one.

    Maps `(B, C_i, H, W)` to the shape of the last. Source: fast normalised fusion, Tan et al., EfficientDet, CVPR 2020.
    """

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.align = align_to_last(in_channels)
        self.weights = nn.Parameter(torch.ones(len(in_channels)))

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return in_channels[-1]

    def forward(self, *maps: Tensor) -> Tensor:
        return _total(share * x for share, x in zip(shares(self.weights), _aligned(self.align, maps), strict=True))

    def channel_layout(self, trace: ChannelTrace, *maps: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace.parameter(self, "weights", _one_each(maps))
        return trace_alignment(trace, self.align, maps)


@FUSIONS.register("bidir_concat")
class BidirConcat(Concat):
    """Concatenation that, on the top-down path, also takes the next finer backbone map after a strided 3x3.

    Maps `(B, C_i, H, W)` to `(B, sum of C_i, H, W)`. Source: Krasnov et al., YOLOv8 for small objects.
    """

    takes_finer = True


@FUSIONS.register("bifusion")
class BiFusion(nn.Module):
    """A 1x1 over the upsampled map, the backbone map and the next finer backbone map, all of one width.

    Called on the top-down path with the finer map, after a 1x1 and a strided 3x3, the lateral and the upsampled map:
    `(B, C_i, H, W)` to the shape of the last. A 1x1 brings the lateral map to that width. Two maps are concatenated, as
    on the bottom-up path. Source: YOLOv6 3.0 (Li et al., 2023).
    """

    by_name = True
    takes_finer = True
    narrows_finer = True

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.lateral: Conv | None = None
        if len(in_channels) > 2:
            finer, lateral, up = in_channels
            self.lateral = Conv(lateral, up)
            self.join = Conv(finer + 2 * up, up)

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return in_channels[-1] if len(in_channels) > 2 else sum(in_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        if self.lateral is None:
            return torch.cat(maps, dim=1)
        finer, lateral, up = maps
        out: Tensor = self.join(torch.cat((up, self.lateral(lateral), finer), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, *maps: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        if self.lateral is None:
            return tuple(part for layout in maps for part in layout)
        finer, lateral, up = maps
        return trace(self.join, concatenated(up=up, lateral=trace(self.lateral, lateral), finer=finer))


class SpatialAttention(nn.Module):
    """The spatial attention of EAFusion: 7x7 over channel mean and maximum, `(B, C, H, W)` to `(B, 1, H, W)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        summary = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        out: Tensor = self.conv(summary)
        return out


def simam_by_quadrant(x: Tensor, regulariser: float = 1e-4) -> Tensor:
    """Weights each position by its distance from the mean of its quadrant and channel (sliced SimAM, no parameters).

    Args:
        x: `(B, C, H, W)`; the quadrants meet at `(H // 2, W // 2)`.
        regulariser: the lambda of SimAM.
    """
    rows = [_simam(row, regulariser) for row in _halves(x, 2)]
    return torch.cat(rows, dim=2)


def _halves(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    middle = x.shape[dim] // 2
    return x.narrow(dim, 0, middle), x.narrow(dim, middle, x.shape[dim] - middle)


def _simam(row: Tensor, regulariser: float) -> Tensor:
    gated = []
    for part in _halves(row, 3):
        deviation = (part - part.mean(dim=(2, 3), keepdim=True)).square()
        num_others = part.shape[2] * part.shape[3] - 1
        variance = deviation.sum(dim=(2, 3), keepdim=True) / num_others
        gated.append(part * (deviation / (4 * (variance + regulariser)) + 0.5).sigmoid())
    return torch.cat(gated, dim=3)


@FUSIONS.register("eafusion")
class EAFusion(nn.Module):
    """Content-guided fusion of two maps, gated by channel, spatial and pixel attention. Source: SO-Det.

    Called with `(y, x)`: `y` comes from the neighbouring level, `x` is the lateral map; the result has the shape of
    `x`, `(B, C, H, W)` with H and W of at least 4. If `y` has other channels, a 1x1 `Conv` maps it to C first (in
    SO-Det both have C).
    """

    min_side = 4

    def __init__(self, in_channels: tuple[int, ...], reduction: int = 8) -> None:
        super().__init__()
        other, channels = in_channels
        hidden = max(1, channels // reduction)  # the paper does not cover fewer channels than `reduction`
        self.align = nn.Identity() if other == channels else Conv(other, channels)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)
        self.spatial = SpatialAttention()
        self.pixel = nn.Conv2d(2 * channels, channels, 7, padding=3, padding_mode="reflect", groups=channels)
        self.scale = nn.Parameter(torch.ones(()))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.activation = nn.SiLU()

    @staticmethod
    def output_channels(in_channels: tuple[int, ...]) -> int:
        """Returns the number of channels of the merged map."""
        return in_channels[-1]

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        y = self.align(y)
        total = x + y
        pattern = self.spatial(total) * self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(total, 1))))
        gate = self.pixel(torch.stack((total, pattern), dim=2).flatten(1, 2)).sigmoid()
        mixed = self.scale * total + gate * x + (1 - gate) * y
        return simam_by_quadrant(self.activation(self.norm(self.project(self.activation(mixed)))))

    def channel_layout(self, trace: ChannelTrace, y: Layout, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace(self.align, y, out=x)
        trace(self.excite, trace(self.squeeze, x), out=x)
        trace(self.spatial, one_part(2))
        trace(self.pixel, multiplied(x, 2), out=x)
        trace.parameter(self, "scale")
        return trace(self.norm, trace(self.project, x))
