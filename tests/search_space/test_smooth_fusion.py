"""Smoothing, additive fusion and soft upsampling: TinyDet's counts and known answers."""

from __future__ import annotations

import pytest
import torch

from nas.cost.counting import Shape, count_module
from nas.cost.oracle import fvcore_macs
from search_space.blocks import FUSIONS, find_block
from search_space.blocks.fusion import Add, WeightedAdd
from search_space.blocks.smooth import DenseSmooth, SCConv, SeparableSmooth
from search_space.blocks.upsample import SNI
from search_space.errors import SpaceError


# TinyDet's table for 245 channels: groups, parameters, multiply-adds a position.
@pytest.mark.parametrize(
    "groups,params,macs", [(49, 3920, 3430), (7, 11270, 10780), (5, 14700, 14210), (1, 62720, 62230)]
)
def test_scconv_table_of_tinydet(groups: int, params: int, macs: int):
    with torch.device("meta"):
        count = count_module(SCConv(245, groups), (245, 3, 5))
    assert (count.params, count.macs, count.output_shape) == (params, 15 * macs, (245, 3, 5))


def test_dense_and_separable_smoothing_ignore_the_groups():
    with torch.device("meta"):
        dense, separable = DenseSmooth(245, 7), SeparableSmooth(245, 7)
    assert count_module(dense, (245, 1, 1)).macs == 540_225
    assert count_module(dense, (245, 1, 1)).params == 540_225 + 245
    assert count_module(separable, (245, 1, 1)).params == 62_720


def test_scconv_is_linear_and_mixes_only_within_a_group():
    torch.manual_seed(0)
    block = SCConv(4, 2)
    with torch.no_grad():
        one, other = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
        nothing = block(torch.zeros(1, 4, 3, 3))
        assert torch.allclose(block(one) + block(other) - nothing, block(one + other), atol=1e-5)
        changed = one.clone()
        changed[:, :2] += 1
        difference = (block(changed) - block(one)).abs().amax(dim=(0, 2, 3))
    assert (difference[:2] > 0).all() and (difference[2:] == 0).all()


@pytest.mark.parametrize("groups", [0, 3])
def test_scconv_refuses_groups_that_do_not_divide(groups: int):
    with pytest.raises(SpaceError, match="divide its 8 channels"):
        SCConv(8, groups)


MAPS: list[tuple[str, dict[str, object], list[Shape], Shape]] = [
    ("smooth:dense", {"channels": 6, "groups": 2}, [(6, 4, 6)], (6, 4, 6)),
    ("smooth:separable", {"channels": 6, "groups": 2}, [(6, 4, 6)], (6, 4, 6)),
    ("smooth:scconv", {"channels": 6, "groups": 2}, [(6, 4, 6)], (6, 4, 6)),
    ("fusion:add", {"in_channels": (6, 6)}, [(6, 4, 6)] * 2, (6, 4, 6)),
    ("fusion:add", {"in_channels": (4, 8, 6)}, [(4, 4, 6), (8, 4, 6), (6, 4, 6)], (6, 4, 6)),
    ("fusion:weighted_add", {"in_channels": (4, 8, 6)}, [(4, 4, 6), (8, 4, 6), (6, 4, 6)], (6, 4, 6)),
    ("upsample:sni", {}, [(6, 4, 6)], (6, 8, 12)),
    ("upsample:sni", {"factor": 3}, [(6, 4, 6)], (6, 12, 18)),
]


@pytest.mark.parametrize("block,arguments,shapes,output_shape", MAPS)
def test_block_counts_what_fvcore_counts_and_trains(
    block: str, arguments: dict[str, object], shapes: list[Shape], output_shape: Shape
):
    with torch.device("meta"):
        count = count_module(find_block(block)(**arguments), *shapes)
    module = find_block(block)(**arguments)
    assert count.output_shape == output_shape
    assert count.macs == fvcore_macs(module, *shapes)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, *shape, generator=generator, requires_grad=True) for shape in shapes]
    module.train()(*inputs).square().sum().backward()
    assert all(t.grad is not None and torch.isfinite(t.grad).all() for t in [*inputs, *module.parameters()])


def test_add_sums_and_has_no_weights_where_the_channels_agree():
    block = Add((2, 2, 2))
    maps = [torch.full((1, 2, 1, 1), value) for value in (1.0, 10.0, 100.0)]
    assert block(*maps).flatten().tolist() == [111, 111]
    assert not list(block.parameters())
    assert torch.equal(maps[0], torch.ones(1, 2, 1, 1))


@pytest.mark.parametrize("name", ["add", "weighted_add"])
def test_adding_brings_other_widths_to_the_lateral_one(name: str):
    fusion = FUSIONS.get(name)
    assert fusion.output_channels((4, 8, 6)) == 6  # type: ignore[attr-defined]
    block = fusion((4, 8, 6))  # type: ignore[call-arg]
    convolutions = [(part.in_channels, part.out_channels) for part in block.modules() if hasattr(part, "in_channels")]
    assert convolutions == [(4, 6), (8, 6)]


def test_weighted_add_starts_with_the_mean_and_ignores_negative_weights():
    block = WeightedAdd((1, 1))
    maps = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 6.0)
    with torch.no_grad():
        assert block(*maps).item() == pytest.approx(8 / (2 + 1e-4), rel=1e-6)
        block.weights.copy_(torch.tensor([-3.0, 2.0]))
        assert block(*maps).item() == pytest.approx(12 / (2 + 1e-4), rel=1e-6)


@pytest.mark.parametrize("factor,share", [(1, 1.0), (2, 1 / 4), (3, 1 / 9)])
def test_sni_divides_by_the_ratio_of_the_areas(factor: int, share: float):
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3) * share
    assert torch.allclose(SNI(factor)(x), expected)


@pytest.mark.parametrize("factor", [0, 1.5])
def test_sni_refuses_factors_that_are_no_whole_number(factor: float):
    with pytest.raises(SpaceError, match="sni factor must be a whole number"):
        SNI(factor)  # type: ignore[arg-type]
