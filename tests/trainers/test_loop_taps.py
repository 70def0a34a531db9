"""Kernel taps that see padding only get a gradient of zero, whatever a backward pass leaves there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainers.padding_taps import PaddingTapGuard, taps_on_map


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (3, 2, 1, 1), (5, 2, 2, 1), (7, 1, 3, 1), (3, 1, 2, 2)]
)
def test_seen_taps_are_those_with_a_gradient(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    conv = nn.Conv2d(2, 2, kernel, stride, padding, dilation, groups=2, bias=False)
    torch.autograd.backward(conv(torch.ones(1, 2, size, size + 1)).sum())
    assert conv.weight.grad is not None
    assert torch.equal(taps_on_map(conv, (size, size + 1)), conv.weight.grad[0, 0] > 0)


@pytest.mark.parametrize("groups", [4, 1])
def test_what_is_not_a_number_is_cleaned_until_it_is_closed(groups: int) -> None:
    conv = nn.Conv2d(4, 4, 3, 2, 1, groups=groups, bias=False)
    unseen = ~taps_on_map(conv, (1, 1))
    conv.weight.register_hook(lambda gradient: gradient.masked_fill(unseen, torch.nan))  # what bfloat16 does by chance

    def gradient() -> torch.Tensor:
        conv.weight.grad = None
        torch.autograd.backward(conv(torch.ones(1, 4, 1, 1)).sum())
        assert conv.weight.grad is not None
        return conv.weight.grad

    assert unseen.sum() == 8 and gradient().isnan().any()
    guard = PaddingTapGuard(nn.Sequential(conv))
    assert torch.equal(gradient(), (~unseen).expand(4, 4 // groups, 3, 3).float())
    guard.close()
    assert gradient().isnan().any()
