"""Every block says what its channels are: a wider one with its weights is the same on the channels that it had."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from search_space import Node
from search_space.blocks import find_block
from search_space.blocks.conv import Conv, depthwise
from search_space.blocks.csp import C2f
from search_space.blocks.psa import PositionAttention
from search_space.channel_layout import ChannelTrace, Layout, Part, labelled, multiplied, one_part, width
from tests.search_space.block_cases import Shape, blocks_of_the_space
from trainers.weight_transfer import common_runs, copy_slices


def aligned(fusion: str) -> tuple[Node, list[Shape]]:
    """A fusion of maps of different widths, which the points of the space that are met need not have."""
    return Node("fuse", f"fusion:{fusion}", (("in_channels", (9, 12)),), ("a", "b"), 3), [(9, 8, 8), (12, 8, 8)]


CASES = {name: case for name, case in blocks_of_the_space().items() if case.node.block != "head:proposals"}
MORE = {f"aligned {fusion}": aligned(fusion) for fusion in ("add", "weighted_add", "eafusion")}
MORE["one head"] = (Node("context_attention", "layer:c2psa", (("channels", 64),), ("context",), 5), [(64, 4, 4)])
NODES = {name: case.node for name, case in CASES.items()} | {name: node for name, (node, _) in MORE.items()}
WIDTHS = ("in_channels", "out_channels", "channels", "expanded", "box_channels", "class_channels")
OVER_ALL = {
    "attention:cbam": ("spatial_gate",),
    "fusion:eafusion": ("spatial",),
    "downsample:cdown": ("attention",),
}
"""Gates that see all channels together, or neighbouring ones: more channels change them, so they are turned off."""
OVER_CHANNELS = ("attention:eca", "layer:l2_scale")
"""Blocks that are the same only if the new channels are zero."""
WHOLE = ("smooth", "head:rpn", "head:roi", "attention:eca")
"""Blocks with groups of neighbouring channels, for which the input must be one part."""
CUT = ("downsample:adown", "stage:c2f_shuffle", "stage:c2f_faster", "stage:elan7_partial")
"""Blocks that treat the first channels of a map differently: a wider one cuts it elsewhere, and is another function."""
BOXES = torch.tensor([[[5.0, 6.0, 60.0, 70.0], [1.0, 1.0, 9.0, 9.0]]], dtype=torch.float64)


def shapes_of(name: str) -> list[Shape]:
    """Returns the shapes `(C, H, W)` of the inputs of a node."""
    return CASES[name].inputs() if name in CASES else MORE[name][1]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A block at one width with the layouts of its inputs and its output."""

    module: nn.Module
    inputs: list[Layout]
    output: Layout
    trace: ChannelTrace


def built(node: Node, factor: int, repeats: int | None = None) -> Built:
    """Builds a node with `factor` times the channels, in double precision."""
    arguments = dict(node.arguments) | ({} if repeats is None else {"repeats": repeats})
    for name in WIDTHS:
        value = arguments.get(name)
        if isinstance(value, tuple):
            arguments[name] = tuple(each * factor for each in value)
        elif value is not None and not (node.name == "stem" and name == "in_channels"):
            arguments[name] = value * factor
    module = find_block(node.block)(**arguments).double().eval()
    given = arguments.get("in_channels", arguments.get("channels", 12 * factor))
    inputs = [parts_of(node, size, factor) for size in (given if isinstance(given, tuple) else (given,))]
    if len(inputs) > 1:
        inputs = [labelled(f"map{number}", each) for number, each in enumerate(inputs)]
    if node.block == "head:roi":
        inputs = [one_part(4), *inputs * (len(node.inputs) - 1)]
    trace = ChannelTrace(module)
    return Built(module=module, inputs=inputs, output=trace(module, *inputs), trace=trace)


def parts_of(node: Node, channels: int, factor: int) -> Layout:
    """Two parts of different sizes, in the same ratio for each factor."""
    if node.block.startswith(WHOLE) or node.name == "stem":
        return one_part(channels)
    second = channels // factor // 3 * factor
    return Part("x", channels - second), Part("y", second)


def train(node: Node, module: nn.Module) -> None:
    """Sets weights and statistics of norms as in a trained block; gates over all channels are turned off."""
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            near_one = "var" in name or "norm" in name
            value.copy_(torch.rand_like(value) + 0.5 if near_one else torch.randn_like(value) / 3)
    for gate in OVER_ALL.get(node.block, ()):
        for parameter in module.get_submodule(gate).parameters():
            parameter.zero_()


def widen(narrow: Built, wide: Built) -> None:
    """Copies the weights to the wider block, whose other weights become zero."""
    for parameter in wide.module.parameters():
        parameter.zero_()
    state = narrow.module.state_dict()
    for name, value in wide.module.state_dict().items():
        copy_slices(value, state[name], wide.trace.tensors[name], narrow.trace.tensors[name])
    for few, many in zip(narrow.module.modules(), wide.module.modules(), strict=True):
        if isinstance(few, PositionAttention) and isinstance(many, PositionAttention):
            many.scale = few.scale  # it depends on the channels of a head


def positions(wide: Layout, narrow: Layout) -> Tensor:
    """Returns where the channels of the narrow map are in the wide one, `(C,)`."""
    runs = common_runs(wide, narrow)
    assert sum(run.length for run in runs) == width(narrow)
    return torch.cat([torch.arange(run.target, run.target + run.length) for run in runs])


