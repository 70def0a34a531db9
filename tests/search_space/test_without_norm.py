"""Networks without norm start with maps of one scale, which depend on the image down to the coarsest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_space import DESIGNS, Detector, InputFormat, SearchSpace, lower
from search_space.blocks.conv import Conv
from search_space.blocks.vgg import BiasedConv, scale_stem


def quarter_wide(name: str) -> Detector:
    space = SearchSpace()
    point = space.encode(DESIGNS.get(name).architecture)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Detector(lower(space.decode({**point, "width": 0.25}), num_classes=3)).eval()


@pytest.mark.parametrize("name", ["ssd-vgg16", "ssd-vgg16-s1l2-dualpath"])
def test_each_map_of_vgg16_depends_on_the_image(name: str) -> None:
    detector = quarter_wide(name)
    heads = [node.inputs[0] for node in detector.graph.nodes if node.block == "head:ssd"]
    coarse = torch.rand(2, 3, 38, 38, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, size=detector.input_hw, mode="bilinear")
    with torch.no_grad():
        maps = detector.maps(images, heads)
    assert len(maps) == 6
    for level in maps:
        assert 0.1 < level.square().mean().sqrt() < 3
        assert (level[0] - level[1]).square().mean().sqrt() > 0.05


def test_the_weights_keep_the_scale_and_the_biases_are_0() -> None:
    layer = BiasedConv(64, 128)
    assert layer.conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert layer.conv.bias is not None and not layer.conv.bias.any()


def test_a_stem_without_norm_is_divided_by_the_spread_of_its_input() -> None:
    stem, normed = BiasedConv(3, 8), Conv(3, 8)
    before, same = stem.conv.weight.clone(), normed.conv.weight.clone()
    scale_stem(stem, InputFormat(value_range=255, std=(1.0, 2.0, 4.0)))
    scale_stem(normed, InputFormat(value_range=255))
    expected = before / torch.tensor([57.375, 57.375 / 2, 57.375 / 4])[:, None, None]
    assert torch.allclose(stem.conv.weight, expected) and torch.equal(normed.conv.weight, same)
