"""Operators traced from our own graphs, against hand counts, the counted MACs and a table made by another exporter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.cost import cost_of, node_costs
from nas.cost.counting import count_module
from nas.cost.measurements import shipped_operators
from nas.cost.operators import CLASSES, Operators
from nas.cost.terms import TERMS, Rules, add_terms
from nas.cost.tracing import _Tracer, graph_operators, trace_operators
from search_space import DESIGNS, lower
from search_space.blocks import ROLES
from search_space.deployed import deployed
from search_space.graph import build
from tests.search_space.block_cases import BlockCase, blocks_of_the_space

Shape = tuple[int, ...]
RULES = Rules(bytes_per_element=1, tiles=True, fuses_activations=False)
PROPOSALS = "head:proposals"
"""Chooses boxes: its sorting is the only work of no class."""


class _Runs(nn.Module):
    """Runs a function on its inputs and on layers."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs, *self.layers)


def _traced(function: Callable[..., Tensor], *layers: nn.Module, shapes: tuple[Shape, ...] = ((8, 6, 5),)) -> Operators:
    return trace_operators(_Runs(function, *layers).to("meta"), *shapes)


def _classes(operators: Operators) -> list[str]:
    return [CLASSES[kind] for kind in operators.kind]


def _one_of_each_block() -> dict[str, BlockCase]:
    """Returns one node of every block in the registries."""
    found: dict[str, BlockCase] = {}
    for case in blocks_of_the_space().values():
        found.setdefault(case.node.block, case)
    return found


NODES = _one_of_each_block()


def test_every_registered_block_is_traced():
    assert {f"{role}:{name}" for role, registry in ROLES.items() for name in registry} <= set(NODES)


@pytest.mark.parametrize("block", NODES)
def test_a_block_multiplies_what_is_counted_and_is_of_known_classes(block: str):
    node, shapes = NODES[block].node, NODES[block].inputs()
    with torch.device("meta"):
        module = deployed(build(node))
    operators = trace_operators(module, *shapes)
    assert int(operators.macs.sum()) == count_module(module, *shapes).macs
    assert _classes(operators).count("other") == (1 if block == PROPOSALS else 0)
    assert not operators.model.any() and (operators.out_elements > 0).all() and (operators.in_elements > 0).all()
    assert "norm" not in _classes(operators) or block == "fusion:eafusion", "batch norms fold"


@pytest.mark.parametrize("name", DESIGNS.names())
def test_a_design_multiplies_what_it_costs(name: str):
    design = DESIGNS.get(name)
    graph = lower(design.architecture, num_classes=design.num_classes)
    total = 0
    for (node, count), (key, make) in zip(node_costs(graph), graph_operators(graph), strict=True):
        operators = make()
        assert key[0] == node.block and int(operators.macs.sum()) == count.macs, node.name
        assert node.block == PROPOSALS or "other" not in _classes(operators), node.name
        total += int(operators.macs.sum())
    assert total == cost_of(design.architecture, num_classes=design.num_classes).macs


def test_operators_of_a_node_are_remembered():
    graph = lower(DESIGNS.get("yolov8n").architecture, num_classes=80)
    first, second = ([make() for _, make in graph_operators(graph)] for _ in range(2))
    assert all(one is other for one, other in zip(first, second, strict=True))


def _terms_of(name: str, input_hw: tuple[int, int]) -> dict[tuple[str, str], float]:
    graph = lower(DESIGNS.get(name).architecture, num_classes=80, input_hw=input_hw)
    total = sum((add_terms(make(), RULES)[0] for _, make in graph_operators(graph)), np.zeros(len(TERMS)))
    return dict(zip(TERMS, total.tolist(), strict=True))


def _terms_of_table(name: str) -> dict[tuple[str, str], float]:
    names, operators = shipped_operators("jetson_published_ops.csv.gz")
    return dict(zip(TERMS, add_terms(operators, RULES, len(names))[names.index(name)].tolist(), strict=True))


