"""Every registered block: shape, count against fvcore, gradients; known answers for the papers' modules."""

from __future__ import annotations

import pytest
import torch

from nas.cost.counting import count_module
from nas.cost.oracle import fvcore_macs
from search_space import Graph, Node, SearchSpace, lower
from search_space.blocks import ATTENTIONS, DOWNSAMPLES, FUSIONS, HEADS, STAGES, UPSAMPLES, find_block
from search_space.blocks.attention import SE, eca_kernel_size
from search_space.blocks.conv import SPPF
from search_space.blocks.downsample import CDown, extended_pools
from search_space.blocks.fusion import WeightedConcat, simam_by_quadrant
from search_space.blocks.upsample import SNI
from search_space.errors import SpaceError

CHANNELS, SIDE = 32, 16


def _nodes_with_every_block() -> dict[str, tuple[Node, Graph]]:
    """Lowers points that name each block in turn, so that a newly registered block is met without a new test."""
    space = SearchSpace().narrowed(
        {"input_size": [128], "head_levels": ["P2-P5"], "width": [0.25], "channel_cap": [0.5], "depth": [0.33]}
    )
    found: dict[str, tuple[Node, Graph]] = {}
    for axis in space.axes:
        for choice in axis.choices:
            params = space.completed({axis.name: choice, "fusion": "bidir_concat"} | {axis.name: choice}, _first)
            graph = lower(space.decode(params), num_classes=3)
            for node in graph.nodes:
                found.setdefault(f"{node.block}-{dict(node.arguments).get('nested', '')}", (node, graph))
    return found


def _first(axis: object) -> object:
    return axis.choices[0]  # type: ignore[attr-defined]


NODES = _nodes_with_every_block()


def _input_shapes(node: Node) -> list[tuple[int, int, int]]:
    arguments = dict(node.arguments)
    channels = arguments.get("in_channels", arguments.get("channels", CHANNELS))
    return [(c, SIDE, SIDE) for c in (channels if isinstance(channels, tuple) else (channels,))]  # type: ignore[misc]


def _build(node: Node, device: str = "cpu") -> torch.nn.Module:
    with torch.device(device):
        torch.manual_seed(0)
        return find_block(node.block)(**dict(node.arguments))


def test_every_registered_block_is_met():
    met = {node.block for node, _ in NODES.values()}
    roles = {
        "stage": STAGES, "downsample": DOWNSAMPLES, "upsample": UPSAMPLES, "fusion": FUSIONS,
        "attention": ATTENTIONS, "head": HEADS,
    }  # fmt: skip
    assert {f"{role}:{name}" for role, registry in roles.items() for name in registry} <= met


@pytest.mark.parametrize("name", NODES)
def test_block_counts_what_fvcore_counts(name: str):
    node, _ = NODES[name]
    shapes = _input_shapes(node)
    count = count_module(_build(node, "meta"), *shapes)
    module = _build(node)
    assert count.macs == fvcore_macs(module, *shapes)
    assert count.params == sum(parameter.numel() for parameter in module.parameters())
    assert count.weight_bytes == 4 * sum(t.numel() for k, t in module.state_dict().items() if "num_batches" not in k)


@pytest.mark.parametrize("name", NODES)
def test_block_gives_the_counted_shape_and_gradients(name: str):
    node, _ = NODES[name]
    module = _build(node).train()
    inputs = [torch.randn(2, *shape, requires_grad=True) for shape in _input_shapes(node)]
    output = module(*inputs)
    assert tuple(output.shape[1:]) == count_module(_build(node, "meta"), *_input_shapes(node)).output_shape
    output.square().sum().backward()
    for tensor in [*inputs, *module.parameters()]:
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()


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
