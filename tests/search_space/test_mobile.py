"""MobileNet's units: TinyDet's two backbones and MobileNetV1 row by row, the aligned stride, the squeeze."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.cost.counting import Shape, count_module
from nas.cost.oracle import fvcore_macs
from search_space.blocks import find_block
from search_space.blocks.mobile import HardSE, HardswishConv, InvertedResidual, ReLUConv, Separable
from search_space.errors import SpaceError

# TinyDet's tables: in, expanded, out, kernel, squeeze, activation, stride, input side, parameters, multiply-adds.
TABLE_D = [
    (16, 64, 24, 3, False, "relu", 2, 160, 3440, 39731200),
    (24, 72, 24, 3, False, "relu", 1, 80, 4440, 26265600),
    (24, 72, 40, 5, True, "relu", 2, 80, 9368, 18549792),
    (40, 120, 40, 5, True, "relu", 1, 40, 20360, 20167200),
    (40, 240, 80, 3, False, "hswish", 2, 40, 32080, 23904000),
    (80, 240, 80, 3, False, "hswish", 1, 20, 41680, 16224000),
    (80, 240, 80, 5, False, "hswish", 1, 20, 45520, 17760000),
    (80, 240, 112, 3, True, "hswish", 1, 20, 78224, 19324800),
    (112, 336, 112, 3, True, "hswish", 1, 20, 136304, 31371648),
    (112, 336, 160, 5, True, "hswish", 2, 20, 157904, 21325248),
    (160, 480, 160, 5, True, "hswish", 1, 10, 283040, 16675200),
    (160, 960, 160, 5, True, "hswish", 2, 10, 796160, 20260800),
]
TABLE_BC = [
    (24, 72, 36, 3, False, "relu", 2, 160, 5328, 64972800),
    (36, 108, 36, 3, False, "relu", 1, 80, 9252, 55987200),
    (36, 108, 60, 5, True, "relu", 2, 80, 19452, 39577032),
    (60, 180, 60, 5, True, "relu", 1, 40, 43140, 41776200),
    (60, 240, 80, 3, False, "hswish", 2, 40, 36880, 31584000),
    (80, 200, 80, 3, False, "hswish", 1, 20, 34760, 13520000),
    (80, 184, 80, 3, False, "hswish", 1, 20, 31992, 12438400),
    (80, 480, 112, 3, True, "hswish", 1, 20, 213824, 38707200),
    (112, 672, 112, 3, True, "hswish", 1, 20, 385280, 62856192),
    (112, 672, 160, 5, True, "hswish", 2, 20, 428384, 42763392),
    (160, 960, 160, 5, True, "hswish", 1, 10, 796160, 33580800),
    (160, 960, 160, 5, True, "hswish", 1, 5, 796160, 8740800),
]


def _count(block: str, shape: Shape, **arguments: object) -> tuple[int, int, Shape]:
    with torch.device("meta"):
        count = count_module(find_block(block)(**arguments), shape)
    return count.params, count.macs, count.output_shape


@pytest.mark.parametrize("row", TABLE_D + TABLE_BC)
def test_inverted_residual_rows_of_tinydet(row: tuple):
    c1, expanded, c2, kernel, squeeze, activation, stride, side, params, macs = row
    found = _count(
        "unit:inverted_residual", (c1, side, side), in_channels=c1, out_channels=c2, expanded=expanded, kernel=kernel,
        squeeze=squeeze, activation=activation, stride=stride, aligned=True,
    )  # fmt: skip
    assert found == (params, macs, (c2, side // stride, side // stride))


@pytest.mark.parametrize(
    "width,stem,first", [(16, (464, 11059200), (464, 10240000)), (24, (696, 16588800), (888, 20275200))]
)
def test_stem_and_first_unit_of_tinydet(width: int, stem: tuple[int, int], first: tuple[int, int]):
    shape = (width, 160, 160)
    found = _count("layer:conv_hswish", (3, 320, 320), in_channels=3, out_channels=width, stride=2)
    assert found == (*stem, shape)
    assert _count("unit:depthwise_residual", shape, in_channels=width, out_channels=width) == (*first, shape)


def test_mobilenet_v1_base_of_the_ssd_paper():
    """The whole of MobileNetV1 at 300: 3,206,976 parameters and the paper's 1,055,206,336 multiply-adds and maps."""
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    strides = [1, 2, 1, 2, 1, 2, *[1] * 5, 2, 1]
    params, macs, shape = _count("layer:conv_relu", (3, 300, 300), in_channels=3, out_channels=32, stride=2)
    sides = [shape[1]]
    for c1, c2, stride in zip(widths[:-1], widths[1:], strides, strict=True):
        more = _count("unit:separable", shape, in_channels=c1, out_channels=c2, stride=stride)
        params, macs, shape = params + more[0], macs + more[1], more[2]
        sides.append(shape[1])
    assert (params, macs) == (3_206_976, 1_055_206_336)
    assert sides == [150, 150, 75, 75, 38, 38, *[19] * 6, 10, 10]


