"""The space: encode and decode are inverse, every point builds, and what is no point is refused with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from nas.cost import cost_of
from nas.cost.oracle import fvcore_macs
from search_space import DESIGNS, Architecture, Axis, Detector, SearchSpace, lower
from search_space.errors import SpaceError

SPACE = SearchSpace()


@st.composite
def points(draw: st.DrawFn) -> dict[str, object]:
    return SPACE.sample(lambda axis: draw(st.sampled_from(axis.choices), label=axis.name))


@pytest.mark.parametrize("name", DESIGNS.names())
def test_designs_are_points(name: str):
    architecture = DESIGNS.get(name).architecture
    assert SPACE.decode(SPACE.encode(architecture)) == architecture
    assert SPACE.why_not(architecture) is None


@pytest.mark.slow
@hypothesis.settings(max_examples=250, deadline=None)
@hypothesis.given(points())
def test_encode_and_decode_are_inverse(params: dict[str, object]):
    architecture = SPACE.decode(params)
    assert SPACE.encode(architecture) == params
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    graph = lower(architecture, num_classes=3)
    used = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    assert {node.name for node in graph.nodes} <= used, "every node must reach an output"


@pytest.mark.slow
@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(points(), points())
def test_different_points_are_different_graphs(first: dict[str, object], second: dict[str, object]):
    graphs = [lower(SPACE.decode(params), num_classes=3) for params in (first, second)]
    assert (first == second) == (graphs[0] == graphs[1])


def _neighbours(params: dict[str, object], rng: np.random.Generator) -> Iterator[tuple[str, object, dict[str, object]]]:
    """One-axis mutations: every other choice of a small axis, some of a large one; new axes take their first choice."""
    for axis in SPACE.axes:
        if axis.name in params:
            others = [choice for choice in axis.choices if choice != params[axis.name]]
            kept = others if len(others) < 12 else [others[int(i)] for i in rng.integers(len(others), size=3)]
            for choice in kept:
                mutated = {**params, axis.name: choice}
                yield axis.name, choice, SPACE.completed(mutated, lambda missing: missing.choices[0])


def _check_neighbours(params: dict[str, object], rng: np.random.Generator) -> int:
    """Every neighbour must be a point, come back from its architecture, and be another detector."""
    graph, count = lower(SPACE.decode(params), num_classes=3), 0
    for name, choice, mutated in _neighbours(params, rng):
        architecture = SPACE.decode(mutated)
        assert SPACE.encode(architecture) == mutated, (name, choice)
        assert lower(architecture, num_classes=3) != graph, (name, choice)
        count += 1
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS.names())
def test_one_axis_mutations_of_every_design_are_other_points(name: str):
    assert _check_neighbours(SPACE.encode(DESIGNS.get(name).architecture), np.random.default_rng(0)) > 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_one_axis_mutations_of_random_points_are_other_points(seed: int):
    """The sharper half of `test_different_points…`: neighbours, where a meaningless axis would show."""
    rng = np.random.default_rng(seed)
    for _ in range(15):
        assert _check_neighbours(SPACE.random(rng), rng) > 20


@pytest.mark.parametrize(
    ("axis", "choice", "field"),
    [
        ("fusion", "weighted_add", "weighted_add"),
        ("p2_source", "stem", "p2_source"),
        ("attention_p2", "cbam", "cbam"),
        ("head", "anchor_free", "head:anchor_free"),
        ("head", "ssd", "head:ssd"),
        ("unit_downsample_p2", "esd1", "downsample:esd1"),
        ("upsample", "sni", "upsample:sni"),
    ],
)
def test_a_search_may_start_at_tinydet_and_swap_one_thing(axis: str, choice: str, field: str):
    params = SPACE.encode(DESIGNS.get("tinydet-m").architecture)
    assert axis in params and params[axis] != choice
    swapped = SPACE.completed({**params, axis: choice}, lambda missing: missing.choices[0])
    names = {word for node in lower(SPACE.decode(swapped), num_classes=3).nodes for word in (node.block, node.name)}
    assert any(field in name for name in names)


def test_axes_exist_only_where_they_mean_something():
    params = SPACE.encode(DESIGNS.get("tinydet-m").architecture)
    assert "topology" not in params, "a two-stage head implies an fpn"
    for foreign in ("box_channels", "depth", "downsample_neck", "extras", "l2_scale", "dual_path"):
        assert foreign not in params
    dual = SPACE.encode(DESIGNS.get("ssd-vgg16-s1l2-dualpath").architecture)
    assert dual["dual_path"] == "subsample" and "unit_downsample_p2" not in dual and "fusion" not in dual
    assert "dual_path" not in SPACE.encode(DESIGNS.get("ssd-vgg16").architecture)


def _detector(params: dict[str, object], input_hw: tuple[int, int]) -> Detector:
    torch.manual_seed(0)
    return Detector(lower(SPACE.decode(params).resized(input_hw), num_classes=2))


CHEAP = {"width": (0.125, 0.25), "depth": (0.17, 0.33), "input_size": (256, 320), "fpn_width": (49, 98)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_points_run_forward_and_backward_and_equal_fvcore(seed: int):
    """6 x 5 points over all families; `benchmarks/space.py` checks a thousand over all widths and depths."""
    rng = np.random.default_rng(seed)
    narrow = SPACE.narrowed(CHEAP)
    for _ in range(5):
        params = narrow.random(rng)
        architecture = SPACE.decode(params)
        side = max(architecture.size_multiple, architecture.smallest_side, 128)
        try:
            cost = cost_of(architecture, num_classes=2, input_hw=(side, side))
        except SpaceError:  # extra stages without padding need the size they were drawn with
            side = architecture.input_hw[0]
            cost = cost_of(architecture, num_classes=2, input_hw=(side, side))
        detector = _detector(params, (side, side))
        assert cost.macs == fvcore_macs(detector, (3, side, side)), params
        assert cost.params == sum(parameter.numel() for parameter in detector.parameters())
        outputs = detector.train()(torch.rand(2, 3, side, side))
        torch.stack([out.square().mean() for out in outputs if out.requires_grad]).sum().backward()
        missing = [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not missing, (missing, params)


def test_what_is_no_point_is_refused():
    params = SPACE.encode(DESIGNS.get("yolov8n").architecture)
    wrong = [
        ({**params, "widht": 0.25}, "unknown axis 'widht'; did you mean 'width'"),
        ({**params, "width": 0.26}, "axis 'width' cannot be 0.26"),
        ({**params, "trunk_level": 5}, "axis 'trunk_level' is inactive"),
        ({name: choice for name, choice in params.items() if name != "fusion"}, "axis 'fusion' is missing"),
    ]
    for point, message in wrong:
        with pytest.raises(SpaceError, match=message):
            SPACE.decode(point)


def test_foreign_architectures_are_refused_with_the_reason():
    design = DESIGNS.get("yolov8n").architecture
    stages = list(design.backbone.stages)
    stages[1] = dataclasses.replace(stages[1], channels=80)
    foreign = dataclasses.replace(design, backbone=dataclasses.replace(design.backbone, stages=tuple(stages)))
    assert "backbone" in str(SPACE.why_not(foreign))
    assert "square" in str(SPACE.why_not(design.resized((320, 640))))
    assert not SPACE.contains(design.resized((32, 32)))
    tiny = DESIGNS.get("tinydet-m").architecture
    units = tiny.backbone.stages[0].units
    changed = dataclasses.replace(
        tiny.backbone.stages[0], units=(*units[:-1], dataclasses.replace(units[-1], kernel=7))
    )
    foreign = dataclasses.replace(
        tiny, backbone=dataclasses.replace(tiny.backbone, stages=(changed, *tiny.backbone.stages[1:]))
    )
    assert "no stage table" in str(SPACE.why_not(foreign))


def test_a_design_of_other_widths_is_refused_by_its_field():
    design = DESIGNS.get("yolov8n").architecture
    tiny = DESIGNS.get("tinydet-m").architecture
    assert design.neck is not None and tiny.neck is not None
    wide = dataclasses.replace(design, neck=dataclasses.replace(design.neck, channels=(8, 8, 8)))
    assert str(SPACE.why_not(wide)).endswith("neck.channels must be None, got (8, 8, 8)")
    other = dataclasses.replace(tiny, neck=dataclasses.replace(tiny.neck, groups=(49, 7, 5, 1, 3)))
    assert "neck.groups must be (49, 7, 5, 1, 1), got (49, 7, 5, 1, 3)" in str(SPACE.why_not(other))


def test_maps_too_small_for_a_block_are_refused():
    params = SPACE.encode(DESIGNS.get("yolov8n").architecture) | {"fusion": "eafusion"}
    with pytest.raises(SpaceError, match="at least 4 cells a side.*input of at least 128"):
        lower(SPACE.decode(params), num_classes=3, input_hw=(96, 128))


def test_narrowed_space():
    narrow = SPACE.narrowed({"fusion": ["concat", "eafusion"], "input_size": [320]})
    assert narrow.axis("fusion").choices == ("concat", "eafusion")
    assert narrow.fingerprint() != SPACE.fingerprint() == SearchSpace().fingerprint()
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = narrow.random(rng)
        assert {"input_size", "free_input_size"} & set(point) and point[narrow.input_axis(point).name] == 320
    with pytest.raises(SpaceError, match="did you mean 'fusion'"):
        SPACE.narrowed({"fuson": ["concat"]})
    with pytest.raises(SpaceError, match="cannot be 'bifpn'"):
        SPACE.narrowed({"fusion": ["bifpn"]})
    with pytest.raises(SpaceError, match="at least one choice"):
        SPACE.narrowed({"fusion": []})


@pytest.mark.parametrize("axis", SPACE.axes, ids=lambda axis: axis.name)
def test_choices_are_spelled(axis: Axis):
    assert [axis.parse(str(choice)) for choice in axis.choices] == list(axis.choices)
    with pytest.raises(SpaceError, match="allowed"):
        axis.parse("nothing of the kind")
