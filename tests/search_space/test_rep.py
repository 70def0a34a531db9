"""Re-parameterised convolutions, and the deployed form of blocks and detectors."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.cost.counting import count_module
from search_space.blocks.conv import Conv
from search_space.blocks.rep import RepConv
from search_space.deployed import deployed

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())
BLOCKS = {
    "RepConv(64,64)": lambda: RepConv(64, 64, identity=False),
    "RepConv(64,64,bn=True)": lambda: RepConv(64, 64),
    "damo: RepConv(64,64) train": lambda: RepConv(64, 64, identity=False),
    "RepVGGDW(64)": lambda: RepConv(64, 64, 7, groups=64, identity=False, small_kernel=3),
}
"""The rows of `blocks` in light_golden.json that this file covers."""


def with_statistics(module: nn.Module, seed: int = 0) -> nn.Module:
    """Gives all batch norms random weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            for tensor in (norm.weight.data, norm.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (norm.bias.data, norm.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module.eval()


def apart(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / second.abs().max())


@pytest.mark.parametrize("name", BLOCKS)
def test_counts_are_those_of_the_authors(name: str) -> None:
    row: dict[str, Any] = next(row for row in GOLDEN["blocks"] if row["block"] == name)
    count = count_module(BLOCKS[name](), tuple(row["input_chw"]))
    assert (count.params, count.macs_trained) == (row["params"], row["macs"])
    if "macs_deployed" in row:
        assert (count.params_deployed, count.macs) == (row["params_deployed"], row["macs_deployed"])


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernels=st.sampled_from([(1, 1), (3, 1), (5, 3), (7, 3)]),
    stride=st.integers(1, 2),
    groups=st.integers(1, 3),
    identity=st.booleans(),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_the_merged_convolution_is_the_same_function(
    channels: tuple[int, int],
    kernels: tuple[int, int],
    stride: int,
    groups: int,
    identity: bool,
    sides: tuple[int, int],
) -> None:
    ins, outs = (groups * each for each in channels)
    block = with_statistics(RepConv(ins, outs, kernels[0], stride, groups, identity, kernels[1]))
    x = torch.randn(2, ins, *sides, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = deepcopy(block).double()
        assert apart(block.merged()(x), block(x)) < 1e-4
        assert apart(exact.merged()(x.double()), exact(x.double())) < 1e-12


@pytest.mark.parametrize(("stride", "outs", "identity"), list(product((1, 2), (4, 6), (True, False))))
def test_the_third_branch_is_there_where_shapes_agree(stride: int, outs: int, identity: bool) -> None:
    block = RepConv(4, outs, stride=stride, identity=identity)
    assert (block.identity is not None) == (identity and stride == 1 and outs == 4)


@pytest.mark.parametrize("kernels", [(2, 1), (3, 2), (3, 5)])
def test_kernels_that_cannot_be_centred_are_refused(kernels: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="kernels must be odd"):
        RepConv(4, 4, kernels[0], small_kernel=kernels[1])


def test_the_deployed_form_is_a_copy_in_which_everything_is_merged() -> None:
    original = with_statistics(nn.Sequential(Conv(3, 4), nn.ModuleDict({"a": RepConv(4, 4)})["a"]))
    before = deepcopy(original.state_dict())
    random_state = torch.get_rng_state()
    form = deployed(original)
    assert torch.equal(torch.get_rng_state(), random_state), "no random numbers are drawn"
    x = torch.randn(1, 3, 5, 5)
    with torch.no_grad():
        assert apart(form(x), original(x)) < 1e-4
    assert [type(each) for each in form[1]] == [nn.Conv2d, nn.SiLU] and form[0] is not original[0]
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())
    assert isinstance(original[1], RepConv) and not any(isinstance(each, RepConv) for each in form.modules())


def test_what_has_nothing_to_merge_is_its_own_deployed_form() -> None:
    plain = Conv(3, 4)
    assert deployed(plain) is plain and isinstance(deployed(RepConv(4, 4)), nn.Sequential)
