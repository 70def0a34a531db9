"""A tiny detector and the small real data set that the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search_space import InputFormat, TileGrid
from trainers.data import Dataset, DataSplits, open_data
from trainers.data.synthetic import synthetic_splits

HIT_UAV = Path(__file__).parent.parent / "data" / "hit_uav"


def conv(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out, momentum=0.03), nn.SiLU())


class TinyDetector(nn.Module):
    """Two levels, about 20,000 parameters, the contract of `search_space.Detector`."""

    input_format, tiles = InputFormat(), TileGrid()

    def __init__(self, num_classes: int, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self.strides, self.reg_max, self.num_classes, self.input_hw = (4, 8), 16, num_classes, input_hw
        self.head, self.one_to_one = "anchor_free", False
        self.stem = nn.Sequential(conv(3, 8, 2), conv(8, 16, 2), conv(16, 16, 1))
        self.down = conv(16, 24, 2)
        self.heads = nn.ModuleList([nn.Conv2d(channels, 64 + num_classes, 3, 1, 1) for channels in (16, 24)])
        for head in self.heads:
            nn.init.constant_(head.bias[64:], -6.0)

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = self.stem(images)
        return [head(level) for head, level in zip(self.heads, (fine, self.down(fine)), strict=True)]


def tiny_detector(num_classes: int = 3, input_hw: tuple[int, int] = (96, 96), seed: int = 0) -> TinyDetector:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyDetector(num_classes, input_hw)


@pytest.fixture(scope="session")
def shapes() -> Dataset:
    return synthetic_splits(seed=3, num_train=24, num_val=1)[0]


@pytest.fixture(scope="session")
def hit_uav() -> DataSplits:
    return open_data(HIT_UAV)
