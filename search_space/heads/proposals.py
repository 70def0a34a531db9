"""Region proposals: a fixed number of the best boxes of all levels of a region proposal head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_space.blocks.registries import HEADS
from search_space.errors import SpaceError
from search_space.heads.anchors import RPN_RATIOS, rpn_anchors
from search_space.heads.box_coding import clip, decode
from search_space.heads.nms import suppress

NUM_CANDIDATES = 1000
"""Best anchors of a level by score that are candidates. TinyDet uses 2000 in training and 1000 in testing."""

IOU_THRESHOLD = 0.7

NUM_ANCHORS = len(RPN_RATIOS)


@HEADS.register("proposals")
class Proposals(nn.Module):
    """Turns the maps `(B, 15, H, W)` of a region proposal head, finest first, into boxes `(B, num_proposals, 4)`.

    Boxes are x1, y1, x2, y2 in pixels of the input, whose size is that of the finest map times its stride. They carry
    no gradient. See `propose` for the rules.

    Raises:
        SpaceError: `num_proposals` is not positive.
    """

    def __init__(self, strides: tuple[int, ...], anchor_scale: float, num_proposals: int) -> None:
        super().__init__()
        if num_proposals < 1:
            raise SpaceError(f"a two-stage head needs at least 1 proposal, got {num_proposals}; TinyDet has 200")
        self.strides = tuple(strides)
        self.anchor_scale = anchor_scale
        self.num_proposals = num_proposals

    def forward(self, *maps: Tensor) -> Tensor:
        if maps[0].is_meta:  # the selection depends on values, which meta tensors do not have
            return maps[0].new_empty((maps[0].shape[0], self.num_proposals, 4))
        return propose(maps, self.strides, anchor_scale=self.anchor_scale, num_proposals=self.num_proposals)


@torch.no_grad()
def propose(
    maps: Sequence[Tensor],
    strides: Sequence[int],
    *,
    anchor_scale: float,
    num_proposals: int,
    num_candidates: int = NUM_CANDIDATES,
) -> Tensor:
    """Returns the `num_proposals` best boxes `(B, num_proposals, 4)` px of each image, without gradients.

    On each level the `num_candidates` best anchors are decoded and clamped to the input, and suppressed at an IoU above
    0.7 with a better one of the same level. The best kept boxes of all levels are the proposals, best first. If they
    are too few, the best suppressed boxes follow, then all are repeated from the first. Equal scores keep the order of
    levels and anchors, so the same maps always give the same boxes.

    Args:
        maps: `(B, 15, H, W)` of each level, as `RPNLevel` gives them, finest first.
        strides: Pixels per cell of each level.
        anchor_scale: Side of an anchor in strides.
        num_proposals: Boxes in the result.
        num_candidates: Best anchors of a level that are candidates.
    """
    ranked = rank_candidates(maps, strides, anchor_scale=anchor_scale, num_candidates=num_candidates)
    return torch.stack([_repeated(boxes, num_proposals) for boxes, _ in ranked])


@torch.no_grad()
def rank_candidates(
    maps: Sequence[Tensor], strides: Sequence[int], *, anchor_scale: float, num_candidates: int
) -> list[tuple[Tensor, int]]:
    """Returns the candidates of `propose`: all boxes `(n, 4)` px of each image, and how many of them are kept.

    The kept boxes come first, then the suppressed ones, both best first; see `propose` for the rules.
    """
    image_hw = (maps[0].shape[2] * strides[0], maps[0].shape[3] * strides[0])
    levels = [
        _candidates(level, rpn_anchors((level.shape[2], level.shape[3]), stride, anchor_scale), num_candidates)
        for level, stride in zip(maps, strides, strict=True)
    ]
    ranked = []
    for image in range(maps[0].shape[0]):
        # A diverged detector must give a non-finite loss, not an index out of range later.
        boxes = [clip(level_boxes[image], image_hw).nan_to_num(nan=0.0) for _, level_boxes in levels]
        scores = [level_scores[image] for level_scores, _ in levels]
        ranked.append(_rank(boxes, scores))
    return ranked


def split_level(level: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the objectness logits `(B, n)` and offsets `(B, n, 4)` of a level's anchors, both in float32.

    Args:
        level: `(B, 15, H, W)`, as `RPNLevel` gives it; the anchors are in the order of `rpn_anchors`.
    """
    table = level.float().permute(0, 2, 3, 1)
    return table[..., :NUM_ANCHORS].flatten(1), table[..., NUM_ANCHORS:].reshape(len(table), -1, 4)


def _candidates(level: Tensor, anchors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns logits `(B, n)` and boxes `(B, n, 4)` px of the best anchors of a level `(B, 15, H, W)`, best first.

    Logits give the order of their sigmoids, and also differ where the sigmoid rounds to 1.
    """
    logits, offsets = split_level(level)
    best = logits.argsort(dim=1, descending=True, stable=True)[:, :count]
    rows = best[..., None].expand(-1, -1, 4)
    return logits.gather(1, best), decode(offsets.gather(1, rows), anchors.to(level.device)[best])


def _rank(boxes: list[Tensor], scores: list[Tensor]) -> tuple[Tensor, int]:
    """Returns the candidates `(n, 4)` of all levels of one image, kept ones first, and the number of kept ones."""
    stays = []
    for level_boxes, level_scores in zip(boxes, scores, strict=True):
        stay = torch.zeros_like(level_scores)
        stay[_suppress_inclusive(level_boxes, level_scores)] = 1
        stays.append(stay)
    by_score = torch.cat(scores).argsort(descending=True, stable=True)
    stay = torch.cat(stays)[by_score]
    rank = by_score[stay.argsort(descending=True, stable=True)]
    return torch.cat(boxes)[rank], int(stay.sum())


def _repeated(boxes: Tensor, count: int) -> Tensor:
    """Returns the first `count` of `boxes` `(n, 4)`, repeated from the first where there are fewer."""
    return boxes[torch.arange(count, device=boxes.device) % len(boxes)]


def _suppress_inclusive(boxes: Tensor, scores: Tensor) -> Tensor:
    """Suppresses boxes in inclusive pixels, which are a pixel wider and higher than their corners are apart."""
    return suppress(boxes + boxes.new_tensor([0, 0, 1, 1]), scores, iou_threshold=IOU_THRESHOLD)