@pytest.mark.parametrize("input_hw", [(640, 640), (384, 640)])
def test_yolov8n_is_what_an_exporter_wrote_down_but_for_the_decoding_of_boxes(input_hw: tuple[int, int]):
    """The published graph ends in one 1x1 convolution over 16 bins, joins of the levels, and box arithmetic."""
    ours, theirs = _terms_of("yolov8n", input_hw), _terms_of_table(f"yolov8n@{input_hw[0]}x{input_hw[1]}")
    more = {term: theirs[term] - ours[term] for term in TERMS if theirs[term] != ours[term]}
    cells = sum(input_hw[0] * input_hw[1] // stride**2 for stride in (8, 16, 32))
    bins = {
        ("launch", "conv1x1"): 1,
        ("bytes", "conv1x1"): 64 * cells + 4 * cells + 16,
        ("flops", "conv1x1"): 2 * 64 * cells * 64 * (-(-4 * cells // 64) * 64) / (4 * cells),
        ("depth", "conv1x1"): 16,
    }
    launches = {"act_exp": 1, "eltwise": 6, "concat": 2, "split": 4, "transpose": 2, "softmax": 1}
    moved = {
        "act_exp": 2 * 80 * cells,
        "eltwise": (2 + 2) * cells * 2 + (4 + 2) * cells * 2 + (2 + 2) * cells + (5 + 4) * cells,
        "concat": 2 * (4 + 84 + 1) * cells,
        "transpose": 2 * (64 + 1) * cells,
        "softmax": 2 * 64 * cells,
    }
    assert more.pop(("bytes", "split")) > 0, "the exporter counts all that its anchors are made like"
    expected = bins | {("launch", name): count for name, count in launches.items()}
    assert more == pytest.approx(expected | {("bytes", name): count for name, count in moved.items()})


def test_yolov8n_has_known_counts():
    ours, theirs = _terms_of("yolov8n", (640, 640)), _terms_of_table("yolov8n@640x640")
    names = ("conv1x1", "conv3x3", "conv3x3s2", "act_exp", "pool", "upsample", "concat", "split", "eltwise")
    assert [ours["launch", name] for name in names] == [24, 32, 7, 57, 3, 2, 16, 8, 6]
    assert [theirs["launch", name] for name in names] == [25, 32, 7, 58, 3, 2, 18, 12, 12]


@pytest.mark.parametrize("input_hw", [(640, 640), (384, 640)])
def test_yolov8n_p2_has_the_operators_of_the_table(input_hw: tuple[int, int]):
    """The published network is a wider one: only what is counted is alike, and the pools' and the last maps' sizes."""
    ours, theirs = _terms_of("yolov8n-p2", input_hw), _terms_of_table(f"yolov8n-p2@{input_hw[0]}x{input_hw[1]}")
    more = {name: theirs["launch", name] - ours["launch", name] for name in (*CLASSES, "group")}
    decoding = {"conv1x1": 1, "act_exp": 1, "eltwise": 6, "concat": 1, "split": 5, "transpose": 2, "softmax": 1}
    assert {name: count for name, count in more.items() if count} == decoding
    assert ours["depth", "conv3x3s2"] == theirs["depth", "conv3x3s2"]


CONV = nn.Conv2d(8, 4, 3, padding=1, bias=False)


def test_batch_norm_folds_into_its_convolution():
    operators = _traced(lambda x, conv, norm: F.silu(norm(conv(x))), CONV, nn.BatchNorm2d(4))
    assert _classes(operators) == ["conv3x3", "act_exp"] and operators.follows_conv.tolist() == [False, True]
    assert operators.macs.tolist() == [4 * 6 * 5 * 8 * 9, 0] and operators.weights.tolist() == [4 * 8 * 9 + 4, 0]
    assert operators.in_elements.tolist() == [240, 120] and operators.out_elements.tolist() == [120, 120]


def test_batch_norm_of_what_is_read_twice_does_not_fold():
    operators = _traced(lambda x, conv, norm: norm(y := conv(x)) + y, CONV, nn.BatchNorm2d(4))
    assert _classes(operators) == ["conv3x3", "norm", "eltwise"]
    assert _classes(_traced(lambda x, norm: norm(x), nn.BatchNorm2d(8))) == ["norm"]


@pytest.mark.parametrize("activation", [F.relu, F.silu, F.hardswish, F.relu6, lambda x: F.relu(x, inplace=True)])
def test_an_activation_follows_a_convolution_that_only_it_reads(activation: Callable[[Tensor], Tensor]):
    assert _traced(lambda x, conv: activation(conv(x)), CONV).follows_conv.tolist() == [False, True]
    after_pool = _traced(lambda x, conv: activation(F.max_pool2d(conv(x), 2)), CONV)
    assert after_pool.follows_conv.tolist() == [False, False, False]
    assert not _traced(lambda x: activation(x)).follows_conv.any()


def test_a_silu_of_what_is_read_twice_follows_nothing():
    operators = _traced(lambda x, conv: F.silu(y := conv(x)) + y, CONV)
    assert _classes(operators) == ["conv3x3", "act_exp", "eltwise"] and not operators.follows_conv.any()


def test_an_activation_behind_a_norm_that_is_read_twice_follows_nothing():
    operators = _traced(lambda x, conv, norm: F.silu(y := norm(conv(x))) + y, CONV, nn.BatchNorm2d(4))
    assert _classes(operators) == ["conv3x3", "act_exp", "eltwise"] and not operators.follows_conv.any()


def test_what_depends_on_weights_alone_is_folded():
    def run(x: Tensor, conv: nn.Conv2d) -> Tensor:
        weight = F.relu(conv.weight)
        return F.conv2d(x, weight / (weight.sum() + 1e-4), padding=1)

    operators = _traced(run, CONV)
    assert _classes(operators) == ["conv3x3"] and operators.in_elements.tolist() == [240]


def test_fused_attention_is_two_products_around_a_softmax():
    query, key, value = torch.empty(1, 2, 30, 16), torch.empty(1, 2, 20, 16), torch.empty(1, 2, 20, 16)
    tracer = _Tracer([query, key, value])
    with torch.no_grad(), tracer:
        F.scaled_dot_product_attention(query, key, value)
    operators = tracer.operators()
    assert _classes(operators) == ["matmul", "softmax", "matmul"]
    pairs = 2 * 30 * 20
    assert operators.macs.tolist() == [pairs * 16, 0, pairs * 16]
    assert operators.in_elements.tolist() == [2 * 50 * 16, pairs, pairs + 2 * 20 * 16]
    assert operators.out_elements.tolist() == [pairs, pairs, 2 * 30 * 16]


def test_attention_of_a_block_multiplies_what_is_counted():
    """On `meta` torch takes attention apart: products, softmax, and the scaling of both factors."""
    shapes = ((2, 30, 8), (2, 20, 8), (2, 20, 24))
    operators = _traced(F.scaled_dot_product_attention, shapes=shapes)
    assert Counter(_classes(operators)).keys() <= {"matmul", "softmax", "eltwise", "transpose"}
    assert Counter(_classes(operators))["matmul"] == 2 and Counter(_classes(operators))["softmax"] == 1
    assert int(operators.macs.sum()) == 2 * 30 * 20 * (8 + 24)
    assert count_module(_Runs(F.scaled_dot_product_attention), *shapes).macs == 2 * 30 * 20 * (8 + 24)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: F.relu(x[:, :]), ["act_cheap"]),
        (lambda x: F.relu(x.narrow(1, 0, 8)), ["act_cheap"]),
        (lambda x: F.relu(x.narrow(1, 0, 4)), ["split", "act_cheap"]),
        (lambda x: F.relu(x[:, 2:6]), ["split", "act_cheap"]),
        (lambda x: F.relu(x.reshape(1, 8, 30)), ["act_cheap"]),
        (lambda x: F.relu(x.flatten(1).unsqueeze(2).transpose(1, 2).contiguous()), ["act_cheap"]),
        (lambda x: F.relu(x.permute(0, 2, 3, 1)), ["transpose", "act_cheap"]),
        (
            lambda x: F.relu(x.detach().view(1, 4, 2, 6, 5).transpose(1, 2).reshape(1, 8, 6, 5)),
            ["transpose", "act_cheap"],
        ),
        (lambda x: torch.cat(x.chunk(2, 1), 1), ["split", "concat"]),
        (lambda x: F.adaptive_avg_pool2d(x, 1), ["global_pool"]),
        (lambda x: x.mean((2, 3)), ["global_pool"]),
        (lambda x: F.adaptive_avg_pool2d(x, 2), ["pool"]),
        (lambda x: F.max_pool2d(x, 3, 1, 1), ["pool"]),
        (lambda x: F.interpolate(x, scale_factor=2), ["upsample"]),
        (lambda x: F.pixel_shuffle(x, 2), ["space_to_depth"]),
        (lambda x: x * 2 + torch.ones(1, device="meta"), ["eltwise", "eltwise"]),
    ],
)
def test_classes_of_single_functions(function: Callable[[Tensor], Tensor], expected: list[str]):
    assert _classes(_traced(function)) == expected


