"""What operators give on `meta`, worked out without torch's kernels, against these kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.cost import cost as costing
from nas.cost import cost_of
from nas.cost.outputs import UNCHANGED_SHAPE, OnMeta, output_of, without_running
from search_space import DESIGNS

F = nn.functional


class Checked(TorchDispatchMode):
    """Compares what is worked out for each operator with what torch gives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        given = without_running(name, args) if name in UNCHANGED_SHAPE else None if kwargs else output_of(name, args)
        true = func(*args, **(kwargs or {}))
        if given is not None:
            self.names.add(name)
            ours, theirs = (each[0] if isinstance(each, tuple) else each for each in (given, true))
            assert (ours.shape, ours.dtype, ours.stride()) == (theirs.shape, theirs.dtype, theirs.stride())
        return true


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


MAP = (1, 6, 8, 10)
CALLS = {
    "convolution": lambda x: F.conv2d(x, meta(4, 3, 3, 5), meta(4), stride=(2, 1), padding=(1, 2), groups=2),
    "convolution with dilation": lambda x: F.conv2d(x, meta(4, 6, 3, 3), dilation=2),
    "add": lambda x: x + meta(1, 6, 1, 1),
    "mul": lambda x: meta(10) * x,
    "sub": lambda x: x - 1,
    "rsub": lambda x: 1 - x,
    "div": lambda x: x / meta(),
    "pow": lambda x: x**2,
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "sum": lambda x: x.sum(-1),
    "amax": lambda x: x.amax((1,)),
    "cat": lambda x: torch.cat((x, meta(1, 2, 8, 10)), 1),
    "cat along the width": lambda x: torch.cat((x, x), -1),
    "stack": lambda x: torch.stack((x, x), -1),
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "silu": F.silu,
    "native_batch_norm": lambda x: F.batch_norm(x, meta(6), meta(6)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_output_is_worked_out_as_torch_gives_it(name: str) -> None:
    with torch.no_grad(), Checked() as checked:
        CALLS[name](meta(*MAP))
    assert checked.names == {name.split()[0]}


def test_what_is_not_plain_is_left_to_torch() -> None:
    turned, whole = meta(*MAP).transpose(2, 3), meta(*MAP).to(torch.int64)
    assert output_of("add", (turned, turned)) is None and output_of("add", (whole, 1)) is None
    assert output_of("add", (meta(3, 1), meta(1, 3))) is None and output_of("add", (meta(3), meta(4))) is None
    assert output_of("cat", ([meta(1, 2), meta(1, 2, 3)], 1)) is None
    assert output_of("cat", ([meta(1, 2), meta(2, 2)], 1)) is None
    assert output_of("stack", ([meta(1, 2), meta(2, 2)], 0)) is None
    assert output_of("mean", (meta(*MAP), [])) is None and output_of("sum", (meta(*MAP),)) is None
    assert output_of("mean", (meta(*MAP), [4])) is None and output_of("mean", (meta(*MAP), [-5])) is None
    plain = (None, [1, 1], [0, 0], [1, 1])
    assert output_of("convolution", (meta(*MAP), meta(4, 5, 1, 1), *plain, False, [0, 0], 1)) is None
    assert output_of("convolution", (meta(*MAP), meta(4, 6, 9, 1), *plain, False, [0, 0], 1)) is None
    assert output_of("convolution", (meta(*MAP), meta(6, 4, 1, 1), *plain, True, [0, 0], 1)) is None
    assert without_running("relu", (turned,)).stride() == turned.stride()


def test_all_is_made_on_meta_without_numbers() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.LayerNorm(2))
            self.scale = nn.Parameter(torch.ones(3) * 2)
            self.register_buffer("given", torch.tensor([1.0, 2.0]))
            self.register_buffer("counted", torch.arange(4) + 1)

    with OnMeta():
        block = Block()
    with torch.device("meta"):
        true = Block()
    pairs = zip(block.state_dict(keep_vars=True).items(), true.state_dict(keep_vars=True).items(), strict=True)
    for (name, ours), (same_name, theirs) in pairs:
        assert name == same_name and ours.is_meta
        assert (ours.shape, ours.dtype, ours.requires_grad) == (theirs.shape, theirs.dtype, theirs.requires_grad)


def test_a_block_is_built_once_for_all_sizes_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, built = DESIGNS.get("yolov8n").architecture, []
    build = costing.build
    monkeypatch.setattr(costing, "build", lambda node: built.append(node.name) or build(node))
    monkeypatch.setattr(costing, "_COUNTS", {})
    monkeypatch.setattr(costing, "_BLOCKS", {})
    first = cost_of(architecture, num_classes=7)
    number = len(built)
    larger = cost_of(architecture.resized((704, 704)), num_classes=7)
    assert 10 < number == len(built) and larger.macs > first.macs and larger.params == first.params
    monkeypatch.setattr(costing, "MAX_BLOCKS", 3)
    cost_of(architecture.resized((768, 768)), num_classes=8)
    assert len(costing._BLOCKS) <= number
    monkeypatch.setattr(costing, "_BLOCKS", {})
    cost_of(architecture.resized((800, 800)), num_classes=8)
    assert len(costing._BLOCKS) == 3
