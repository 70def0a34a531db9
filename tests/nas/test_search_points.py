"""Points of the space as Optuna sees them, the domain, moves between points, and where a search starts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_fakes import NUM_CLASSES, SMALL, make_domain, small_space

from nas.advice.box_sizes import box_sizes
from nas.cost import Budget, cost_of
from nas.engine.distributions import even_step, restored, stored, suggest
from nas.engine.domain import CostedDomain, CostedPoint
from nas.engine.feasibility import ensure_feasible
from nas.engine.narrowing import with_defaults
from nas.engine.starts import least_cells, side_for, starting_points
from nas.engine.utility import LEAST_OF_BUDGET
from nas.engine.variation import (
    WIDTH_AXES,
    complete,
    fit_input,
    mutate,
    mutated_feasible,
    random_feasible,
    repair,
    scaled,
    spread_feasible,
)
from search_space import DESIGNS, Axis, SearchSpace
from search_space.errors import BudgetError, SpaceError
from search_space.lowering import lower
from trainers.data import Record

SPACE = SearchSpace()


@pytest.mark.parametrize("name", list(DESIGNS))
def test_a_named_design_comes_back_as_itself(name: str) -> None:
    architecture = DESIGNS.get(name).architecture
    params = SPACE.encode(architecture)
    study = optuna.create_study(directions=["maximize", "minimize"])
    axes = {axis.name: axis for axis in SPACE.axes}
    study.enqueue_trial({key: stored(axes[key], value) for key, value in params.items()})
    trial = study.ask()
    assert SPACE.sample(lambda axis: suggest(trial, axis)) == params
    assert set(trial.params) == set(params)
    assert SPACE.decode(SPACE.sample(lambda axis: restored(axis, trial.params[axis.name]))) == architecture


def test_ordered_numbers_are_suggested_as_numbers() -> None:
    axes = {axis.name: axis for axis in SPACE.narrowed(with_defaults({})).axes}  # without choices by name
    assert even_step(axes["input_size"]) == 32
    assert even_step(axes["width"]) == pytest.approx(0.125)
    assert even_step(Axis(name="depth", choices=(0.17, 0.33, 0.67), ordered=True, doc="")) is None
    assert even_step(Axis(name="level", choices=(4, 5), doc="")) is None
    trial = optuna.create_study().ask()
    suggest(trial, axes["input_size"])
    assert isinstance(trial.distributions["input_size"], optuna.distributions.IntDistribution)


def test_steps_of_tenths_give_back_the_exact_choice() -> None:
    axis = Axis(name="share", choices=(0.1, 0.2, 0.3, 0.4), ordered=True, doc="")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {suggest(study.ask(), axis) for _ in range(40)}
    assert found == set(axis.choices)


def test_an_unknown_stored_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="no choice"):
        restored(Axis(name="size", choices=(128, 160), ordered=True, doc=""), 129)


def test_the_domain_measures_every_limit() -> None:
    architecture = DESIGNS.get("yolov8n").architecture
    cost = cost_of(architecture, num_classes=NUM_CLASSES)
    domain = CostedDomain(SPACE, Budget(gmacs=cost.gmacs, params_m=cost.params_m / 2), num_classes=NUM_CLASSES)
    candidate = domain.assess(SPACE.encode(architecture))
    assert candidate.margins == {"gmacs": 0.0, "params_m": pytest.approx(1.0)}
    assert not candidate.feasible and candidate.excess == pytest.approx(1.0)
    assert "million parameters" in domain.overruns(candidate) and "GMACs" not in domain.overruns(candidate)
    exact = CostedDomain(SPACE, Budget(gmacs=cost.gmacs), num_classes=NUM_CLASSES)
    assert exact.assess(SPACE.encode(architecture)).feasible


@pytest.mark.slow
def test_random_points_fit() -> None:
    domain, rng = make_domain(0.1, params_m=0.5), np.random.default_rng(0)
    points = [random_feasible(domain, rng) for _ in range(6)]
    assert all(point is not None and point.feasible for point in points)
    assert len({point.params[SPACE.input_axis(point.params).name] for point in points if point}) > 1


@pytest.mark.slow
def test_spread_points_follow_the_share() -> None:
    domain, rng = CostedDomain(SPACE, Budget(gmacs=1.0), num_classes=NUM_CLASSES), np.random.default_rng(0)
    for share, target in ((0.0, LEAST_OF_BUDGET), (0.5, math.sqrt(LEAST_OF_BUDGET)), (1.0, 1.0)):
        points = [spread_feasible(domain, rng, share=share) for _ in range(3)]
        assert all(point is not None and point.feasible for point in points)
        assert np.median([point.cost.gmacs for point in points if point]) == pytest.approx(target, rel=0.35)


def test_random_points_that_were_seen_are_not_given_again() -> None:
    space = small_space().narrowed({axis.name: axis.choices[:1] for axis in small_space().axes})
    domain = make_domain(10.0, space=space)
    only = random_feasible(domain, np.random.default_rng(0))
    assert only is not None
    assert random_feasible(domain, np.random.default_rng(0), seen={only.key}) is None
    assert mutated_feasible(domain, [only.params], np.random.default_rng(0), seen={only.key}) is None


def test_some_neighbours_of_a_cheap_point_spend_the_budget_on_their_input() -> None:
    domain, rng = CostedDomain(SPACE, Budget(gmacs=0.5), num_classes=NUM_CLASSES), np.random.default_rng(0)
    cheap = SPACE.encode(DESIGNS.get("yolov8n-p2-nop5").architecture.resized((128, 128)))
    found = [mutated_feasible(domain, [cheap], rng, seen=set()) for _ in range(8)]
    sizes = [candidate.architecture.input_hw[0] for candidate in found if candidate is not None]
    assert len(sizes) == 8 and all(candidate is not None and candidate.feasible for candidate in found)
    assert 128 in sizes and max(sizes) >= 160


def test_parents_are_drawn_by_their_accuracies() -> None:
    domain = CostedDomain(SPACE, Budget(gmacs=0.5), num_classes=NUM_CLASSES)
    good = SPACE.encode(DESIGNS.get("yolov8n-p2-nop5").architecture.resized((128, 128)))
    poor = {**good, "block": "c3k2", "fusion": "eafusion", "upsample": "sni", "attention_neck": "se"}
    rng = np.random.default_rng(1)
    found = [mutated_feasible(domain, [poor, good], rng, seen=set(), accuracies=[0.0, 0.2]) for _ in range(6)]
    changed = [sum(good.get(name) != value for name, value in point.params.items()) for point in found if point]
    assert len(changed) == 6 and max(changed) <= 5


def test_a_mutant_is_a_point_and_differs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        params = SPACE.random(rng)
        mutant = mutate(SPACE, params, rng)
        SPACE.check(mutant)
        assert mutant != params


def test_complete_drops_idle_axes_and_redraws_wrong_choices() -> None:
    rng = np.random.default_rng(0)
    params = complete(SPACE, {"input_size": 7, "trunk_level": 4, "head_levels": "P3-P5"}, rng)
    SPACE.check(params)
    assert params["head_levels"] == "P3-P5" and "trunk_level" not in params


def test_repair_ends_within_the_budget() -> None:
    domain, rng = make_domain(0.1), np.random.default_rng(1)
    start = domain.assess(small_space().sample(lambda axis: axis.choices[-1]))
    assert not start.feasible
    assert repair(domain, start, rng).feasible


def test_designs_are_scaled_to_the_largest_input_that_fits() -> None:
    domain = CostedDomain(SPACE, Budget(gmacs=1.0), num_classes=NUM_CLASSES)
    architecture = DESIGNS.get("yolov8n").architecture
    starts, notices = starting_points(domain, {"yolov8n": architecture})
    taken = starts[0].candidate.architecture
    larger = taken.resized((taken.input_hw[0] + 32,) * 2)
    assert taken == architecture.resized(taken.input_hw)
    assert cost_of(taken, num_classes=NUM_CLASSES).gmacs <= 1.0 < cost_of(larger, num_classes=NUM_CLASSES).gmacs
    assert notices == [
        f"the search starts with yolov8n at {taken.input_hw[1]}x{taken.input_hw[0]} px input to fit the budget"
    ]


def test_designs_with_another_head_are_taken_with_an_anchor_free_one() -> None:
    domain = CostedDomain(SPACE.narrowed({"head": ("anchor_free",)}), Budget(gmacs=1.0), num_classes=NUM_CLASSES)
    designs = {name: DESIGNS.get(name).architecture for name in ("tinydet-s", "ssd-mobilenetv1-s1l0")}
    starts, notices = starting_points(domain, designs)
    assert [start.name for start in starts] == list(designs) and all(start.candidate.feasible for start in starts)
    for start, notice in zip(starts, notices, strict=True):
        taken, design = start.candidate.architecture, designs[start.name]
        assert taken.head.kind == "anchor_free" and "with an anchor-free head" in notice
        assert taken.neck == design.neck and taken.backbone.removed_levels == design.backbone.removed_levels
    whole = CostedDomain(SPACE, Budget(gmacs=1.0), num_classes=NUM_CLASSES)
    assert starting_points(whole, {"tinydet-s": designs["tinydet-s"]})[1] == [], "it fits as it is"


def test_an_fpn_is_narrowed_with_its_backbone() -> None:
    domain = CostedDomain(SPACE.narrowed({"head": ("anchor_free",)}), Budget(gmacs=0.5), num_classes=NUM_CLASSES)
    starts, notices = starting_points(domain, {"tinydet-m": DESIGNS.get("tinydet-m").architecture})
    params = starts[0].candidate.params
    assert params["width"] < 1 and params["fpn_width"] <= 245 * params["width"]
    assert notices[0].startswith(
        "the search starts with tinydet-m with an anchor-free head, at 256x256 px input with width 0."
    )


def test_an_input_is_fitted_among_the_sizes_the_network_takes() -> None:
    """The MobileNetV3 tables go on to P6 only where the side is a multiple of 64."""
    params = SPACE.encode(DESIGNS.get("tinydet-s").architecture)
    domain = CostedDomain(SPACE, Budget(gmacs=2.0), num_classes=NUM_CLASSES)
    fitted = fit_input(domain, params, lambda gmacs: len(gmacs) - 1)
    assert fitted is not None and fitted.params["input_size"] % 64 == 0 and fitted.params["input_size"] > 320
    assert {**fitted.params, "input_size": 320} == params
    larger = fit_input(domain, params, lambda gmacs: len(gmacs) - 1, largest=320)
    assert larger is not None and larger.params == params


def test_designs_are_narrowed_where_no_input_is_small_enough() -> None:
    architecture = DESIGNS.get("yolov8n").architecture
    domain = CostedDomain(SPACE.narrowed({"input_size": (320, 640)}), Budget(gmacs=0.6), num_classes=NUM_CLASSES)
    starts, notices = starting_points(domain, {"yolov8n": architecture})
    assert starts[0].candidate.params["width"] == 0.125 and starts[0].candidate.feasible
    assert "width" in notices[0]


@pytest.mark.parametrize(("wanted", "width", "side"), [(0, 0.25, 128), (160, 0.125, 192), (640, 0.125, 288)])
def test_designs_are_narrowed_rather_than_made_too_small_for_the_objects(wanted: int, width: float, side: int) -> None:
    domain = CostedDomain(SPACE, Budget(gmacs=0.25), num_classes=NUM_CLASSES)
    designs = {"yolov8n-p2-nop5": DESIGNS.get("yolov8n-p2-nop5").architecture}
    params = starting_points(domain, designs, wanted_side=wanted)[0][0].candidate.params
    assert (params["width"], params["input_size"]) == (width, side)
    assert params["branches"] == ("joint" if wanted > 192 else "separate")


def test_a_head_that_is_fixed_stays_where_a_design_is_made_smaller() -> None:
    domain = CostedDomain(SPACE.narrowed({"branches": ("separate",)}), Budget(gmacs=0.25), num_classes=NUM_CLASSES)
    designs = {"yolov8n-p2-nop5": DESIGNS.get("yolov8n-p2-nop5").architecture}
    params = starting_points(domain, designs, wanted_side=640)[0][0].candidate.params
    assert (params["branches"], params["input_size"]) == ("separate", 192)


def test_a_side_is_wanted_at_which_half_of_the_boxes_are_seen() -> None:
    boxes = np.array([[0, 0, side, side] for side in (4, 10, 16)], np.float32)
    record = Record(path=None, height=256, width=320, boxes=boxes, labels=np.zeros(3, np.int64))
    assert side_for(box_sizes([record])) == 256, "10 px boxes are 8 px there"
    large = replace(record, boxes=boxes * 10)
    assert side_for(box_sizes([large])) == 26
    tiny = replace(record, boxes=boxes / 10)
    assert side_for(box_sizes([tiny])) == 320, "a larger input adds no detail"


def test_random_points_have_cells_for_the_objects() -> None:
    boxes = np.array([[0, 0, side, side] for side in (4, 8, 16)], np.float32)
    record = Record(path=None, height=256, width=320, boxes=boxes, labels=np.zeros(3, np.int64))
    assert least_cells(box_sizes([record])) == 20, "8 px boxes span half a cell of 16 px"
    space, budget = SPACE.narrowed({"head": ("anchor_free",)}), Budget(gmacs=0.25)
    coarse = []
    for cells in (0.0, 20.0):
        domain = CostedDomain(space, budget, num_classes=NUM_CLASSES, least_cells=cells)
        found = [spread_feasible(domain, np.random.default_rng(seed), share=0.5) for seed in range(12)]
        across = [np.nan if point is None else _cells(domain, point) for point in found]
        coarse.append(sum(each < 20 for each in across))
    assert coarse[0] > 0 == coarse[1]


def _cells(domain: CostedDomain, point: CostedPoint) -> float:
    architecture = domain.space.decode(dict(point.params))
    return architecture.input_hw[0] / min(lower(architecture, num_classes=1).strides)


@given(st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_a_scaled_point_is_one_step_narrower_or_wider(seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = SPACE.narrowed({"head": ("anchor_free",)}).random(rng)
    found = scaled(SPACE, params, rng)
    steps = {}
    for name in WIDTH_AXES:
        if name in params and name in found:
            choices = sorted(SPACE.axis(name).choices)
            steps[name] = choices.index(found[name]) - choices.index(params[name])
    others = set(params) & set(found) - set(WIDTH_AXES)
    assert {name: found[name] for name in others} == {name: params[name] for name in others}
    assert set(steps.values()) <= {0, 1} or set(steps.values()) <= {-1, 0}
    assert SPACE.decode(found).resized((256, 256)) is not None


def test_designs_outside_the_space_are_left_out_by_name() -> None:
    domain = CostedDomain(SPACE.narrowed({"width": (1.0,)}), Budget(gmacs=50.0), num_classes=NUM_CLASSES)
    starts, notices = starting_points(domain, {"yolov8n": DESIGNS.get("yolov8n").architecture})
    assert starts == [] and "yolov8n is left out" in notices[0] and "width" in notices[0]


@pytest.mark.slow
def test_nothing_fits_says_the_nearest_miss_and_the_way_out() -> None:
    domain = make_domain(0.001, space=SearchSpace().narrowed({**SMALL, "input_size": (256,)}))
    with pytest.raises(
        BudgetError, match=r"closest point, at 256x256 .*--budget-gflops .*input_size go from 256 to 128"
    ):
        ensure_feasible(domain, SearchSpace())


@pytest.mark.slow
def test_the_proposed_limit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.engine.feasibility.NUM_CORNERS", 1)
    with pytest.raises(BudgetError) as caught:
        ensure_feasible(make_domain(0.001), small_space())
    limit = float(str(caught.value).partition("--budget-gflops ")[2].split()[0])
    assert ensure_feasible(make_domain(limit), small_space()).feasible


def test_a_wrong_point_is_no_candidate() -> None:
    assert make_domain().consider({"input_size": 128}) is None
    with pytest.raises(SpaceError):
        make_domain().assess({"input_size": 128})