def test_a_split_writes_all_its_parts_and_a_concat_reads_them():
    operators = _traced(lambda x: torch.cat(x.split([2, 6], 1), 1))
    assert operators.in_elements.tolist() == operators.out_elements.tolist() == [240, 240]


def test_a_linear_layer_on_one_position_is_fc_and_counts_its_weights():
    operators = _traced(lambda x, linear: linear(x.mean((2, 3))), nn.Linear(8, 3))
    assert _classes(operators) == ["global_pool", "fc"] and operators.macs.tolist() == [0, 24]
    assert operators.weights.tolist() == [0, 27] and operators.in_elements.tolist() == [240, 8]


def test_a_convolution_in_one_dimension_and_a_transposed_one():
    eca = _traced(lambda x, conv: conv(x.mean((2, 3)).unsqueeze(1)), nn.Conv1d(1, 1, 3, padding=1))
    assert Counter(_classes(eca)) == {"global_pool": 1, "convkxk": 1}
    transposed = _traced(lambda x, conv: conv(x), nn.ConvTranspose2d(8, 4, 2, 2))
    assert _classes(transposed) == ["conv_transpose"] and transposed.macs.tolist() == [8 * 6 * 5 * 4 * 4]
    assert transposed.weights.tolist() == [8 * 4 * 4 + 4]
