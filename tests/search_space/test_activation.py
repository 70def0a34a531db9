"""The activation of a network: where it applies, what it costs, and its axes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.cost import cost_of, node_costs
from nas.cost.latency import load_model
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.blocks.activation import NETWORK_ACTIVATIONS, set_activation
from search_space.blocks.conv import Conv
from search_space.blocks.fusion import EAFusion
from search_space.blocks.gsconv import GSConvE1
from search_space.blocks.mobile import InvertedResidual
from search_space.blocks.rep import RepConv
from search_space.errors import SpaceError

SPACE = SearchSpace()
REFERENCE = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((256, 256))
CLASSES = {"silu": nn.SiLU, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "hardswish": nn.Hardswish}


def activations(module: nn.Module) -> set[type[nn.Module]]:
    """Returns the classes of the activations of the `Conv`s that have one."""
    found = {type(each.activation) for each in module.modules() if isinstance(each, Conv)}
    return found - {nn.Identity}


def detector(architecture: Architecture) -> Detector:
    with torch.device("meta"):
        return Detector(lower(architecture, num_classes=4))


@pytest.mark.parametrize("name", NETWORK_ACTIVATIONS)
def test_all_convolutions_of_a_detector_have_the_activation_of_the_network(name: str) -> None:
    made = detector(replace(REFERENCE, activation=name))
    assert activations(made) == {CLASSES[name]}
    assert {key: value.shape for key, value in made.state_dict().items()} == {
        key: value.shape for key, value in detector(REFERENCE).state_dict().items()
    }


def test_the_head_can_have_another_activation() -> None:
    made = detector(replace(REFERENCE, activation="relu", head_activation="silu"))
    parts: dict[str, set[type[nn.Module]]] = {}
    for node in made.graph.nodes:
        parts.setdefault(node.part, set()).update(activations(made.blocks[node.name]))
    assert parts == {"backbone": {nn.ReLU}, "neck": {nn.ReLU}, "head": {nn.SiLU}}


def test_leaky_relu_has_a_slope_of_a_tenth() -> None:
    block = Conv(3, 4)
    set_activation(block, "leaky_relu")
    assert isinstance(block.activation, nn.LeakyReLU) and block.activation.negative_slope == 0.1


def test_fixed_activations_stay() -> None:
    gelu, unit, plain = GSConvE1(4, 8), InvertedResidual(4, 4, 8), Conv(3, 4, activation=False)
    for block in (gelu, unit, plain):
        set_activation(block, "leaky_relu")
    assert isinstance(gelu.activation, nn.GELU) and isinstance(gelu.dense.activation, nn.LeakyReLU)
    assert isinstance(plain.activation, nn.Identity)
    assert not any(isinstance(each, nn.LeakyReLU) for each in unit.modules())


@pytest.mark.parametrize("block", [RepConv(4, 4), EAFusion((4, 4))], ids=["rep", "eafusion"])
def test_blocks_that_hold_an_activation_themselves_follow(block: nn.Module) -> None:
    set_activation(block, "relu")
    assert isinstance(block.activation, nn.ReLU) and isinstance(block.activation.inplace, bool)
    assert not any(isinstance(each, nn.SiLU) for each in block.modules())


@pytest.mark.parametrize(("name", "gain"), [("relu", 2.0), ("leaky_relu", 2 / 1.01), ("hardswish", None)])
def test_weights_before_a_rectifier_start_from_the_distribution_of_he(name: str, gain: float | None) -> None:
    torch.manual_seed(0)
    for block in (Conv(64, 128, 3), RepConv(64, 128)):
        before = {key: value.clone() for key, value in block.state_dict().items()}
        set_activation(block, name)
        for key, value in block.state_dict().items():
            if gain is None or value.ndim < 4:
                assert torch.equal(value, before[key])
            else:
                fan_out = value.shape[0] * value.shape[2] * value.shape[3]
                assert value.std().item() == pytest.approx((gain / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("field", ["activation", "head_activation"])
def test_an_unknown_activation_is_refused(field: str) -> None:
    with pytest.raises(SpaceError, match="unknown activation 'rellu'.*relu"):
        lower(replace(REFERENCE, **{field: "rellu"}), num_classes=4)


def test_the_default_is_no_part_of_a_key(tmp_path: Path) -> None:
    same = replace(REFERENCE, activation="silu", head_activation="silu")
    assert same == REFERENCE and same.key() == REFERENCE.key() and "activation" not in same.to_dict()
    other = replace(REFERENCE, activation="relu", head_activation="silu")
    other.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == other and other.key() != REFERENCE.key()


@pytest.mark.parametrize("name", NETWORK_ACTIVATIONS)
def test_counts_do_not_depend_on_the_activation(name: str) -> None:
    costs = [cost_of(each, num_classes=4) for each in (REFERENCE, replace(REFERENCE, activation=name))]
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("name", "nano", "orin", "unmeasured"),
    [
        ("silu", 12.50, 2.281, 0),
        ("hardswish", 12.50, 2.281, 0),
        ("relu", 10.68, 2.281, 29),
        ("leaky_relu", 10.68, 2.281, 29),
    ],
)
def test_predicted_latency(name: str, nano: float, orin: float, unmeasured: int) -> None:
    graph = lower(replace(REFERENCE, activation=name), num_classes=4)
    found = load_model("jetson-nano").latency(graph)
    assert found.latency_ms == pytest.approx(nano, abs=0.005)
    assert round(100 * found.unsupported_share) == unmeasured
    assert load_model("orin-nano").latency(graph).latency_ms == pytest.approx(orin, abs=0.0005)


POINT = SPACE.encode(DESIGNS.get("yolov8n-p2-nop5").architecture)


def test_axes_are_active_where_they_have_an_effect() -> None:
    assert POINT["activation"] == "silu" and "head_activation" not in POINT
    relu = {**POINT, "activation": "relu", "head_activation": "silu"}
    made = SPACE.decode(relu)
    assert (made.activation, made.head_activation) == ("relu", "silu") and SPACE.encode(made) == relu
    assert SPACE.decode({**relu, "head_activation": "body"}).head_activation is None
    for name in ("ssd-mobilenetv1", "ssd-vgg16", "tinydet-s"):
        assert "activation" not in SPACE.encode(DESIGNS.get(name).architecture)


def test_a_head_with_an_activation_that_the_space_lacks() -> None:
    reason = SPACE.why_not(replace(DESIGNS.get("yolov8n-p2-nop5").architecture, head_activation="relu"))
    assert reason is not None and "head_activation" in reason


def test_nodes_that_differ_only_in_their_activation_are_told_apart() -> None:
    graphs = [lower(replace(REFERENCE, activation=name), num_classes=4) for name in ("silu", "relu")]
    pairs = list(zip(*(node_costs(graph) for graph in graphs), strict=True))
    assert all(one[0] != other[0] for one, other in pairs)
