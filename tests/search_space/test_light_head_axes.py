"""The options of the anchor-free head: counts against published and derived ones, refusals, points and sharing."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.cost import cost_of, node_costs
from search_space import DESIGNS, Architecture, Detector, Head, SearchSpace, lower
from search_space.errors import SpaceError
from search_space.heads.anchor_free_kind import OPTIONS
from search_space.parts import Extra
from search_space.plain import Options

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())
ROWS = {row["variant"]: row for row in GOLDEN["head_variants"]}
"""The rows of the file that this test covers: all of `head_variants`."""
DESIGN = DESIGNS.get(GOLDEN["head_variants_of"]).architecture
NAMES = {
    "B": "box_channels",
    "cls": "class_branch",
    "box": "box_branch",
    "t": "tower_convs",
    "k": "tower_kernel",
    "pk": "predictor_kernel",
    "R": "bins",
    "stem": "head_stem",
}
FIELDS = ("box_channels", "class_branch")
SHARED: dict[str, tuple[dict[str, Any], int, int]] = {
    "separate": ({"head_stem": 32, "box_channels": 32}, 1_161_820, 1_088_092),
    "joint": ({"head_stem": 32, "branches": "joint", "box_channels": 32, "bins": 1}, 1_100_200, 1_063_336),
}
"""Options, and parameters with towers of its own a level and with shared ones, by the sizes of the tensors by hand."""


def with_head(given: Mapping[str, Any], design: Architecture = DESIGN, side: int = 256) -> Architecture:
    """A design with options and fields of its head replaced."""
    fields = {name: value for name, value in given.items() if name in FIELDS}
    options = {name: value for name, value in given.items() if name not in FIELDS}
    return replace(design, head=replace(design.head, options=Options(options), **fields)).resized((side, side))


def of_row(row: Mapping[str, Any]) -> Architecture:
    given = dict(row["options"])
    channels = given.pop("K", None)  # of the class towers: those of the stem
    assert channels in (None, given.get("stem"))
    joint = given.pop("joint", None)
    joined = {} if joint is None else {"branches": "joint", "box_channels": joint}
    return with_head({**{NAMES[name]: value for name, value in given.items()}, **joined}, side=row["input_hw"][0])


@pytest.mark.parametrize("variant", ROWS)
def test_counts(variant: str) -> None:
    row = ROWS[variant]
    architecture, num_classes = of_row(row), row["num_classes"]
    cost = cost_of(architecture, num_classes=num_classes)
    head = [count for node, count in node_costs(lower(architecture, num_classes=num_classes)) if node.part == "head"]
    found = (cost.macs, cost.params, sum(each.macs for each in head), sum(each.params for each in head))
    assert found == (row["macs"], row["params"], row["head_macs"], row["head_params"])


@pytest.mark.parametrize("variant", ROWS)
def test_variants_are_points_and_files(variant: str) -> None:
    architecture = of_row(ROWS[variant])
    assert SearchSpace().decode(SearchSpace().encode(architecture)) == architecture
    assert Architecture.from_dict(architecture.to_dict()) == architecture


def test_options_at_their_default_change_nothing() -> None:
    said = replace(DESIGN, head=replace(DESIGN.head, options=Options(OPTIONS)))
    assert said == DESIGN and said.key() == DESIGN.key() and "options" not in said.to_dict()["head"]
    names = {name.rpartition(".")[0] for name in Detector(lower(said, num_classes=2)).blocks["head2"].state_dict()}
    towers = {f"{branch}_tower.{place}.{part}" for branch in ("box", "class") for place in (0, 1) for part in PARTS}
    assert names == towers | {"box_logits", "class_logits"}


PARTS = ("conv", "norm")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bins": ({"bins": 0}, "head bins must be at least 1, got 0"),
    "tower_convs": ({"tower_convs": -1}, "head tower_convs must be at least 0, got -1"),
    "head_stem": ({"head_stem": -8}, "head head_stem must be at least 0, got -8"),
    "even kernel": ({"tower_kernel": 4}, "head tower_kernel must be an odd number"),
    "branches": ({"branches": "join"}, "unknown branches 'join'; did you mean 'joint'"),
    "box_branch": ({"box_branch": "deep"}, "unknown box_branch 'deep'"),
    "class_branch": ({"class_branch": "deep"}, "unknown class_branch 'deep'"),
    "head_weights": ({"head_weights": "all"}, "unknown head_weights 'all'"),
    "predictor behind towers": ({"predictor_kernel": 3}, "must be 1 behind towers, got 3"),
    "kernel without towers": ({"tower_convs": 0, "tower_kernel": 5}, "head tower_kernel needs towers"),
    "joint without towers": ({"tower_convs": 0, "branches": "joint"}, "head branches needs towers"),
    "width without towers": ({"tower_convs": 0, "box_channels": 16}, "head box_channels needs towers"),
    "box tower of joint": ({"branches": "joint", "box_branch": "depthwise"}, "not used by branches 'joint'"),
    "type": ({"bins": "16"}, "must be of type int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_contradictions_are_refused_in_one_line(case: str) -> None:
    given, said = REFUSED[case]
    with pytest.raises(SpaceError, match=said) as error:
        with_head(given)
    assert "\n" not in str(error.value)


def test_shared_towers_need_several_maps_of_one_width() -> None:
    with pytest.raises(SpaceError, match="needs maps of one width, got 32, 64, 128; set head_stem"):
        lower(with_head({"head_weights": "shared"}), num_classes=2)
    one_level = replace(DESIGN, head=Head(finest_level=2, coarsest_level=2), neck=replace(DESIGN.neck, downsample=None))
    with pytest.raises(SpaceError, match="two levels or more"):
        with_head({"head_weights": "shared", "head_stem": 32}, one_level)


@pytest.mark.parametrize("case", SHARED)
def test_shared_towers_count_once(case: str) -> None:
    given, own, shared = SHARED[case]
    apart, together = with_head(given), with_head({**given, "head_weights": "shared"})
    costs = [cost_of(each, num_classes=4) for each in (apart, together)]
    assert [each.params for each in costs] == [own, shared]
    assert costs[0].macs == costs[1].macs
    assert costs[0].weight_bytes - costs[1].weight_bytes == 4 * (own - shared)
    detector = Detector(lower(together, num_classes=4))
    assert sum(value.numel() for value in detector.parameters()) == shared
    assert SearchSpace().contains(together)


def test_shared_towers_are_one_tensor_with_norms_apart() -> None:
    detector = Detector(lower(with_head({**SHARED["separate"][0], "head_weights": "shared"}), num_classes=2)).eval()
    first, other = (detector.blocks[name].box_tower[0] for name in ("head2", "head3"))
    assert other.conv is first.conv and other.norm is not first.norm
    state = detector.state_dict()
    assert "blocks.head2.box_tower.0.conv.weight" in state and "blocks.head3.box_tower.0.norm.weight" in state
    assert "blocks.head3.box_tower.0.conv.weight" not in state
    copied = copy.deepcopy(detector)
    with torch.no_grad():
        copied.blocks["head2"].box_tower[0].conv.weight.zero_()
    image = torch.rand(1, 3, 64, 64)
    before, after = detector(image), copied(image)
    assert not torch.equal(before[1][:, :64], after[1][:, :64])  # the copy shares among its own levels
    assert detector.blocks["head2"].box_tower[0].conv.weight.any()


@pytest.mark.parametrize("stem", [0, 32])
def test_without_towers_the_predictors_start_small(stem: int) -> None:
    block = Detector(lower(with_head({"tower_convs": 0, "head_stem": stem}), num_classes=2)).blocks["head2"]
    assert 0.005 < block.box_logits.weight.std() < 0.02 and not block.box_tower.state_dict()


@pytest.mark.parametrize(("bins", "bias"), [(16, 1.0), (4, 1.0), (1, 2.0)])
@pytest.mark.parametrize("branches", ["separate", "joint"])
def test_distances_start_in_their_range(bins: int, bias: float, branches: str) -> None:
    block = Detector(lower(with_head({"bins": bins, "branches": branches}), num_classes=2)).blocks["head2"]
    found = block.box_logits.bias if branches == "separate" else block.logits.bias[: 4 * bins]
    assert len(found) == 4 * bins and (found == bias).all()
    classes = block.class_logits.bias if branches == "separate" else block.logits.bias[4 * bins :]
    assert len(classes) == 2 and (classes < -8).all()


@pytest.mark.parametrize("seed", range(40))
def test_random_points_with_every_option_build_and_count(seed: int) -> None:
    space = SearchSpace().narrowed({"head": ["anchor_free"], "width": [0.125, 0.25], "input_size": [128]})
    params = space.random(np.random.default_rng(seed))
    architecture = space.decode(params)
    assert space.encode(architecture) == params
    graph = lower(architecture, num_classes=3)
    detector = Detector(graph).eval()
    with torch.no_grad():
        maps = detector(torch.rand(1, 3, *graph.input_hw))
    assert {each.shape[1] for each in maps} == {4 * detector.reg_max + 3} and detector.reg_max == params["bins"]
    assert cost_of(architecture, num_classes=3).params == sum(value.numel() for value in detector.parameters())


def test_extra_stages_are_levels_that_share() -> None:
    """A detector without a neck whose head shares its towers over the one map of the backbone and the extra stages."""
    kept = {"head": ["anchor_free"], "topology": ["none"], "head_levels": ["P3-P3"], "head_weights": ["shared"]}
    space = SearchSpace().narrowed(kept)
    drawn = (space.random(np.random.default_rng(seed)) for seed in range(400))
    params = next(each for each in drawn if "head_weights" in each)
    architecture = space.decode(params)
    assert isinstance(architecture.extras[0], Extra)
    graph = lower(architecture, num_classes=2)
    owners = [dict(node.arguments).get("towers_of") for node in graph.nodes if node.part == "head"]
    assert owners == [None, *[graph.outputs[0]] * (len(owners) - 1)] and len(owners) > 1
