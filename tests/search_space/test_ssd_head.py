"""The SSD head: what lies where in its output, and what it costs."""

from __future__ import annotations

import pytest
import torch

from nas.cost.counting import count_module
from nas.cost.oracle import fvcore_macs
from search_space.errors import SpaceError
from search_space.heads.ssd import PREDICTORS, SSDLevel


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_boxes_come_before_classes(predictor: str):
    level = SSDLevel(16, 4, 3, predictor).eval()
    x = torch.rand(2, 16, 5, 7)
    output = level(x)
    assert output.shape == (2, 4 * 4 + 4 * (3 + 1), 5, 7)
    assert torch.equal(output[:, :16], level.box_offsets(x))
    assert torch.equal(output[:, 16:], level.class_logits(x))


@pytest.mark.parametrize("channels, num_anchors, num_classes", [(512, 6, 80), (1024, 6, 20), (128, 4, 80)])
def test_dense_parameters(channels: int, num_anchors: int, num_classes: int):
    with torch.device("meta"):
        level = SSDLevel(channels, num_anchors, num_classes)
    expected = num_anchors * (4 + num_classes + 1) * (9 * channels + 1)
    assert sum(parameter.numel() for parameter in level.parameters()) == expected


def test_separable_parameters():
    level = SSDLevel(32, 6, 10, "separable")
    each = 9 * 32 + 2 * 32  # the depthwise convolution and its batch norm, once for boxes and once for classes
    assert sum(parameter.numel() for parameter in level.parameters()) == 2 * each + 6 * (4 + 11) * (32 + 1)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_counts_agree_with_fvcore(predictor: str):
    with torch.device("meta"):
        count = count_module(SSDLevel(64, 6, 80, predictor), (64, 19, 19))
    assert count.macs == fvcore_macs(SSDLevel(64, 6, 80, predictor), (64, 19, 19)) > 0
    assert count.output_shape == (6 * 85, 19, 19)


def test_a_map_of_one_cell():
    assert SSDLevel(8, 4, 1)(torch.rand(1, 8, 1, 1)).shape == (1, 24, 1, 1)


def test_unknown_predictor():
    with pytest.raises(SpaceError, match="did you mean 'dense'.*known: dense, separable"):
        SSDLevel(8, 4, 1, "denser")
