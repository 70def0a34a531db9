"""Every registered block: shape, count against fvcore, gradients; known answers for the papers' modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import count_module
from nas.cost.oracle import fvcore_macs
from search_space import Node
from search_space.blocks import DOWNSAMPLES, ROLES, find_block
from search_space.blocks.attention import SE, eca_kernel_size
from search_space.blocks.conv import SPPF, Conv
from search_space.blocks.downsample import CDown, extended_pools
from search_space.blocks.fusion import EAFusion, WeightedConcat, simam_by_quadrant
from search_space.blocks.upsample import SNI
from search_space.errors import SpaceError
from tests.search_space.block_cases import blocks_of_the_space

NODES = blocks_of_the_space()


def _build(node: Node, device: str = "cpu") -> torch.nn.Module:
    with torch.device(device):
        torch.manual_seed(0)
        return find_block(node.block)(**dict(node.arguments))


def test_every_registered_block_is_met():
    met = {case.node.block for case in NODES.values()}
    assert {f"{role}:{name}" for role, registry in ROLES.items() for name in registry} <= met


@pytest.mark.parametrize("name", NODES)
def test_block_counts_what_fvcore_counts(name: str):
    node, shapes = NODES[name].node, NODES[name].inputs()
    count = count_module(_build(node, "meta"), *shapes)
    module = _build(node)
    assert count.macs == fvcore_macs(module, *shapes)
    assert count.params == sum(parameter.numel() for parameter in module.parameters())
    assert count.weight_bytes == 4 * sum(t.numel() for k, t in module.state_dict().items() if "num_batches" not in k)


@pytest.mark.parametrize("name", NODES)
def test_block_gives_the_counted_shape_and_gradients(name: str):
    node, shapes = NODES[name].node, NODES[name].inputs()
    module = _build(node).train()
    inputs = [torch.randn(2, *shape, requires_grad=True) for shape in shapes]
    output = module(*inputs)
    assert tuple(output.shape[1:]) == count_module(_build(node, "meta"), *shapes).output_shape
    if node.block == "head:proposals":
        assert not output.requires_grad, "the second stage must not move the boxes of the first"
        return
    output.square().sum().backward()
    boxes = inputs[:1] if node.block == "head:roi" else []
    for tensor in [*(each for each in inputs if not any(each is box for box in boxes)), *module.parameters()]:
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize("side", [7, 8])
def test_a_strided_1x1_convolution_has_no_stride_of_its_own(side: int):
    conv, x = Conv(6, 4, 1, stride=2).eval(), torch.randn(2, 6, side, side)
    plain = nn.functional.conv2d(x, conv.conv.weight, stride=2)
    torch.testing.assert_close(conv(x), conv.activation(conv.norm(plain)))
    assert conv.conv.stride == (1, 1)


@pytest.mark.parametrize("name", NODES)
def test_no_block_has_a_strided_1x1_convolution(name: str):
    """Their gradients write beyond their memory in oneDNN; see `Conv`."""
    layers = (each for each in _build(NODES[name].node, "meta").modules() if isinstance(each, nn.Conv2d))
    assert not [each for each in layers if each.kernel_size == (1, 1) and each.stride != (1, 1)]


def test_sni_quarters_the_nearest_neighbours():
    out = SNI()(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    rows = [[0.25, 0.25, 0.5, 0.5]] * 2 + [[0.75, 0.75, 1.0, 1.0]] * 2
    assert torch.equal(out[0, 0], torch.tensor(rows))


def test_esd_pools_count_the_zeros_of_the_padding():
    average, maximum = extended_pools(torch.arange(1.0, 17.0).reshape(1, 1, 4, 4))
    assert average.flatten().tolist() == [3.375, 3.9375, 5.625, 6.1875]
    assert maximum.flatten().tolist() == [11, 12, 15, 16]


def test_esd1_refuses_undefined_ratios():
    with pytest.raises(SpaceError, match="16 or 32"):
        DOWNSAMPLES.get("esd1")(in_channels=16, out_channels=24)  # type: ignore[call-arg]


def test_cdown_orders_the_four_parities():
    block = CDown(1, 1)
    block.conv = torch.nn.Identity()  # type: ignore[assignment]
    block.attention = torch.nn.Identity()  # type: ignore[assignment]
    out = block(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert out.flatten().tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize(("channels", "size"), [(32, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_kernel_sizes(channels: int, size: int):
    assert eca_kernel_size(channels) == size


def test_weighted_concat_starts_even_and_ignores_negative_weights():
    fusion = WeightedConcat((1, 1))
    with torch.no_grad():
        even = fusion(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
        fusion.weights.copy_(torch.tensor([-3.0, 2.0]))
        one = fusion(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert torch.allclose(even.flatten(), torch.tensor([0.5, 0.5]), atol=1e-4)
    assert torch.allclose(one.flatten(), torch.tensor([0.0, 1.0]), atol=1e-4)


def test_eafusion_of_few_channels_still_gates_them():
    block = EAFusion((4, 4)).eval()
    assert block.squeeze.out_channels == 1
    first, second = (block(torch.full((1, 4, 4, 4), value), torch.zeros(1, 4, 4, 4)) for value in (0.0, 1.0))
    assert not torch.allclose(first, second)


def test_simam_weighs_each_quadrant_alone():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1.0
    out = simam_by_quadrant(x)
    deviation, variance = (1 - 0.25) ** 2, (0.75**2 + 3 * 0.25**2) / 3
    expected = torch.tensor(deviation / (4 * (variance + 1e-4)) + 0.5).sigmoid()
    assert torch.isclose(out[0, 0, 0, 0], expected)
    assert out.flatten()[1:].abs().sum() == 0


def test_sppf_sees_thirteen_pixels():
    block = SPPF(2, 2)
    block.reduce = block.expand = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.zeros(1, 1, 15, 15)
    x[0, 0, 7, 7] = 1.0
    assert block(x).sum(dim=(2, 3)).flatten().tolist() == [1, 5**2, 9**2, 13**2]


def test_se_keeps_eight_hidden_channels():
    assert SE(16).squeeze.out_channels == 8
    assert SE(256).squeeze.out_channels == 16
