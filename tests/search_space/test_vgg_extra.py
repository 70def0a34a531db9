"""SSD's pieces: VGG16 and the extra stages against the paper's totals, pools, sub-sampling, L2 scaling."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import Shape, count_module
from nas.cost.oracle import fvcore_macs
from search_space.blocks import find_block
from search_space.blocks.conv import Conv
from search_space.blocks.pooling import MaxPool, MeanPool, Subsample
from search_space.blocks.vgg import BiasedConv, L2Scale, MaxPool3, VGGConv
from search_space.errors import SpaceError


def _count(block: str, shape: Shape, **arguments: object) -> tuple[int, int, Shape]:
    with torch.device("meta"):
        count = count_module(find_block(block)(**arguments), shape)
    return count.params, count.macs, count.output_shape


def _chain(shape: Shape, blocks: list[tuple[str, dict[str, object]]]) -> tuple[int, int, list[Shape]]:
    params, macs, shapes = 0, 0, [shape]
    for block, arguments in blocks:
        more = _count(block, shapes[-1], **arguments)
        params, macs, shapes = params + more[0], macs + more[1], [*shapes, more[2]]
    return params, macs, shapes


def _vgg16() -> list[tuple[str, dict[str, object]]]:
    """VGG16 in SSD: 13 convolutions, the third pool rounds up, then a 3x3 pool, a dilated 3x3 and a 1x1."""
    blocks: list[tuple[str, dict[str, object]]] = []
    c1 = 3
    for index, (c2, repeats) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        if index:
            blocks.append(("layer:max_pool", {"ceil_mode": index == 3}))
        for _ in range(repeats):
            role = "unit" if blocks else "layer"
            blocks.append((f"{role}:conv_bias_relu", {"in_channels": c1, "out_channels": c2}))
            c1 = c2
    blocks.append(("unit:max_pool3", {"in_channels": 512, "out_channels": 512}))
    blocks.append(("unit:conv_bias_relu", {"in_channels": 512, "out_channels": 1024, "dilation": 6}))
    blocks.append(("unit:conv_bias_relu", {"in_channels": 1024, "out_channels": 1024, "kernel": 1}))
    return blocks


def test_vgg16_base_of_the_ssd_paper():
    params, macs, shapes = _chain((3, 300, 300), _vgg16())
    assert (params, macs) == (20_483_904, 29_898_443_776)
    assert [shape[1] for shape in shapes if shape[0] == 512] == [38, 38, 38, 19, 19, 19, 19, 19]
    assert shapes[-1] == (1024, 19, 19)


def test_only_the_third_pool_of_vgg16_rounds_up():
    """With the first stride removed, 300 becomes 150, 75 after the ceiling pool of 150, and 37 after the last."""
    assert _count("layer:max_pool", (4, 75, 75), ceil_mode=True)[2] == (4, 38, 38)
    assert _count("layer:max_pool", (4, 75, 75))[2] == (4, 37, 37)


# Kind, widths, patterns, input side, sides of the maps, parameters, multiply-adds: the six models of the paper.
EXTRAS = [
    ("separable", (512, 256, 256, 128), "SSSS", 10, [5, 3, 2, 1], 1_180_544, 63_994_752),
    ("separable", (512, 256, 256, 128), "SSSP", 19, [10, 5, 3, 1], 1_180_544, 233_307_776),
    ("plain", (512, 256, 256, 256), "SSVV", 19, [10, 5, 3, 1], 2_459_520, 230_588_416),
    ("plain", (512, 256, 256, 256), "SSSS", 37, [19, 10, 5, 3], 2_459_520, 852_000_768),
]


@pytest.mark.parametrize("kind,widths,patterns,side,sides,params,macs", EXTRAS)
def test_extra_stages_of_the_ssd_paper(
    kind: str, widths: tuple[int, ...], patterns: str, side: int, sides: list[int], params: int, macs: int
):
    sizes = zip((1024, *widths), widths, patterns, strict=False)
    blocks = [(f"extra:{kind}", {"in_channels": a, "out_channels": b, "pattern": p}) for a, b, p in sizes]
    found = _chain((1024, side, side), blocks)  # type: ignore[arg-type]
    assert found[:2] == (params, macs)
    assert [shape[1] for shape in found[2][1:]] == sides


@pytest.mark.parametrize("kind", ["separable", "plain"])
@pytest.mark.parametrize("pattern,sides", [("S", (4, 5)), ("P", (3, 4)), ("V", (5, 7))])
def test_extra_stage_shapes_by_pattern(kind: str, pattern: str, sides: tuple[int, int]):
    found = _count(f"extra:{kind}", (8, 7, 9), in_channels=8, out_channels=6, pattern=pattern)
    assert found[2] == (6, *sides)


@pytest.mark.parametrize("kind", ["separable", "plain"])
def test_extra_stage_ends_in_relu_and_refuses_other_patterns(kind: str):
    block = find_block(f"extra:{kind}")
    torch.manual_seed(0)
    assert block(4, 4, "S").eval()(torch.randn(1, 4, 5, 5)).min() == 0
    with pytest.raises(SpaceError, match="S, P, V"):
        block(4, 4, "X")


def test_separable_extra_clips_at_six_inside_and_not_at_the_end():
    block = find_block("extra:separable")(1, 1, "V").eval()
    for conv in (block.reduce, block.shrink, block.mix):
        nn.init.ones_(conv.weight)
    with torch.no_grad():
        nn.init.constant_(block.mix.weight, 3.0)
        assert block(torch.full((1, 1, 3, 3), 100.0)).item() == pytest.approx(18.0, abs=1e-3)


CASES = [
    ("layer:conv", {"in_channels": 6, "out_channels": 8, "kernel_size": 6, "stride": 2}),
    ("layer:conv_bias_relu", {"in_channels": 6, "out_channels": 8, "kernel_size": 5, "stride": 2}),
    ("layer:pointwise", {"in_channels": 6, "out_channels": 8}),
    ("layer:subsample", {}),
    ("layer:max_pool", {"ceil_mode": True}),
    ("layer:mean_pool", {}),
    ("layer:l2_scale", {"channels": 6}),
    ("unit:conv_bias_relu", {"in_channels": 6, "out_channels": 8, "dilation": 2}),
    ("unit:max_pool3", {"in_channels": 6, "out_channels": 6}),
    ("extra:separable", {"in_channels": 6, "out_channels": 8, "pattern": "S"}),
    ("extra:plain", {"in_channels": 6, "out_channels": 8, "pattern": "P"}),
]


@pytest.mark.parametrize("block,arguments", CASES)
def test_block_counts_what_fvcore_counts_and_trains(block: str, arguments: dict[str, object]):
    params, macs, shape = _count(block, (6, 8, 10), **arguments)
    module = find_block(block)(**arguments)
    assert macs == fvcore_macs(module, (6, 8, 10))
    assert params == sum(parameter.numel() for parameter in module.parameters())
    x = torch.randn(2, 6, 8, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    output = module.train()(x)
    assert tuple(output.shape[1:]) == shape
    output.square().sum().backward()
    assert all(t.grad is not None and torch.isfinite(t.grad).all() for t in [x, *module.parameters()])


def test_pools_and_subsampling_of_a_ramp():
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert Subsample()(ramp).flatten().tolist() == [0, 2, 8, 10]
    assert MaxPool()(ramp).flatten().tolist() == [5, 7, 13, 15]
    assert MeanPool()(ramp).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert MaxPool3(1, 1)(ramp).flatten().tolist() == [5, 6, 7, 7, 9, 10, 11, 11, *[13, 14, 15, 15] * 2]
    with pytest.raises(SpaceError, match="keeps its 4 channels"):
        MaxPool3(4, 8)


def test_l2_scale_gives_length_twenty_and_leaves_zeros():
    x = torch.zeros(1, 2, 1, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, -4.0])
    x.requires_grad_()
    block = L2Scale(2)
    out = block(x)
    assert out[0, :, 0, 0].tolist() == pytest.approx([12.0, -16.0])
    assert out[0, :, 0, 1].tolist() == [0, 0]
    out.sum().backward()
    assert torch.isfinite(x.grad).all()  # type: ignore[arg-type]
    with torch.no_grad():
        block.gain.copy_(torch.tensor([1.0, 10.0]))
    assert block(x)[0, :, 0, 0].tolist() == pytest.approx([0.6, -8.0])


@pytest.mark.parametrize("kernel,dilation", [(1, 1), (3, 1), (3, 6), (5, 2)])
def test_vgg_convolutions_keep_the_sides(kernel: int, dilation: int):
    block = VGGConv(2, 3, kernel, dilation)
    assert block(torch.zeros(1, 2, 5, 7)).shape == (1, 3, 5, 7)
    assert block.conv.dilation == (dilation, dilation)


def test_biased_convolution_rectifies_its_bias():
    block = BiasedConv(1, 2)
    with torch.no_grad():
        block.conv.bias.copy_(torch.tensor([-1.0, 2.0]))  # type: ignore[union-attr]
        assert block(torch.zeros(1, 1, 1, 1)).flatten().tolist() == [0, 2]


def test_six_by_six_stem_halves_with_padding_two():
    stem = Conv(3, 16, 6, 2)
    assert stem.conv.padding == (2, 2)
    assert stem(torch.zeros(2, 3, 12, 8)).shape == (2, 16, 6, 4)
    assert sum(parameter.numel() for parameter in stem.parameters()) == 1_760
    assert [Conv(1, 1, size).conv.padding[0] for size in (1, 3, 5, 17)] == [0, 1, 2, 8]


def test_pointwise_has_nothing_but_its_convolution():
    block = find_block("layer:pointwise")(2, 1)
    with torch.no_grad():
        block.weight.copy_(torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1))
        block.bias.fill_(-5.0)
        assert block(torch.tensor([[[[1.0]], [[3.0]]]])).item() == -10
