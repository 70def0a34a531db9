"""Fitting a profile: constants known beforehand are found again, held-out networks are held out, errors are honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cost.calibration import (
    FEW,
    MIN_MEASURED,
    HeldOut,
    _few_error,
    _weighted_quantile,
    calibrated,
    class_shares,
    error_figures,
    family_folds,
    fit_constants,
    hold_out,
    learn_residual,
    measure_error,
    square_root_shares,
)
from nas.cost.latency import LatencyModel
from nas.cost.measurements import Measurements, joined, load
from nas.cost.operators import CLASSES
from nas.cost.profile import GRID, Profile, device_names, find_profile, prior
from nas.cost.terms import KIND_OF, KINDS, START, TERMS, Vector

PROFILE = replace(find_profile("xavier-nx-trt-fp16"), like=None)
SHEET = PROFILE.data_sheet.constants()
USED = [("launch", "conv1x1"), ("bytes", "conv3x3"), ("bytes", "concat"), ("flops", "conv1x1"), ("flops", "conv3x3")]
COLUMNS = [TERMS.index(term) for term in USED]
FITTED = {name: find_profile(name) for name in device_names() if find_profile(name).measurements}
CHEAP = [name for name, profile in FITTED.items() if profile.num_measured < FEW]


def _synthetic(
    count: int, *, constants: Vector = SHEET, spread: float = 0.0, seed: int = 0, families: int = 0, noise: float = 0.05
) -> Measurements:
    """Networks that spend their time in random shares in five terms, measured with a lognormal error."""
    rng = np.random.default_rng(seed)
    terms = np.zeros((count, len(TERMS)))
    terms[:, COLUMNS] = 1e-3 * rng.lognormal(0, 1.5, (count, len(COLUMNS))) / SHEET[COLUMNS]
    return Measurements(
        names=tuple(f"n{index}" for index in range(count)),
        terms=terms,
        latency_ms=1e3 * terms @ constants * np.exp(spread * rng.standard_normal(count)),
        noise=np.full(count, noise),
        families=tuple(f"f{index % families if families else index}" for index in range(count)),
    )


def _measured(profile: Profile) -> Measurements:
    return joined([load(source, profile.rules) for source in profile.measurements])


@pytest.mark.parametrize("seed", range(5))
def test_known_constants_are_found_again(seed: int):
    truth = SHEET.copy()
    truth[COLUMNS] *= np.exp(np.random.default_rng(seed).normal(0, 0.5, len(COLUMNS)))
    found = fit_constants(SHEET, _synthetic(200, constants=truth, seed=seed, noise=0.01))
    assert np.allclose(found[COLUMNS], truth[COLUMNS], rtol=0.01)


@given(factor=st.floats(0.3, 3), seed=st.integers(0, 100))
def test_a_board_that_is_slower_by_a_factor_is_found(factor: float, seed: int):
    measurements = _synthetic(30, constants=factor * SHEET, seed=seed)
    predicted = 1e3 * measurements.terms @ fit_constants(SHEET, measurements)
    assert np.allclose(predicted, measurements.latency_ms, rtol=0.02)


def test_without_data_the_prior_stays():
    assert np.array_equal(fit_constants(SHEET, _synthetic(0)), SHEET)
    exact = fit_constants(SHEET, _synthetic(50))
    assert np.allclose(exact, SHEET, rtol=1e-4), "what the prior explains already moves nothing"


def test_what_is_not_measured_moves_with_its_kind_only():
    ratio = fit_constants(SHEET, _synthetic(100, constants=2 * SHEET)) / SHEET
    for index in range(len(KINDS)):
        others = [each for each in np.flatnonzero(KIND_OF == index) if each not in COLUMNS]
        assert np.allclose(ratio[others], ratio[others][0], rtol=1e-9)
        measured = [each for each in COLUMNS if KIND_OF[each] == index]
        assert ratio[others][0] == pytest.approx(1) if not measured else 1.5 < ratio[others][0] < 2.0
        assert np.allclose(ratio[measured], 2, rtol=0.02)


def test_fewer_or_noisier_measurements_leave_more_of_the_prior():
    def moved(count: int, noise: float) -> float:
        fitted = fit_constants(SHEET, _synthetic(count, constants=2 * SHEET, noise=noise))
        return float(np.log(fitted[COLUMNS] / SHEET[COLUMNS]).mean())

    assert 0 < moved(1, 2.0) < moved(1, 0.5) < moved(50, 0.5) < np.log(2)
    assert moved(50, 0.05) == pytest.approx(np.log(2), rel=0.01)


def test_shares_are_of_one():
    measurements = _synthetic(20)
    assert np.allclose((square_root_shares(measurements.terms, SHEET) ** 2).sum(axis=1), 1)
    shares = class_shares(measurements.terms, SHEET)
    assert np.allclose(shares.sum(axis=1), 1)
    assert {CLASSES[each] for each in np.flatnonzero(shares.any(axis=0))} == {"conv1x1", "conv3x3", "concat"}
    started = measurements.terms.copy()
    started[:, START] = 1.0
    assert (class_shares(started, SHEET).sum(axis=1) < 1).all(), "the start is of no class"


@pytest.mark.parametrize("count", [30, 3 * MIN_MEASURED])
def test_a_held_out_family_is_never_seen(count: int):
    """Its measured times are made three times as long: what is predicted of it must not notice."""
    measurements = _synthetic(count, families=5, spread=0.05)
    folds, how = family_folds(measurements)
    assert how == "leave one family out" and len(set(folds)) == 5
    honest = hold_out(SHEET, measurements, folds)
    for fold in range(5):
        mine = folds == fold
        poisoned = replace(measurements, latency_ms=np.where(mine, 3.0, 1.0) * measurements.latency_ms)
        other = hold_out(SHEET, poisoned, folds)
        assert np.array_equal(other.latency_ms[mine], honest.latency_ms[mine])
        assert (other.latency_ms[~mine] != honest.latency_ms[~mine]).all()
        assert np.array_equal(other.distance[mine], honest.distance[mine])


def test_a_fold_that_is_skipped_is_fitted_on_but_not_predicted():
    measurements = _synthetic(30, families=5, spread=0.05)
    folds, _ = family_folds(measurements)
    held_out = hold_out(SHEET, measurements, folds, skip=2)
    assert np.isnan(held_out.latency_ms[folds == 2]).all() and np.isfinite(held_out.latency_ms[folds != 2]).all()
    whole = hold_out(SHEET, measurements, folds)
    assert np.array_equal(held_out.latency_ms[folds != 2], whole.latency_ms[folds != 2])


def test_folds_are_families_networks_or_twenty():
    assert family_folds(_synthetic(12, families=3))[0].tolist() == [0, 1, 2] * 4
    folds, how = family_folds(_synthetic(12, families=2))
    assert how == "leave one network out" and folds.tolist() == list(range(12))
    folds, how = family_folds(_synthetic(5))
    assert how == "leave one network out" and len(set(folds)) == 5
    folds, how = family_folds(_synthetic(50))
    assert how == "20 folds" and len(set(folds.tolist())) == 20


def test_the_residual_is_learned_from_enough_networks_only():
    assert learn_residual(SHEET, _synthetic(MIN_MEASURED - 1)) is None
    measurements = _synthetic(MIN_MEASURED, constants=1.05 * SHEET)
    residual = learn_residual(SHEET, measurements)
    assert residual is not None
    learned, _ = residual(square_root_shares(measurements.terms, SHEET))
    assert np.allclose(learned, np.log(1.05), atol=0.02)


def test_errors_in_percent_are_known():
    held_out = HeldOut(latency_ms=np.array([11.5, 20.0, 24.0]), distance=np.ones(3), scale=np.ones(3))
    figures = error_figures(np.array([10.0, 20.0, 32.0]), held_out)
    assert figures == {"mean_percent": 13.33, "median_percent": 15.0, "within_10_percent": 33.3}


def test_a_weighted_quantile_is_known():
    values = np.array([4.0, 1.0, 3.0, 2.0])
    assert _weighted_quantile(values, np.ones(4), 0.5) == 2
    assert _weighted_quantile(values, np.array([0.0, 9.0, 0.0, 1.0]), 0.85) == 1
    assert _weighted_quantile(values, np.array([9.0, 0.0, 0.0, 1.0])) == 4
    assert _weighted_quantile(values, np.zeros(4), 0.9) == 4


def test_one_measured_network_gives_the_error_that_is_assumed():
    error = measure_error(SHEET, _synthetic(1), np.zeros((1, len(CLASSES))))
    assert error.quantiles[0.9] == pytest.approx(0.1 * 2**0.5 * 2.91999, rel=1e-4)
    assert not error.figures and not error.class_scale
    same = _few_error(np.array([0.1, -0.1]), 2, {})
    assert same.quantiles[0.9] == pytest.approx(0.1 * 1.5**0.5 * 2.13185, rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5, FEW - 1, FEW, 80])
def test_quantiles_rise_with_confidence(count: int):
    fitted, residual = calibrated(PROFILE, _synthetic(count, spread=0.1), ["made up"])
    assert fitted.error is not None and fitted.num_measured == count and fitted.fitted_on == ("made up",)
    values = [fitted.error.quantiles[level] for level in GRID]
    assert values == sorted(values) and values[0] > 0
    assert bool(fitted.error.class_scale) == (count >= FEW) and (residual is not None) == (count >= MIN_MEASURED)
    assert set(fitted.measured) == {"conv1x1", "conv3x3", "concat"} or count < 5
    assert all(number <= count for number in fitted.measured.values())


def _half_width(count: int, terms: Vector) -> float:
    fitted, residual = calibrated(PROFILE, _synthetic(count, spread=0.03), ["made up"])
    made = LatencyModel(fitted, residual).predict(terms)
    return float(np.median(np.log(made.high_ms / made.latency_ms)))


def test_intervals_of_few_measurements_are_wider_than_of_many():
    terms = _synthetic(50, seed=9).terms
    widths = [_half_width(count, terms) for count in (1, 3, 10, 200)]
    assert widths == sorted(widths, reverse=True) and widths[0] > 2 * widths[-1]


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.6, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [8, 40, 200])
def test_intervals_hold_as_many_new_networks_as_they_say(count: int, confidence: float):
    """On average over boards; those of few measurements may hold more, since an error is assumed for them."""
    held = []
    for seed in range(10 if count < 100 else 2):
        truth = 1.5 * SHEET
        fitted, residual = calibrated(PROFILE, _synthetic(count, constants=truth, spread=0.1, seed=seed), ["made up"])
        new = _synthetic(300, constants=truth, spread=0.1, seed=1000 + seed)
        made = LatencyModel(fitted, residual, confidence=confidence).predict(new.terms)
        held.append(float(((new.latency_ms >= made.low_ms) & (new.latency_ms <= made.high_ms)).mean()))
    assert confidence - 0.06 < np.mean(held) < confidence + (0.15 if count < FEW else 0.06)


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
def test_the_shipped_constants_are_what_a_fit_gives(name: str):
    profile = FITTED[name]
    assert np.allclose(fit_constants(prior(profile), _measured(profile)), profile.constants, rtol=0.01)


@pytest.mark.parametrize("name", CHEAP)
def test_the_shipped_profile_is_what_calibration_gives(name: str):
    profile = FITTED[name]
    fitted, residual = calibrated(profile, _measured(profile), profile.fitted_on)
    assert profile.error is not None and fitted.error is not None and residual is None
    assert np.allclose(fitted.constants, profile.constants, rtol=0.01)
    assert fitted.measured == profile.measured and fitted.num_measured == profile.num_measured
    assert fitted.error.quantiles == pytest.approx(dict(profile.error.quantiles), rel=0.01)
    assert fitted.error.figures == profile.error.figures