CASES = {
    "layer:conv_hswish": [{"stride": 2}],
    "layer:conv_relu": [{"kernel_size": 5, "stride": 1}],
    "unit:inverted_residual": [
        {"expanded": 20, "kernel": 5, "squeeze": True, "activation": "hswish", "stride": 2, "aligned": True},
        {"expanded": 20},
    ],
    "unit:depthwise_residual": [{"activation": "hswish", "stride": 2}, {}],
    "unit:separable": [{"stride": 2, "aligned": True}, {}],
}


@pytest.mark.parametrize("block,extra", [(block, extra) for block, extras in CASES.items() for extra in extras])
def test_block_counts_what_fvcore_counts_and_trains(block: str, extra: dict[str, object]):
    arguments = {"in_channels": 12, "out_channels": 12} | extra
    params, macs, shape = _count(block, (12, 8, 6), **arguments)
    module = find_block(block)(**arguments)
    assert macs == fvcore_macs(module, (12, 8, 6))
    assert params == sum(parameter.numel() for parameter in module.parameters())
    x = torch.randn(2, 12, 8, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    output = module.train()(x)
    assert tuple(output.shape[1:]) == shape
    output.square().sum().backward()
    assert all(t.grad is not None and torch.isfinite(t.grad).all() for t in [x, *module.parameters()])


def _first_pixels_of(unit: nn.Module) -> nn.Module:
    """Leaves of a separable unit only where it samples: each kernel takes its centre, norms are skipped."""
    unit.depthwise, unit.pointwise = nn.Conv2d(1, 1, 3, 2, 1, bias=False), nn.Identity()
    with torch.no_grad():
        unit.depthwise.weight.zero_()[0, 0, 1, 1] = 1.0
    return unit


def test_aligned_stride_samples_between_the_pixels():
    """Over the ramp 0 1 2 3 | 4 5 6 7 | ... a plain stride sees 0, 2, 8, 10; an aligned one 2x2 means: 2.5 further."""
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    plain = _first_pixels_of(Separable(1, 1, 2))(ramp)
    aligned = _first_pixels_of(Separable(1, 1, 2, aligned=True))(ramp)
    assert plain.flatten().tolist() == [0, 2, 8, 10]
    assert aligned.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_inverted_residual_aligns_before_its_depthwise_only():
    unit = InvertedResidual(1, 1, 1, stride=2, aligned=True)
    unit.expand = unit.project = nn.Identity()  # type: ignore[assignment]
    unit.depthwise = nn.Conv2d(1, 1, 3, 2, 1, bias=False)  # type: ignore[assignment]
    with torch.no_grad():
        unit.depthwise.weight.zero_()[0, 0, 1, 1] = 1.0
        assert unit(torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side,plain,aligned", [(8, 4, 4), (10, 5, 5), (9, 5, 4)])
def test_sides_after_a_stride(kernel: int, side: int, plain: int, aligned: int):
    for flag, expected in ((False, plain), (True, aligned)):
        arguments = {"in_channels": 4, "out_channels": 4, "expanded": 4, "kernel": kernel, "stride": 2}
        assert _count("unit:inverted_residual", (4, side, side), **arguments, aligned=flag)[2] == (
            4,
            expected,
            expected,
        )


def test_aligned_changes_nothing_without_a_stride():
    assert isinstance(InvertedResidual(4, 4, 8, aligned=True).align, nn.Identity)
    assert isinstance(Separable(4, 4, aligned=True).align, nn.Identity)


@pytest.mark.parametrize("channels,hidden", [(72, 18), (120, 30), (108, 27), (10, 2)])
def test_squeeze_has_a_quarter_of_the_channels_and_no_bias(channels: int, hidden: int):
    squeeze = HardSE(channels)
    assert squeeze.squeeze.out_channels == hidden
    assert sum(parameter.numel() for parameter in squeeze.parameters()) == 2 * channels * hidden


@pytest.mark.parametrize("weight,out_weight,gate", [(2, 0, 0.5), (2, 2, 5 / 6), (2, 8, 1.0), (-2, 2, 0.5)])
def test_squeeze_gates_by_the_hard_sigmoid_of_the_mean(weight: float, out_weight: float, gate: float):
    """The hidden value is relu(weight * 0.5), the mean of channel 0; the gate min((out_weight * hidden + 3) / 6, 1)."""
    squeeze = HardSE(4)
    x = torch.arange(8.0).reshape(1, 4, 1, 2)
    with torch.no_grad():
        squeeze.squeeze.weight.copy_(torch.tensor([weight, 0.0, 0.0, 0.0]).reshape(1, 4, 1, 1))
        squeeze.excite.weight.fill_(out_weight)
        assert torch.allclose(squeeze(x), x * gate)


@pytest.mark.parametrize("c2,stride,residual", [(6, 1, True), (6, 2, False), (8, 1, False)])
def test_identity_only_where_the_shape_stays(c2: int, stride: int, residual: bool):
    for block, extra in (("unit:inverted_residual", {"expanded": 6}), ("unit:depthwise_residual", {})):
        unit = find_block(block)(in_channels=6, out_channels=c2, stride=stride, **extra).eval()
        nn.init.zeros_(unit.project[0].weight)
        x = torch.ones(1, 6, 4, 4)
        assert torch.equal(unit(x), x if residual else torch.zeros(1, c2, 4 // stride, 4 // stride)), block


def test_norms_and_activations():
    for stem, activation in ((HardswishConv(1, 1, 1), F.hardswish), (ReLUConv(1, 1, 1), F.relu)):
        norm = next(part for part in stem.modules() if isinstance(part, nn.BatchNorm2d))
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)
        with torch.no_grad():
            nn.init.ones_(stem.conv[0].weight)
            x = torch.tensor([[[[-4.0, -1.0, 2.0]]]])
            assert torch.allclose(stem.eval()(x), activation(x), atol=1e-4)


@pytest.mark.parametrize("name", ["relu", "hswish"])
def test_units_have_the_activation_asked_for_twice(name: str):
    unit = InvertedResidual(4, 4, 8, activation=name)
    kinds = {"relu": nn.ReLU, "hswish": nn.Hardswish}
    assert sum(isinstance(part, kinds[name]) for part in unit.modules()) == 2


def test_unknown_activation_is_refused():
    with pytest.raises(SpaceError, match="relu, hswish"):
        InvertedResidual(4, 4, 8, activation="mish")


def test_v3_weights_start_from_he_normal_over_the_fan_out():
    torch.manual_seed(0)
    unit = InvertedResidual(64, 64, 256, kernel=5)
    assert unit.project[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert unit.expand[0][0].weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.05)
