"""The space: encode and decode are inverse, every point builds, and what is no point is refused with the reason."""

from __future__ import annotations

import dataclasses

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


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(points())
def test_encode_and_decode_are_inverse(params: dict[str, object]):
    architecture = SPACE.decode(params)
    assert SPACE.encode(architecture) == params
    assert Architecture.from_dict(architecture.to_dict()) == architecture


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(points(), points())
def test_different_points_are_different_graphs(first: dict[str, object], second: dict[str, object]):
    graphs = [lower(SPACE.decode(params), num_classes=3) for params in (first, second)]
    assert (first == second) == (graphs[0] == graphs[1])


def test_one_axis_mutations_are_different_graphs():
    """The sharper half of the test above: neighbours, where a meaningless axis would show."""
    rng = np.random.default_rng(7)
    for _ in range(60):
        params = SPACE.random(rng)
        graph = lower(SPACE.decode(params), num_classes=3)
        for axis in SPACE.axes:
            for choice in axis.choices if axis.name in params and len(axis.choices) < 9 else ():
                mutated = SPACE.completed({**params, axis.name: choice}, lambda missing: missing.choices[0])
                same = lower(SPACE.decode(mutated), num_classes=3) == graph
                assert same == (mutated == params), (axis.name, choice)


def _runnable(params: dict[str, object]) -> Detector:
    """The detector of a point at the smallest input and a quarter of the classes' cost, to be run on a CPU."""
    architecture = SPACE.decode(params).resized((128, 160))
    torch.manual_seed(0)
    return Detector(lower(architecture, num_classes=2))


def test_random_points_run_forward_and_backward():
    """A sample; `benchmarks/space.py` runs 500."""
    narrow = SPACE.narrowed({"width": (0.125, 0.25, 0.375)})
    rng = np.random.default_rng(1)
    for _ in range(25):
        detector = _runnable(narrow.random(rng))
        maps = detector(torch.rand(2, 3, 128, 160))
        assert [tuple(m.shape) for m in maps] == [(2, 66, 128 // s, 160 // s) for s in detector.strides]
        sum(m.square().mean() for m in maps).backward()
        missing = [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not missing


@pytest.mark.parametrize("seed", range(8))
def test_random_points_count_what_fvcore_counts(seed: int):
    """8 x 25 points, over every axis but the dearest widths and depths, at the smallest input."""
    narrow = SPACE.narrowed({"width": (0.125, 0.25), "depth": (0.17, 0.33)})
    rng = np.random.default_rng(seed)
    for _ in range(25):
        architecture = narrow.decode(narrow.random(rng)).resized((128, 128))
        cost = cost_of(architecture, num_classes=3)
        detector = Detector(lower(architecture, num_classes=3))
        assert cost.macs == fvcore_macs(detector, (3, 128, 128))
        assert cost.params == sum(parameter.numel() for parameter in detector.parameters())


def test_what_is_no_point_is_refused():
    params = SPACE.encode(DESIGNS.get("yolov8n").architecture)
    wrong = [
        ({**params, "widht": 0.25}, "unknown axis 'widht'; did you mean 'width'"),
        ({**params, "width": 0.26}, "axis 'width' cannot be 0.26"),
        ({**params, "trunk_level": 5}, "axis 'trunk_level' means nothing"),
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


def test_maps_too_small_for_a_block_are_refused():
    params = SPACE.encode(DESIGNS.get("yolov8n").architecture) | {"fusion": "eafusion"}
    with pytest.raises(SpaceError, match="at least 4 cells a side.*input of at least 128"):
        lower(SPACE.decode(params), num_classes=3, input_hw=(96, 128))


def test_narrowed_space():
    narrow = SPACE.narrowed({"fusion": ["concat", "eafusion"], "input_size": [320]})
    assert narrow.axis("fusion").choices == ("concat", "eafusion")
    assert narrow.fingerprint() != SPACE.fingerprint() == SearchSpace().fingerprint()
    rng = np.random.default_rng(0)
    assert all(narrow.random(rng)["input_size"] == 320 for _ in range(20))
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
