"""Weights of one detector for another: slices, kernels, groups, repeats, norms, classes, shared weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from head_cases import HEADS, small_architecture, small_detector
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_space import DESIGNS, Architecture, Detector, InputFormat
from search_space.channel_layout import Layout, Part, TensorLayout, one_part
from search_space.errors import ConfigError
from trainers import fresh_detector
from trainers.weight_transfer import common_runs, copy_slices, transfer_weights
from trainers.weights import Weights

CLASSES = ("person", "car", "dog")
DESIGN = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
MARK = 7.0
"""A value that no initial weight has."""

parts = st.builds(Part, st.sampled_from("abcde"), st.integers(1, 4))
layouts = st.lists(parts, min_size=1, unique_by=lambda part: part.label).map(tuple)


def places(layout: Layout, *, by_label: bool) -> dict[tuple[str, int], int]:
    """The index of each place of each part; of single parts the labels do not count."""
    names = [(part.label if by_label else "", place) for part in layout for place in range(part.size)]
    return {name: index for index, name in enumerate(names)}


@given(layouts, layouts)
def test_runs_pair_the_leading_indices_of_equal_labels(to: Layout, of: Layout) -> None:
    by_label = len(to) > 1 or len(of) > 1
    known = places(of, by_label=by_label)
    expected = {index: known[name] for name, index in places(to, by_label=by_label).items() if name in known}
    runs = common_runs(to, of)
    assert {run.target + i: run.source + i for run in runs for i in range(run.length)} == expected
    assert sum(run.length for run in runs) == len(expected)


def dense(weight: Tensor, groups: int) -> Tensor:
    """Returns the weight `(O, I, h, w)` without groups, NaN where an output and an input are not connected."""
    outputs, inputs = weight.shape[0], weight.shape[1] * groups
    full = torch.full((outputs, inputs, *weight.shape[2:]), torch.nan)
    for row in range(outputs):
        first = row // (outputs // groups) * weight.shape[1]
        full[row, first : first + weight.shape[1]] = weight[row]
    return full


sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None)
@given(sizes, sizes)
def test_groups_share_the_connections_that_both_have(to: tuple[int, int, int], of: tuple[int, int, int]) -> None:
    """Each convolution is (groups, outputs of a group, inputs of a group)."""
    weights = [torch.randn(groups * outputs, inputs, 1, 1) for groups, outputs, inputs in (to, of)]
    weights[0].fill_(torch.inf)
    told = [TensorLayout((one_part(g * o), one_part(g * i)), g) for g, o, i in (to, of)]
    before = dense(weights[0], to[0])
    count = copy_slices(weights[0], weights[1], *told)
    after, given_weight = dense(weights[0], to[0]), dense(weights[1], of[0])
    rows, columns = (min(pair) for pair in zip(before.shape[:2], given_weight.shape[:2], strict=True))
    shared = ~before[:rows, :columns].isnan() & ~given_weight[:rows, :columns].isnan()
    assert count == int(shared.sum()) == int(torch.isfinite(after).sum())
    assert torch.equal(after[:rows, :columns][shared], given_weight[:rows, :columns][shared])


@pytest.mark.parametrize(("small", "large"), [(1, 3), (3, 5), (3, 7), (5, 9)])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_larger_kernel_is_the_same_filter(small: int, large: int, groups: int) -> None:
    layout = TensorLayout((one_part(4), one_part(4)), groups)
    few, many = (torch.randn(4, 4 // groups, side, side) for side in (small, large))
    assert copy_slices(many, few, layout, layout) == few.numel()
    x = torch.randn(1, 4, 12, 12)
    expected, found = (F.conv2d(x, each, padding=each.shape[-1] // 2, groups=groups) for each in (few, many))
    assert torch.allclose(expected, found, atol=1e-5)


def test_a_smaller_kernel_is_the_centre() -> None:
    layout = TensorLayout((one_part(1), one_part(1)))
    six, three, one = (torch.arange(float(side * side)).reshape(1, 1, side, side) for side in (6, 3, 1))
    assert copy_slices(three, six, layout, layout) == 9 and torch.equal(three[0, 0], six[0, 0, 1:4, 1:4])
    assert copy_slices(one, three, layout, layout) == 1 and one == three[0, 0, 1, 1]


def test_variants_have_nothing_in_common() -> None:
    plain, depthwise = (TensorLayout((one_part(2), one_part(2)), variant=name) for name in ("plain", "depthwise"))
    target = torch.zeros(2, 2)
    assert copy_slices(target, torch.ones(2, 2), plain, depthwise) == 0 and not target.any()


def weights_of(detector: Detector, architecture: Architecture, classes: tuple[str, ...] = CLASSES) -> Weights:
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    return Weights(architecture=architecture.to_dict(), classes=classes, state=state)


def marked(architecture: Architecture, classes: tuple[str, ...] = CLASSES) -> Weights:
    """Weights that are MARK everywhere."""
    donor = weights_of(fresh_detector(architecture, num_classes=len(classes), seed=0), architecture, classes)
    return replace(donor, state={name: torch.full_like(value, int(MARK)) for name, value in donor.state.items()})


def with_repeats(repeats: int, **fields: Any) -> Architecture:
    stages = tuple(replace(stage, repeats=repeats, **fields) for stage in DESIGN.backbone.stages)
    return replace(DESIGN, backbone=replace(DESIGN.backbone, stages=stages))


@pytest.mark.parametrize("block", ["c2f", "c3", "c3_light", "c3k2"])
def test_more_repeats_get_the_weights_of_the_last_one_and_fewer_drop_it(block: str) -> None:
    few, many = with_repeats(2, block=block), with_repeats(4, block=block)
    inner = "main" if block.startswith("c3") and block != "c3k2" else "inner"
    first = 1 if inner == "main" else 0
    for donor_design, design in ((few, many), (many, few)):
        parent = fresh_detector(donor_design, num_classes=3, seed=0)
        child = fresh_detector(design, num_classes=3, seed=1)
        transfer_weights(child, weights_of(parent, donor_design))
        name = f"blocks.p3_block.{inner}.{{}}.first.conv.weight".format
        own, given_state = child.state_dict(), parent.state_dict()
        for number in range(min(2, 4) if design is few else 4):
            expected = given_state[name(first + min(number, 1 if donor_design is few else 3))]
            assert torch.equal(own[name(first + number)], expected)


def test_a_block_of_the_same_family_gets_what_has_the_same_path() -> None:
    child = fresh_detector(with_repeats(1, block="c2f"), num_classes=3, seed=1)
    transfers = transfer_weights(child, marked(with_repeats(1, block="c3k2")))
    state = child.state_dict()
    assert (state["blocks.p2_block.split.conv.weight"] == MARK).any()
    assert 0 < transfers["p2_block"].parameters < transfers["p2_block"].num_parameters
    other = fresh_detector(with_repeats(1, block="c3"), num_classes=3, seed=1)
    assert transfer_weights(other, marked(with_repeats(1, block="c2f")))["p2_block"].parameters == 0


def test_a_norm_comes_only_with_its_convolution() -> None:
    donor = marked(DESIGN)
    state = {name: value for name, value in donor.state.items() if name != "blocks.p3_down.conv.weight"}
    child = fresh_detector(DESIGN, num_classes=3, seed=1)
    transfers = transfer_weights(child, replace(donor, state=state))
    assert transfers["p3_down"].parameters == 0 and transfers["p4_down"].parameters > 0
    own = child.state_dict()
    assert (own["blocks.p3_down.norm.running_mean"] == 0).all() and own["blocks.p3_down.norm.num_batches_tracked"] == 0
    assert (own["blocks.p4_down.norm.running_mean"] == MARK).all()
    assert own["blocks.p4_down.norm.num_batches_tracked"] == MARK


def test_behind_a_concatenation_each_map_comes_along() -> None:
    """The lateral map has other channels, so its columns start elsewhere."""
    stages = tuple(replace(stage, channels=stage.channels + 8 * (stage.level == 4)) for stage in DESIGN.backbone.stages)
    wide = replace(DESIGN, backbone=replace(DESIGN.backbone, stages=stages))
    parent, child = (fresh_detector(each, num_classes=3, seed=seed) for seed, each in enumerate((DESIGN, wide)))
    transfer_weights(child, weights_of(parent, DESIGN))
    few, many = (each.state_dict()["blocks.down3_block.split.conv.weight"] for each in (parent, child))
    lateral = DESIGN.backbone.stages[1].channels
    assert many.shape[1] == few.shape[1] + 8
    assert torch.equal(many[:, -lateral:], few[:, -lateral:])
    assert torch.equal(many[:, : few.shape[1] - lateral], few[:, :-lateral])


def test_attention_after_a_block_keeps_the_name_of_its_map() -> None:
    stages = tuple(replace(stage, attention="eca") for stage in DESIGN.backbone.stages)
    child = fresh_detector(replace(DESIGN, backbone=replace(DESIGN.backbone, stages=stages)), num_classes=3, seed=1)
    transfers = transfer_weights(child, marked(DESIGN))
    incomplete = {name for name, each in transfers.items() if each.parameters < each.num_parameters}
    assert incomplete == {f"p{level}_attention" for level in (2, 3, 4, 5)}


def test_a_context_belongs_to_its_level() -> None:
    flat = replace(DESIGN, backbone=replace(DESIGN.backbone, stages=DESIGN.backbone.stages[:-1]))
    transfers = transfer_weights(fresh_detector(flat, num_classes=3, seed=1), marked(DESIGN))
    assert transfers["context"].parameters == 0 < transfers["p4_block"].parameters


@pytest.mark.parametrize("kind", HEADS)
def test_classes_come_along_by_name_whatever_their_case(kind: str) -> None:
    detector, other = small_detector(kind, 3), small_detector(kind, 4)
    for value in detector.state_dict().values():
        value.copy_(torch.randn(value.shape).to(value))
    transfer_weights(other, weights_of(detector, small_architecture(kind)), ("Dog ", "bus", "PERSON", "cat"))
    name = next(name for name in detector.state_dict() if name.endswith("class_logits.bias"))
    few, many = detector.state_dict()[name], other.state_dict()[name]
    background = 0 if kind == "anchor_free" else 1
    few, many = few.reshape(-1, 3 + background), many.reshape(-1, 4 + background)
    assert torch.equal(many[:, :background], few[:, :background])
    assert torch.equal(many[:, background + torch.tensor([0, 2])], few[:, background + torch.tensor([2, 0])])
    assert not torch.isin(many[:, background + torch.tensor([1, 3])], few).any()


def test_classes_without_names_come_along_if_their_number_is_the_same() -> None:
    donor = marked(DESIGN)
    same, other = (fresh_detector(DESIGN, num_classes=number, seed=1) for number in (3, 4))
    for detector, expected in ((same, True), (other, False)):
        transfer_weights(detector, donor)
        assert bool((detector.state_dict()["blocks.head3.class_logits.bias"] == MARK).all()) is expected


def test_weights_shared_by_levels_come_along_if_another_level_holds_them() -> None:
    parent = small_architecture("two_stage")
    child = fresh_detector(replace(parent, head=replace(parent.head, finest_level=4)), num_classes=3, seed=1)
    transfers = transfer_weights(child, marked(parent))
    assert transfers["rpn4"].parameters == transfers["rpn4"].num_parameters > 0


def test_a_unit_that_the_donor_lacks_gets_the_last_one() -> None:
    parent = DESIGNS.get("ssd-mobilenetv1").architecture
    longer = [replace(stage, units=(*stage.units, stage.units[-1])) for stage in parent.backbone.stages]
    child = replace(parent, backbone=replace(parent.backbone, stages=tuple(longer)))
    detector, donor = fresh_detector(child, num_classes=3, seed=1), fresh_detector(parent, num_classes=3, seed=0)
    transfer_weights(detector, weights_of(donor, parent))
    own, given_state = detector.state_dict(), donor.state_dict()
    assert torch.equal(own["blocks.p3_unit3.pointwise.0.weight"], given_state["blocks.p3_unit2.pointwise.0.weight"])


def test_a_donor_may_lack_tensors_but_not_have_them_in_another_shape() -> None:
    donor = marked(DESIGN)
    backbone = {name: value for name, value in donor.state.items() if name.startswith("blocks.p")}
    child = fresh_detector(DESIGN, num_classes=3, seed=1)
    transfers = transfer_weights(child, replace(donor, state=backbone))
    assert transfers["p3_block"].parameters == transfers["p3_block"].num_parameters
    assert transfers["head3"].parameters == transfers["stem"].parameters == 0
    wrong = {**donor.state, "blocks.stem.conv.weight": torch.zeros(3, 3)}
    before = {name: value.clone() for name, value in child.state_dict().items()}
    with pytest.raises(ConfigError, match=r"do not fit their own architecture: blocks\.stem\.conv\.weight"):
        transfer_weights(child, replace(donor, state=wrong))
    assert all(torch.equal(value, before[name]) for name, value in child.state_dict().items())


def test_weights_for_another_input_format_see_the_same_colours() -> None:
    bgr = InputFormat(channels="bgr", value_range=255, std=(2.0, 4.0, 8.0))
    parent, images = fresh_detector(DESIGN, num_classes=3, seed=0).eval(), torch.rand(1, 3, 64, 64)
    child = fresh_detector(replace(DESIGN, input_format=bgr), num_classes=3, seed=1).eval()
    transfer_weights(child, weights_of(parent, DESIGN))
    for expected, found in zip(parent(images), child(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
