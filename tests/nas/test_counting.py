"""What is counted where no block of the repository leads: attention, unknown operators, blocks that refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.cost import Budget, cost_of
from nas.cost.counting import COUNTED, count_module
from nas.cost.oracle import fvcore_macs
from nas.cost.tracing import node_operators
from search_space import DESIGNS
from search_space.errors import SpaceError
from search_space.graph import Node


class Attention(nn.Module):
    """Attention of every position to every other, as torch has it; keys are as wide as values."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_counts_its_two_products() -> None:
    channels, positions = 6, 4 * 5
    shape = (channels, 4, 5)
    wanted = 2 * positions**2 * channels
    assert count_module(Attention(), shape).macs == fvcore_macs(Attention(), shape) == wanted


@pytest.mark.parametrize("name", [name for name in COUNTED if "attention" in name])
def test_attention_that_torch_leaves_whole_counts_the_same(name: str) -> None:
    query, key, value = (torch.empty(2, 3, *shape, device="meta") for shape in ((20, 6), (15, 6), (15, 8)))
    assert COUNTED[name]((query, key, value), query) == 2 * 3 * 20 * 15 * (6 + 8)


class Cumulative(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, dim=1)


def test_an_operator_that_nobody_counts_is_named() -> None:
    with pytest.raises(SpaceError, match="cumsum.* has no counting rule; add it to COUNTED or FREE"):
        count_module(Cumulative(), (3, 4, 4))


def test_a_block_that_refuses_its_maps_is_named() -> None:
    arguments = (("in_channels", 8), ("out_channels", 4))
    node = Node("p3", "layer:conv", arguments, ("image",), 3, "backbone", None)
    with pytest.raises(SpaceError, match="node 'p3' cannot be layer:conv with in_channels=8, out_channels=4: "):
        node_operators(node, (node.block, arguments, ((3, 8, 8),)))


def test_a_violation_says_by_how_much() -> None:
    cost = cost_of(DESIGNS.get("yolov8n").architecture, num_classes=80)
    (violation,) = Budget(gmacs=cost.gmacs / 1.25, params_m=100.0).violations(cost)
    assert violation.excess == pytest.approx(0.25) and str(violation).endswith("by 25.0 %")
    assert cost.gflops_2x == 2 * cost.gmacs and cost.memory_mb == cost.memory_bytes / 1e6
    with pytest.raises(ValueError, match="counted without a device"):
        assert cost.latency_high_ms
