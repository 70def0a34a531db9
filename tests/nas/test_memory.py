"""Peak activation memory: the sum over nodes equals what running the whole detector keeps alive."""

from __future__ import annotations

import pytest
import torch

from nas.cost import Budget, cost_of, node_costs
from nas.cost.counting import FLOAT_BYTES, MemoryPeak, _Counter, count_module
from search_space import DESIGNS, Detector, lower
from search_space.deployed import deployed
from search_space.errors import BudgetError
from search_space.graph import IMAGE


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DESIGNS))
def test_peak_memory_is_that_of_running_the_detector(name: str) -> None:
    architecture = DESIGNS.get(name).architecture
    with torch.device("meta"):
        detector = deployed(Detector(lower(architecture, num_classes=4)).eval())
        image = [torch.empty(1, 3, *architecture.input_hw)]
    counter = _Counter()
    with torch.no_grad(), counter:
        counter.memory.follow(image[0], is_view=False)
        detector(image.pop())
    graph = lower(architecture, num_classes=4)
    image_bytes = FLOAT_BYTES * 3 * architecture.input_hw[0] * architecture.input_hw[1]
    first = max(count.peak_bytes for node, count in node_costs(graph) if IMAGE in node.inputs) + image_bytes
    peak = counter.memory.peak_bytes  # the caller may hold the image to the end
    assert cost_of(architecture, num_classes=4).memory_bytes in (peak, max(peak - image_bytes, first))


def test_memory_of_a_chain_is_two_maps_and_of_a_skip_three() -> None:
    map_bytes = FLOAT_BYTES * 8 * 4 * 4
    convolution = torch.nn.Conv2d(8, 8, 3, padding=1, device="meta")

    class Chain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(5):
                x = convolution(x)
            return x

    class Skip(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = convolution(x)
            return torch.cat((first, convolution(convolution(first))), 1)

    assert count_module(Chain(), (8, 4, 4)).peak_bytes == 2 * map_bytes
    assert count_module(Skip(), (8, 4, 4)).peak_bytes == 4 * map_bytes  # both halves and their concatenation


def test_a_view_keeps_the_memory_that_it_lies_in_alive() -> None:
    memory = MemoryPeak()
    whole = torch.empty(16)
    memory.follow(whole, is_view=False)
    part = whole[:2]
    memory.follow(part, is_view=True)
    del whole
    assert memory.live_bytes == 16 * FLOAT_BYTES
    del part
    assert memory.live_bytes == 0
    assert memory.peak_bytes == 16 * FLOAT_BYTES


def test_memory_is_a_limit() -> None:
    cost = cost_of(DESIGNS.get("yolov8n").architecture, num_classes=4)
    assert not Budget(memory_mb=cost.memory_mb).violations(cost)
    (violation,) = Budget(memory_mb=cost.memory_mb * 0.99).violations(cost)
    assert violation.name == "memory_mb"
    with pytest.raises(BudgetError, match="MB of activations"):
        Budget(memory_mb=-1)
