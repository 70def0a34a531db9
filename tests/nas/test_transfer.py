"""Transfer between detectors of the space: shares, equal outputs, finite outputs, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.transfer import TransferReport, shapes_of, shared_macs, transfer, usable_macs
from search_space import DESIGNS, Architecture, Detector, SearchSpace
from trainers import fresh_detector
from trainers.weight_transfer import WeightShapes
from trainers.weights import Weights

SPACE = SearchSpace()
SMALL = SPACE.narrowed({"input_size": (128, 160), "free_input_size": (128, 160), "width": (0.125, 0.25, 0.5)})
CLASSES = ("person", "car", "dog")
FAMILIES = ("yolov8n", "sodet-s", "yolov8n-p2-nop5-bidir-cbam", "syolo", "tinydet-s", "ssd-mobilenetv1-s1l0-dualpath")
MARK = 7.0
"""A value that no initial weight has."""


def design(name: str) -> Architecture:
    architecture = DESIGNS.get(name).architecture
    return architecture if architecture.head.kind == "ssd" else architecture.resized((128, 128))


def detector_of(architecture: Architecture, seed: int, classes: Sequence[str] = CLASSES) -> Detector:
    """A detector whose norms have statistics of random images."""
    detector = fresh_detector(architecture, num_classes=len(classes), seed=seed).train()
    torch.manual_seed(seed)
    with torch.no_grad():
        detector(torch.rand(2, 3, *architecture.input_hw))
    return detector.eval()


def weights_of(detector: Detector, architecture: Architecture, classes: Sequence[str] = CLASSES) -> Weights:
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    return Weights(architecture=architecture.to_dict(), classes=tuple(classes), state=state)


def outputs(detector: Detector, images: Tensor, names: Sequence[str] | None = None) -> list[Tensor]:
    with torch.no_grad():
        return detector(images) if names is None else detector.maps(images, names)


def before_the_head(detector: Detector) -> list[str]:
    """The maps that the head reads."""
    heads = ("head", "rpn", "roi_head")
    nodes = {node.name: node for node in detector.graph.nodes}
    read = [name for node in nodes.values() if node.part in heads for name in node.inputs]
    return sorted({name for name in read if nodes[name].part not in heads})


@pytest.mark.parametrize("name", FAMILIES)
def test_an_identical_architecture_gives_identical_outputs(name: str) -> None:
    architecture = design(name)
    parent, child = (detector_of(architecture, seed) for seed in (0, 1))
    report = transfer(child, weights_of(parent, architecture), classes=CLASSES)
    assert (report.parameters, report.macs, report.usable_macs) == (1.0, 1.0, 1.0)
    assert set(report.by_node.values()) == {1.0}
    images = torch.rand(1, 3, *architecture.input_hw)
    assert all(map(torch.equal, outputs(parent, images), outputs(child, images)))
    assert all(map(torch.equal, parent.state_dict().values(), child.state_dict().values()))


@pytest.mark.parametrize("name", FAMILIES)
def test_other_inputs_and_classes_leave_the_body_as_it_is(name: str) -> None:
    architecture, classes = design(name), ("cat", "dog")
    larger = architecture.resized((320, 320))
    parent, child = detector_of(architecture, 0), detector_of(larger, 1, classes)
    report = transfer(child, weights_of(parent, architecture), classes=classes)
    names, images = before_the_head(child), torch.rand(1, 3, 320, 320)
    assert len(names) > 1
    assert all(map(torch.equal, outputs(parent, images, names), outputs(child, images, names)))
    assert 0.5 < report.parameters < 1 and 0.5 < report.macs < 1
    whole = {name for name, share in report.by_node.items() if share == 1}
    assert whole >= {node.name for node in child.graph.nodes if node.part in ("backbone", "neck")} & set(report.by_node)


def check(report: TransferReport, child: Detector, architecture: Architecture) -> None:
    assert 0 <= report.parameters <= 1 and 0 <= report.usable_macs <= report.macs <= 1
    assert all(0 <= share <= 1 for share in report.by_node.values())
    for detector in (child.train(), child.eval()):
        assert all(bool(each.isfinite().all()) for each in outputs(detector, torch.rand(2, 3, *architecture.input_hw)))


@pytest.fixture(scope="module")
def donor() -> Weights:
    return weights_of(detector_of(design("yolov8n"), 0), design("yolov8n"))


@pytest.mark.parametrize(("name", "least"), [("yolov8n-p2-nop5", 0.8), ("sodet-s", 0.2), ("sn2-yolov8n", 0.9)])
def test_yolov8n_starts_related_designs(donor: Weights, name: str, least: float) -> None:
    child = detector_of(design(name), 1)
    report = transfer(child, donor, classes=CLASSES)
    assert least < report.parameters < 1
    check(report, child, design(name))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_yolov8n_starts_any_point(donor: Weights, seed: int) -> None:
    architecture = SMALL.decode(SMALL.random(np.random.default_rng(seed)))
    child = detector_of(architecture, 1)
    check(transfer(child, donor, classes=CLASSES), child, architecture)


def thin(name: str) -> Architecture:
    """A design with an eighth of its channels where VGG has all of them, which takes seconds for an image."""
    architecture = design(name)
    if "vgg16" not in name:
        return architecture
    point = SPACE.encode(architecture)
    return SPACE.decode({**point, "width": 0.125}).resized(architecture.input_hw)


@pytest.mark.parametrize(
    ("parent", "child"),
    [("ssd-mobilenetv1", "ssd-mobilenetv1-s1l0"), ("ssd-vgg16", "ssd-vgg16-s1l2-dualpath"), ("tinydet-s", "tinydet-l")],
)
def test_heads_with_anchors_and_two_stages_start_their_relatives(parent: str, child: str) -> None:
    architecture = thin(child)
    detector = detector_of(architecture, 1)
    report = transfer(detector, weights_of(detector_of(thin(parent), 0), thin(parent)), classes=CLASSES)
    assert report.parameters > 0.4
    check(report, detector, architecture)


@pytest.mark.parametrize("seed", range(8))
def test_the_shares_are_those_of_the_values(donor: Weights, seed: int) -> None:
    """Every copied value is MARK: taps around a smaller kernel are zero and not counted."""
    marked = replace(donor, state={name: torch.full_like(value, int(MARK)) for name, value in donor.state.items()})
    architecture = SMALL.decode(SMALL.random(np.random.default_rng(seed)))
    child = fresh_detector(architecture, num_classes=3, seed=1)
    report = transfer(child, marked)
    values = torch.cat([value.flatten() for value in child.parameters()])
    assert report.parameters == int((values == MARK).sum()) / len(values)
    assert report.is_empty == (report.macs == 0)


WIDER = {"width": 0.5, "box_channels": 64, "depth": 1.0}


@pytest.mark.parametrize("name", ["yolov8n-p2-nop5", "yolov8n-esd2", "yolov8n-gsconve2", "sn2-yolov5n", "sodet-s"])
def test_a_wider_detector_and_back_is_the_same(name: str) -> None:
    point = {**SPACE.encode(design(name)), "width": 0.25}
    narrow = SPACE.decode(point)
    wide = SPACE.decode({**point, **{axis: value for axis, value in WIDER.items() if axis in point}})
    start, middle, end = (detector_of(each, seed) for seed, each in enumerate((narrow, wide, narrow)))
    there = transfer(middle, weights_of(start, narrow))
    back = transfer(end, weights_of(middle, wide))
    assert 0.1 < there.parameters < 1 and (back.parameters, back.macs) == (1.0, 1.0)
    assert all(map(torch.equal, start.state_dict().values(), end.state_dict().values()))


def test_the_result_depends_on_the_arguments_alone(donor: Weights) -> None:
    architecture = design("sodet-s")
    states = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        child = fresh_detector(architecture, num_classes=3, seed=1)
        transfer(child, donor)
        states.append(child.state_dict())
    assert all(map(torch.equal, states[0].values(), states[1].values()))


def test_a_report_says_its_shares_in_percent() -> None:
    report = TransferReport(parameters=1.0, macs=0.99999, usable_macs=0.9, by_node={})
    assert str(report) == "100.0% of the parameters and 99.9% of the multiply-adds"


@pytest.mark.parametrize("seed", range(3))
def test_the_share_without_tensors_is_that_of_the_transfer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (SMALL.decode(SMALL.random(rng)) for _ in range(2))
    pairs = [(first, second), (design("yolov8n-p2-nop5-bidir-cbam"), design("yolov8n")), (first, first)]
    for child, parent in pairs:
        donor = weights_of(fresh_detector(parent, num_classes=3, seed=0), parent)
        report = transfer(fresh_detector(child, num_classes=3, seed=1), donor, classes=CLASSES)
        shapes = [shapes_of(each, num_classes=3) for each in (child, parent)]
        assert (shared_macs(*shapes), usable_macs(*shapes)) == (report.macs, report.usable_macs)


SEEDS = st.integers(0, 19)


@cache
def shapes_of_point(seed: int) -> WeightShapes:
    return shapes_of(SMALL.decode(SMALL.random(np.random.default_rng(seed))), num_classes=3)


def without(shapes: WeightShapes, names: Sequence[str]) -> WeightShapes:
    """The shapes of a donor that lacks some nodes."""
    return replace(shapes, nodes=[node for node in shapes.nodes if node.name not in names])


@settings(max_examples=60, deadline=None)
@given(child=SEEDS, parent=SEEDS)
def test_the_usable_share_is_at_most_the_share_and_one_for_the_same(child: int, parent: int) -> None:
    target, donor = shapes_of_point(child), shapes_of_point(parent)
    assert 0 <= usable_macs(target, donor) <= shared_macs(target, donor) <= 1
    assert usable_macs(target, target) == 1


@settings(max_examples=40, deadline=None)
@given(child=SEEDS, parent=SEEDS, draw=st.data())
def test_the_usable_share_never_rises_as_a_donor_loses_nodes(child: int, parent: int, draw: st.DataObject) -> None:
    target, donor = shapes_of_point(child), shapes_of_point(draw.draw(st.sampled_from([child, parent])))
    lost = draw.draw(st.lists(st.sampled_from([node.name for node in donor.nodes]), unique=True))
    assert usable_macs(target, without(donor, lost)) <= usable_macs(target, donor)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_nothing_is_usable_without_the_first_layer(seed: int) -> None:
    shapes = shapes_of_point(seed)
    (first,) = [node.name for node in shapes.graph.nodes if "image" in node.inputs]
    donor = without(shapes, [first])
    assert usable_macs(shapes, donor) == 0 < shared_macs(shapes, donor)


def test_a_missing_layer_counts_for_those_behind_it_only_and_more_the_earlier_it_is() -> None:
    shapes = shapes_of(design("yolov8n-p2-nop5-bidir-cbam"), num_classes=3)
    nodes = shapes.graph.nodes
    heads = [node.name for node in nodes if node.part == "head"]
    gates = [node.name for node in nodes if node.block.startswith("attention:")]
    for lost in (heads, heads[:1], gates):
        donor = without(shapes, lost)
        assert lost and usable_macs(shapes, donor) == pytest.approx(shared_macs(shapes, donor))
        assert usable_macs(shapes, donor) < 1
    damage = []
    for lost in ("stem", "p2_down", "p3_down", "p4_down"):
        donor = without(shapes, [lost])
        damage.append(shared_macs(shapes, donor) - usable_macs(shapes, donor))
    assert damage == sorted(damage, reverse=True) and damage[-1] > 0.01 and 0.4 < damage[1] < 0.6


def test_behind_a_new_backbone_nothing_is_usable_and_behind_a_new_neck_much_is() -> None:
    shapes = shapes_of(design("yolov8n"), num_classes=3)
    parts = {
        part: without(shapes, [node.name for node in shapes.graph.nodes if node.part == part])
        for part in ("backbone", "neck")
    }
    assert usable_macs(shapes, parts["backbone"]) == 0 and shared_macs(shapes, parts["backbone"]) > 0.5
    assert usable_macs(shapes, parts["neck"]) > 0.4


def test_the_usable_share_of_another_width_does_not_fall_with_the_depth() -> None:
    point = {**SPACE.encode(design("yolov8n-p2-nop5")), "width": 0.25}
    for depth in (0.33, 1.0):
        child, parent = (
            shapes_of(SPACE.decode({**point, "depth": depth, "width": width}), num_classes=3) for width in (0.5, 0.25)
        )
        assert 0.25 <= usable_macs(child, parent) < 0.3