def random_maps(node: Node, shape: Shape, narrow: Layout, wide: Layout) -> tuple[Tensor, Tensor]:
    """Returns a map for each block, equal on the channels that both have."""
    if shape[0] == 4 == width(narrow) and node.block == "head:roi":
        return BOXES, BOXES
    few, many = (torch.randn(1, width(each), *shape[1:], dtype=torch.float64) for each in (narrow, wide))
    if node.block in OVER_CHANNELS:
        many.zero_()
    many[:, positions(wide, narrow)] = few
    return few, many


@torch.no_grad()
def is_preserved(node: Node, shapes: list[Shape], factor: int) -> bool:
    torch.manual_seed(factor)
    narrow, wide = built(node, 1), built(node, factor)
    train(node, narrow.module)
    widen(narrow, wide)
    pairs = zip(shapes, narrow.inputs, wide.inputs, strict=True)
    few, many = zip(*(random_maps(node, *each) for each in pairs), strict=True)
    dim = -1 if node.block == "head:roi" else 1
    expected, found = narrow.module(*few), wide.module(*many)
    assert expected.std() > 0
    assert (width(narrow.output), width(wide.output)) == (expected.shape[dim], found.shape[dim])
    found = found.index_select(dim, positions(wide.output, narrow.output))
    return torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("name", [name for name, node in NODES.items() if node.block not in CUT])
def test_a_wider_block_is_the_same_on_the_channels_that_it_had(name: str, factor: int) -> None:
    if "towers_of" in name:
        pytest.skip("its convolutions come along with another block")
    assert is_preserved(NODES[name], shapes_of(name), factor)


@pytest.mark.parametrize("name", NODES)
def test_the_parts_of_each_tensor_are_its_dimensions(name: str) -> None:
    node = NODES[name]
    more = ((1, 2), (1, 3)) if node.block.startswith("stage") else ()
    for factor, repeats in ((1, None), (2, None), (3, None), *more):
        found = built(node, factor, repeats)
        state = found.module.state_dict()
        assert found.trace.tensors.keys() == state.keys()
        for path, layout in found.trace.tensors.items():
            sizes = list(state[path].shape)
            if layout.groups > 1:
                sizes[1] *= layout.groups
            assert [width(each) for each in layout.dims] == sizes[: len(layout.dims)], path
            assert len(sizes) == len(layout.dims) or len(sizes) > 2 == len(layout.dims), path
            assert all(len({part.label for part in each}) == len(each) for each in layout.dims), path


SPLITS = ["stage:c2f-{'shortcut': True}", "layer:sppf-{}", "downsample:esd2-{}"]


@pytest.mark.parametrize("name", SPLITS)
def test_without_parts_a_wider_block_is_another_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node, shapes = NODES[name], shapes_of(name)
    for owner in type(built(node, 1).module).__mro__:
        if "channel_layout" in vars(owner):
            monkeypatch.delattr(owner, "channel_layout")
    assert not is_preserved(node, shapes, 2)


class Cheap(nn.Module):
    """A block that does not say what its channels are."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.primary = Conv(in_channels, out_channels // 2)
        self.cheap = depthwise(out_channels // 2, out_channels // 2)
        self.gate = Conv(in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))


def test_a_block_that_says_nothing_is_a_chain_whose_layers_read_what_fits() -> None:
    x = (Part("left", 4), Part("right", 2))
    trace = ChannelTrace(block := Cheap(6, 10))
    assert trace(block, x) == one_part(10)
    half = one_part(5)
    assert trace.tensors["primary.conv.weight"].dims == (half, x)
    assert trace.tensors["cheap.conv.weight"].dims == (half, half) and trace.tensors["cheap.conv.weight"].groups == 5
    assert trace.tensors["cheap.norm.running_var"].dims == (half,)
    assert trace.tensors["cheap.norm.running_var"].follows == "cheap.conv.weight"
    assert trace.tensors["gate.conv.weight"].dims == (one_part(10), x)
    assert trace.tensors["bias"].dims == (one_part(10), one_part(1), one_part(1))


def test_the_join_of_c2f_reads_both_halves_and_each_inner_map() -> None:
    trace = ChannelTrace(block := C2f(6, 8, repeats=2))
    trace(block, one_part(6))
    assert trace.tensors["split.conv.weight"].dims[0] == (Part("bypass", 4), Part("first", 4))
    labels = [part.label for part in trace.tensors["join.conv.weight"].dims[1]]
    assert labels == ["bypass", "first", "inner0", "inner1"]


def test_classes_are_told_apart_by_name_or_by_index_and_number() -> None:
    block = nn.Identity()
    assert ChannelTrace(block, ["cat", "dog"]).classes_and_background(2)[1:] == (
        Part("class cat", 1),
        Part("class dog", 1),
    )
    assert ChannelTrace(block).classes(2) != ChannelTrace(block).classes(3)[:2]


def test_interleaved_and_labelled_layouts() -> None:
    layout = (Part("a", 2), Part("", 3))
    assert multiplied(layout, 2) == (Part("a", 4), Part("", 6))
    assert labelled("up", layout) == (Part("up/a", 2), Part("up", 3))
