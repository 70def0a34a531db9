"""The light second stage: classifies each proposal and refines its box, from position-sensitive features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import HEADS
from search_space.channel_layout import ChannelTrace, Layout, one_part
from search_space.errors import SpaceError
from search_space.heads.ps_roi_align import assign_levels, ps_roi_align


@HEADS.register("roi")
class RoIHead(nn.Module):
    """Proposals `(B, N, 4)` px and maps `(B, in_channels, H, W)`, finest first, to `(B, N, num_classes + 1 + 4)`.

    The first `num_classes + 1` values of a proposal are class logits, background first; the last four are dx, dy, dw,
    dh from the proposal, for all classes. A proposal is pooled from one level, by `assign_levels` with base size
    `roi_scale` px. A fully connected layer of `hidden` with ReLU and one layer per output follow.
    Source: TinyDet, arXiv 2304.03428, after Li et al., "Light-head R-CNN", 2017.

    Raises:
        SpaceError: `in_channels` is not a multiple of `bins * bins`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        strides: tuple[int, ...],
        roi_scale: float,
        hidden: int = 1024,
        bins: int = 7,
    ) -> None:
        super().__init__()
        if in_channels % (bins * bins):
            raise SpaceError(
                f"a RoI head with {bins}x{bins} bins needs a multiple of {bins * bins} channels, got {in_channels}; "
                f"choose for example {5 * bins * bins}"
            )
        self.strides = tuple(strides)
        self.roi_scale = roi_scale
        self.num_classes = num_classes
        self.bins = bins
        self.hidden = nn.Linear(in_channels, hidden)
        self.class_logits = nn.Linear(hidden, num_classes + 1)
        self.box_offsets = nn.Linear(hidden, 4)
        nn.init.xavier_uniform_(self.hidden.weight)
        nn.init.normal_(self.class_logits.weight, std=0.01)
        nn.init.normal_(self.box_offsets.weight, std=0.001)
        for layer in (self.hidden, self.class_logits, self.box_offsets):
            nn.init.zeros_(layer.bias)

    def forward(self, proposals: Tensor, *maps: Tensor) -> Tensor:
        levels = assign_levels(proposals, self.roi_scale, len(maps))
        features = ps_roi_align(maps, proposals, levels, strides=self.strides, bins=self.bins)
        hidden = F.relu(self.hidden(features))
        return torch.cat((self.class_logits(hidden), self.box_offsets(hidden)), dim=-1)

    def channel_layout(self, trace: ChannelTrace, proposals: Layout, *maps: Layout) -> Layout:
        """Records the layouts of the tensors; see `search_space.channel_layout`.

        The features are planes of `bins * bins` channels, plane by plane, so the first ones are whole planes.
        """
        hidden = trace(self.hidden, maps[0])
        logits = trace(self.class_logits, hidden, out=trace.classes_and_background(self.num_classes))
        return logits + trace(self.box_offsets, hidden, out=one_part(4, "offsets"))
