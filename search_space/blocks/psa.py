"""Position-sensitive attention (PSA): self-attention over all positions of a map, on half of its channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import Bottleneck, C3k, C3k2, SplitChain
from search_space.blocks.registries import LAYERS, STAGES
from search_space.blocks.split import SplitConv
from search_space.channel_layout import ChannelTrace, Layout, Part, concatenated, equal_parts, one_part


def num_heads(channels: int) -> int:
    """Returns the largest number of heads that divides the channels, at most one per 64 channels, at least one."""
    return next(heads for heads in range(max(channels // 64, 1), 0, -1) if channels % heads == 0)


class PositionAttention(nn.Module):
    """Self-attention over the positions with a depthwise 3x3 of the values added: `(B, C, H, W)` to the same shape.

    Keys have half the channels of values. The attention matrix has (H * W)² entries per head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = num_heads(channels)
        self.value_channels = channels // self.num_heads
        self.key_channels = self.value_channels // 2
        self.scale = self.key_channels**-0.5
        self.qkv = Conv(channels, channels + 2 * self.key_channels * self.num_heads, activation=False)
        self.position = Conv(channels, channels, 3, groups=channels, activation=False)
        self.project = Conv(channels, channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).flatten(2).unflatten(1, (self.num_heads, -1))
        query, key, value = qkv.split((self.key_channels, self.key_channels, self.value_channels), dim=2)
        weights = (self.scale * query.transpose(2, 3) @ key).softmax(dim=3)
        attended = (value @ weights.transpose(2, 3)).reshape(x.shape)
        out: Tensor = self.project(attended + self.position(value.reshape(x.shape)))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        heads = range(self.num_heads)
        sizes = {"query": self.key_channels, "key": self.key_channels, "value": self.value_channels}
        trace(self.qkv, x, out=tuple(Part(f"{name}{head}", size) for head in heads for name, size in sizes.items()))
        values = equal_parts((f"value{head}" for head in heads), self.value_channels)
        trace(self.position, values)
        return trace(self.project, values, out=x)


class PSABlock(nn.Module):
    """Attention, then two 1x1 with twice the channels in between, both residual. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = PositionAttention(channels)
        self.feed = nn.Sequential(Conv(channels, 2 * channels), Conv(2 * channels, channels, activation=False))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        out: Tensor = x + self.feed(x)
        return out


@LAYERS.register("c2psa")
class C2PSA(nn.Module):
    """`repeats` attention blocks on half of the channels; the other half bypasses them. Keeps `(B, C, H, W)`.

    Source: YOLO11, as in SO-Det.
    """

    repeated = ("blocks",)

    def __init__(self, channels: int, repeats: int = 1) -> None:
        super().__init__()
        hidden = channels // 2
        self.split = SplitConv(channels, hidden)
        self.blocks = nn.Sequential(*(PSABlock(hidden) for _ in range(repeats)))
        self.join = Conv(2 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        bypass, attended = self.split(x)
        out: Tensor = self.join(torch.cat((bypass, self.blocks(attended)), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        bypass, first = trace(self.split, x)
        attended = trace(self.blocks, one_part(first.size))
        return trace(self.join, concatenated(bypass=one_part(bypass.size), attended=attended))


@STAGES.register("c3k2_attention")
class C3k2Attention(SplitChain):
    """The neck block of YOLO26: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    As `C3k2`; each of the `repeats` is a half-width bottleneck and an attention block from P5 on, and a `C3k` block on
    finer levels.
    """

    by_name = True

    def __init__(
        self, in_channels: int, out_channels: int, repeats: int = 1, attention: bool = False, expansion: float = 0.5
    ) -> None:
        hidden = max(1, int(out_channels * expansion))
        inner = [self._inner(hidden, attention) for _ in range(repeats)]
        super().__init__(in_channels, out_channels, hidden, inner)

    @staticmethod
    def _inner(channels: int, attention: bool) -> nn.Module:
        return nn.Sequential(Bottleneck(channels, 0.5), PSABlock(channels)) if attention else C3k(channels)

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"attention": level >= 5, "expansion": C3k2.options(in_backbone, level)["expansion"]}
