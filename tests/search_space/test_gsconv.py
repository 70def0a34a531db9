"""GSConv and its extensions: the order of the channels, the published counts, and the neck block built of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import count_module
from nas.cost.oracle import fvcore_macs
from search_space.blocks import DOWNSAMPLES, TRANSFORMS, find_block
from search_space.blocks.elan import Elan, ElanLayers
from search_space.blocks.gsconv import GSConv, GSConvE1, GSConvE2, interleave
from search_space.errors import SpaceError

NAMES = ("conv", "gsconv", "gsconve1", "gsconve2")


def _params(block: str, *arguments: int) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in find_block(block)(*arguments).parameters())


def test_interleave_is_the_two_group_shuffle():
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    assert interleave(x[:, :4], x[:, 4:]).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


class _Times(nn.Module):
    """Stands in for a layer: its input times a factor, so that the output tells which layers it went through."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def test_gsconv_takes_turns_between_the_dense_and_the_cheap_half():
    block = GSConv(2, 4)
    block.dense, block.cheap = _Times(1), _Times(10)  # type: ignore[assignment]
    assert block(torch.tensor([[[[1.0]], [[2.0]]]])).flatten().tolist() == [1, 10, 2, 20]


def test_gsconve1_puts_gelu_behind_both_convolutions():
    block = GSConvE1(1, 2)
    block.dense, block.mix, block.spread = _Times(1), _Times(2), _Times(-0.25)  # type: ignore[assignment]
    gelu = -0.5 * 0.5 * (1 + torch.erf(torch.tensor(-0.5 / 2**0.5))).item()
    assert block(torch.ones(1, 1, 1, 1)).flatten().tolist() == pytest.approx([1, gelu])


def test_gsconve2_shuffles_u_with_d13_and_d9_with_d17():
    block = GSConvE2(2, 8)
    block.dense = nn.Identity()  # type: ignore[assignment]
    block.windows = nn.ModuleList(_Times(factor) for factor in (9, 13, 17))
    assert block(torch.tensor([[[[1.0]], [[2.0]]]])).flatten().tolist() == [1, 13, 2, 26, 9, 17, 18, 34]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("c1,c2", [(16, 16), (16, 32), (32, 16)])
def test_parameter_formulas(c1: int, c2: int, stride: int):
    h, q = c2 // 2, c2 // 4
    assert _params("transform:conv", c1, c2, stride) == 9 * c1 * c2 + 2 * c2
    assert _params("transform:gsconv", c1, c2, stride) == 9 * c1 * h + 2 * h + 27 * h
    assert _params("transform:gsconve1", c1, c2, stride) == 9 * c1 * h + 2 * h + 9 * h * h + 9 * h
    assert _params("transform:gsconve2", c1, c2, stride) == 9 * c1 * q + 2 * q + 539 * q + 6 * q


# Rows of sn2-yolov8n, yolov5n-ihp and SYOLO.
@pytest.mark.parametrize(
    "c1,c2,params",
    [(64, 64, 28_000), (128, 128, 111_296), (256, 256, 443_776), (128, 256, 296_320), (256, 512, 1_182_464)],
)
def test_gsconve1_rows_of_the_published_models(c1: int, c2: int, params: int):
    assert _params("downsample:gsconve1", c1, c2) == params


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride,sides", [(1, (10, 8)), (2, (5, 4))])
def test_transforms_shape_and_count(name: str, stride: int, sides: tuple[int, int]):
    block, arguments = TRANSFORMS.get(name), {"in_channels": 8, "out_channels": 16, "stride": stride}
    with torch.device("meta"):
        count = count_module(block(**arguments), (8, 10, 8))
    assert count.output_shape == (16, *sides)
    assert count.macs == fvcore_macs(block(**arguments), (8, 10, 8))


@pytest.mark.parametrize("name", NAMES)
def test_downsampling_is_the_transform_at_stride_2(name: str):
    strided = DOWNSAMPLES.get(name)(in_channels=8, out_channels=16)
    transform = TRANSFORMS.get(name)(in_channels=8, out_channels=16, stride=2)
    transform.load_state_dict(strided.state_dict())
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(strided.eval()(x), transform.eval()(x))


@pytest.mark.parametrize("name,parts", [("gsconv", 2), ("gsconve1", 2), ("gsconve2", 4)])
def test_widths_that_cannot_be_parted_are_refused(name: str, parts: int):
    with pytest.raises(SpaceError, match=f"divisible by {parts}"):
        TRANSFORMS.get(name)(in_channels=8, out_channels=4 * parts + 1)


def test_elan_layers_join_the_newest_map_first():
    block = ElanLayers(4, 4)
    block.bypass, block.main = _Times(1), _Times(2)  # type: ignore[assignment]
    block.chain = nn.ModuleList(_Times(factor) for factor in (3, 5, 7, 11))
    assert block(torch.ones(1, 1, 1, 1)).flatten().tolist() == [2310, 210, 30, 6, 2, 1]


# The necks of SYOLO: the rows of all layers of a block added.
@pytest.mark.parametrize(
    "c1,c2,repeats,rows",
    [
        (1536, 256, 1, [393_728, 393_728, 185_024, 3 * 147_712, 656_896]),
        (512, 128, 2, [2 * 65_792, 46_432, 3 * 36_992, 65_792, 2 * 16_640, 46_432, 3 * 36_992, 164_608]),
        (512, 256, 2, [2 * 131_584, 185_024, 3 * 147_712, 262_656, 2 * 66_048, 185_024, 3 * 147_712, 656_896]),
        (1536, 512, 2, [2 * 787_456, 738_688, 3 * 590_336, 1_049_600, 2 * 263_168, 738_688, 3 * 590_336, 2_624_512]),
    ],
)
def test_elan_rows_of_syolo(c1: int, c2: int, repeats: int, rows: list[int]):
    assert _params("stage:elan", c1, c2, repeats) == sum(rows)


@pytest.mark.parametrize("repeats", [1, 2])
def test_elan_shape_and_count(repeats: int):
    with torch.device("meta"):
        count = count_module(Elan(12, 16, repeats), (12, 6, 4))
    assert count.output_shape == (16, 6, 4)
    assert count.macs == fvcore_macs(Elan(12, 16, repeats), (12, 6, 4))


def test_elan_is_lighter_at_the_first_merge_and_has_no_residual():
    assert Elan.lighter_first_merge
    assert not any(inner.shortcut for inner in Elan(8, 8).join.inner)
