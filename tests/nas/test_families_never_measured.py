"""The error of families that were never measured: its scale, its bound, and the coverage on the data of the package."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.family_coverage import detector_families
from benchmarks.latency_study.study import A40, parts_of
from nas.cost.families import (
    KNOWN_UP_TO,
    MIN_NETWORKS,
    NETWORKS_PER_FAMILY,
    UNLIKE_FROM,
    composition_scale,
    covariance,
    family_quantiles,
    new_family_half_width,
    precisions,
)
from nas.cost.latency import LatencyModel, load_model
from nas.cost.profile import GRID
from nas.cost.terms import TERMS, Vector

COVERED = {"yolov3": 100.0, "yolov4": 100.0, "yolov5": 100.0, "yolov6": 97.8, "yolov8": 94.5}
"""Percent of the networks of each family on the A40, by an interval that the family was left out of."""


def shares(**of: float) -> Vector:
    row = np.zeros((1, len(TERMS)))
    for name, share in of.items():
        row[0, TERMS.index(("launch", name))] = share
    return row


def test_a_family_left_out_is_covered_as_the_documentation_says() -> None:
    found = detector_families(A40)
    assert {family: row["coverage_percent"] for family, row in found.items()} == pytest.approx(COVERED, abs=1.0)
    assert all(row["unlike_percent"] > 85 for row in found.values())
    assert found["yolov8"]["bias_percent"] == pytest.approx(8.3, abs=0.3), "it is the family that is farthest off"


def test_the_scale_is_larger_where_few_families_determine_the_time() -> None:
    measured = np.concatenate([shares(conv3x3=0.9, concat=0.1), shares(conv3x3=0.6, conv1x1=0.4)])
    of_constants = covariance(measured, np.full(2, 400.0))
    like, copies = shares(conv3x3=0.8, conv1x1=0.2), shares(conv3x3=0.3, split=0.7)
    known, unknown = composition_scale(np.concatenate([like, copies]), of_constants)
    assert 0 < known < unknown
    more = composition_scale(like, covariance(np.tile(measured, (4, 1)), np.full(8, 400.0)))[0]
    assert more < known, "measuring more of the same makes it surer"


def test_without_measurements_the_scale_is_the_prior() -> None:
    nothing = covariance(np.zeros((1, len(TERMS))), np.zeros(1))
    assert composition_scale(shares(conv3x3=1.0), nothing)[0] == pytest.approx(np.hypot(0.3, 0.7))
    assert composition_scale(shares(split=1.0), nothing)[0] == pytest.approx(np.hypot(1.0, 0.7))


def test_a_large_family_counts_as_a_few_networks() -> None:
    families = ["one"] * 100 + ["two"] * NETWORKS_PER_FAMILY + ["three"]
    made = precisions(families, np.full(len(families), 0.1))
    assert made[:100].sum() == pytest.approx(made[100:-1].sum()) == pytest.approx(NETWORKS_PER_FAMILY * 100)
    assert made[-1] == pytest.approx(100)


def test_the_bound_is_a_prediction_interval_over_families() -> None:
    scores, families = np.repeat([1.0, 2.0, 4.0], MIN_NETWORKS), np.repeat(["a", "b", "c"], MIN_NETWORKS)
    bounds = family_quantiles(scores, tuple(families), GRID)
    assert list(bounds) == list(GRID) and list(bounds.values()) == sorted(bounds.values())
    assert bounds[0.5] == pytest.approx(2.0), "half of the families are above their geometric mean"
    assert bounds[0.9] == pytest.approx(2.0 * np.exp(1.885618 * np.log(2) * np.sqrt(4 / 3)), rel=1e-4)
    assert family_quantiles(scores[MIN_NETWORKS:], tuple(families[MIN_NETWORKS:]), GRID) == {}
    assert family_quantiles(scores[1:], tuple(families[1:]), GRID) == {}, "four networks are too few for a quantile"


@pytest.mark.parametrize("seed", range(3))
def test_nine_of_ten_new_families_are_held(seed: int) -> None:
    random = np.random.default_rng(seed)
    held = []
    for _ in range(300):
        spread = np.exp(0.5 * random.normal(size=7))
        scores = np.abs(random.normal(size=(7, 200))) * spread[:, None]
        names = tuple(np.repeat([f"f{each}" for each in range(6)], 200))
        bound = family_quantiles(scores[:6].ravel(), names, (0.9,))[0.9]
        held.append((scores[6] <= bound).mean() >= 0.9)
    assert 0.85 < np.mean(held) < 0.95


def test_only_networks_unlike_the_measured_ones_are_widened() -> None:
    distance = np.array([0.0, KNOWN_UP_TO, (KNOWN_UP_TO + UNLIKE_FROM) / 2, UNLIKE_FROM, 1.0])
    half = new_family_half_width(np.full(5, 0.1), 3.0, np.full(5, 0.1), distance)
    assert half == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])
    assert new_family_half_width(np.array([0.5]), 3.0, np.array([0.1]), np.ones(1)) == pytest.approx([0.5])


def test_a_profile_widens_the_networks_that_it_calls_unlike() -> None:
    model = load_model(A40)
    assert model.profile.error is not None and model.residual is not None and model.residual.precisions is not None
    odd = np.zeros((1, len(TERMS)))
    odd[0, TERMS.index(("launch", "conv3x3"))] = 500.0
    measured = parts_of(A40)[1][0].terms[:20]
    both = model.predict(np.concatenate([odd, measured]))
    assert both.unlike_measured.tolist() == [True] + 20 * [False]
    bare = LatencyModel(model.profile).predict(odd)[0]
    assert not bare.unlike_measured, "without a residual nothing tells"
    assert both[0].high_ms / both[0].latency_ms > bare.high_ms / bare.latency_ms
