"""The time of a training as a cost: its fit, and what it decides in a run with a limit of time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from search_fakes import make_domain
from strategy_fakes import OBJECTIVES, known, run, table_domain
from trial_rows import trial

from nas.engine.acquisition import acquisition_values
from nas.engine.domain import CostedPoint
from nas.engine.history import History
from nas.engine.ladder import Ladder
from nas.engine.promotion import promotion
from nas.engine.scheduler import Scheduler, TrialIndex
from nas.engine.search_study import TrialSpec
from nas.engine.training_time import MIN_TRIALS, fit_training_time, measured_seconds_an_image
from results.trial import Cause, Outcome, Trial

TWO = Ladder(epochs=(0.5, 1.0))


def costs(macs: float, activation_bytes: float, px: float) -> dict[str, float]:
    return {"macs": macs, "activation_bytes": activation_bytes, "input_px": px}


def drawn(number: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [costs(*(10.0 ** rng.uniform((7, 5, 2), (9, 7, 2.5)))) for _ in range(number)]


def test_before_there_are_measurements_the_time_follows_the_activations() -> None:
    few = fit_training_time([(each, 2e-9 * each["activation_bytes"]) for each in drawn(MIN_TRIALS - 1)])
    assert few.seconds_an_image([costs(1e9, 1e7, 64)]) == pytest.approx([0.02])
    scattered = fit_training_time([(each, 1e-9 * each["macs"]) for each in drawn(MIN_TRIALS - 1)])
    assert scattered.exponents.tolist() == few.exponents.tolist() == [0.0, 1.0, 0.0]
    apart = [costs(2.4e8, 1e6, 192), costs(2.4e8, 1.8e6, 320)]
    slow, fast = few.seconds_an_image(apart)[::-1]
    assert slow / fast == pytest.approx(1.8)


def test_measurements_teach_on_what_the_time_depends() -> None:
    def seconds(each: dict[str, float]) -> float:
        return 1e-6 * each["macs"] ** 0.5 * each["activation_bytes"] ** 0.3

    points = drawn(60)
    fitted = fit_training_time([(each, seconds(each)) for each in points[:30]])
    truth = np.array([seconds(each) for each in points[30:]])
    assert np.abs(np.log(fitted.seconds_an_image(points[30:]) / truth)).max() < 0.2
    assert fitted.exponents == pytest.approx([0.5, 0.3, 0.0], abs=0.1)


def test_the_time_leans_on_a_choice_within_limits() -> None:
    points = [costs(1e8, size, 192) for size in (1e4, 1e6, 1.5e6, 1e9)]
    fitted = fit_training_time([(points[1], 0.04)])
    assert fitted.relative(points) == pytest.approx([0.5, 1e6 / 1.25e6, 1.5e6 / 1.25e6, 2.0])


def test_the_expected_gain_is_that_of_the_time_it_takes() -> None:
    domain = table_domain()
    told = [replace(each, costs=timed(each.costs)) for each in run("random", domain, 8)]
    left = [replace(point, costs=timed(point.costs)) for point in domain.listed()[:20]]
    assert all(isinstance(point, CostedPoint) for point in left)
    before = acquisition_values(History(objectives=OBJECTIVES, trials=tuple(told)), left)
    measured = tuple(replace(each, seconds_an_image=1e-8 * each.costs["activation_bytes"]) for each in told)
    after = acquisition_values(History(objectives=OBJECTIVES, trials=measured), left)
    bytes_ = np.array([point.costs["activation_bytes"] for point in left])
    assert after * np.clip(bytes_ / np.median(bytes_), 0.5, 2.0) == pytest.approx(before, rel=1e-6)
    assert len({*np.round(before / np.maximum(after, 1e-300), 3)}) > 3


def timed(costs: Any) -> dict[str, float]:
    return {**costs, "activation_bytes": costs["macs"] ** 0.5 * 100, "input_px": 320.0}


def test_the_images_of_lower_rungs_are_not_counted_to_a_trial() -> None:
    first = trial(0, 0.5, 100, seconds=10.0, images_seen=1000)
    assert measured_seconds_an_image(first, TWO) == pytest.approx(0.01)
    second = trial(1000, 0.5, 100, rung=2, seconds=20.0, images_seen=3000)
    assert measured_seconds_an_image(second, TWO) == pytest.approx(0.01), "2,000 of its 3,000 images are of this rung"
    alone = replace(second, training_seconds=16.0)
    assert measured_seconds_an_image(alone, TWO) == pytest.approx(0.008)
    cached = trial(1, 0.5, 100, seconds=0.0, images_seen=1000, outcome=Outcome.CACHED, cause=Cause.IMPORTED)
    proxy = trial(2, None, 100, rung=0, scores={"proxy": 1.0}, seconds=1.0, images_seen=16)
    assert measured_seconds_an_image(cached, TWO) is None and measured_seconds_an_image(proxy, TWO) is None


def rows() -> list[Trial]:
    """Trial 0 took 10 s on the first rung and 20 s on the second; trials 1 and 2 were half and twice as fast."""
    times = {0: 10.0, 1: 20.0, 2: 5.0}
    found = [trial(n, 0.5 + n / 10, 100 * 4**n, seconds=times[n], images_seen=1000) for n in times]
    return [*found, trial(1000, 0.6, 100, rung=2, seconds=20.0, images_seen=3000)]


def test_a_slow_trial_is_expected_to_be_slow_on_the_next_rung() -> None:
    index = TrialIndex(rows())
    assert [index.seconds_above(each, TWO) for each in rows()[:3]] == pytest.approx([20.0, 40.0, 10.0])
    alone = TrialIndex(rows()[:3])
    mean = alone.seconds(2, TWO)
    assert [alone.seconds_above(each, TWO) for each in rows()[:3]] == pytest.approx(
        [mean * each / 35 * 3 for each in (10, 20, 5)]
    )
    unknown = trial(5, 0.5, 100)
    assert index.seconds_above(unknown, TWO) == pytest.approx(20.0)


def test_what_the_time_suffices_for_goes_on_in_place_of_what_it_does_not() -> None:
    due = promotion(rows(), [], TWO, OBJECTIVES, final=True)
    assert due is not None and due.number == 1

    def decided(seconds_left: float) -> object:
        spec = scheduler().next(rows(), [], seconds_left=seconds_left)
        return spec.promoted_from if isinstance(spec, TrialSpec) else spec.cause.value

    assert [decided(seconds) for seconds in (15.0, 9.0)] == [2, "no_time"]


def scheduler(seen: list[History] | None = None) -> Scheduler:
    domain = make_domain()

    def remember(history: History, domain: Any, *, seed: int) -> None:
        if seen is not None:
            seen.append(history)

    found = Scheduler(domain=domain, strategy=remember, objectives=OBJECTIVES, ladder=TWO)
    object.__setattr__(found, "_point", lambda trial: domain.space.random(np.random.default_rng(trial.number)))
    return found


def test_times_are_shown_in_runs_with_a_limit_of_time_only() -> None:
    seen: list[History] = []
    scheduler(seen)._new(rows(), [], is_timed=False)
    scheduler(seen)._new(rows(), [], is_timed=True)
    assert [each.seconds_an_image for each in seen[0].trials] == [None] * 3
    assert [each.seconds_an_image for each in seen[1].trials] == pytest.approx([0.01, 0.02, 0.005])
    limits = []
    for seconds_left in (math.inf, 1e9):
        found = scheduler(seen)
        found.next(
            [*rows(), trial(1001, 0.9, 400, rung=2), trial(1002, 0.9, 1600, rung=2)], [], seconds_left=seconds_left
        )
        limits.append(seen[-1].trials[0].seconds_an_image is not None)
    assert limits == [False, True]


def test_without_measured_times_nothing_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.engine.acquisition.fit_training_time", None)
    domain = table_domain()
    told = tuple(known(n, point) for n, point in enumerate(domain.listed()[:8]))
    assert acquisition_values(History(objectives=OBJECTIVES, trials=told), domain.listed()[8:12]).shape == (4,)
