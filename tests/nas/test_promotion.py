"""Promotions: which trial goes on to the next rung, by what it is expected to add to the front."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_rows import trial

from nas.engine.ladder import PROMOTED_SHARE, Ladder, evaluated
from nas.engine.objectives import objectives
from nas.engine.promotion import PRIOR_DEVIATION, expected_gains, promotion, rung_line
from results.trial import Cause, Trial

WANTED = objectives(("accuracy", "macs"))
TWO, THREE = Ladder(epochs=(0.5, 1.0)), Ladder(epochs=(0.5, 1.0, 2.0))


def all_due(rows: list[Trial], **more: Any) -> list[int]:
    """Promotes until no trial is due; each has twice its score on the second rung. Returns the numbers in order."""
    rows, found = list(rows), []
    while (due := promotion(rows, [], TWO, WANTED, **more)) is not None:
        found.append(due.number)
        rows.append(trial(due.number + 1000, 2 * (due.accuracy or 0.0), due.macs, rung=2, key=due.key))
    return found


def test_the_first_trial_goes_on_at_once_and_then_a_third() -> None:
    rows: list[Trial] = []
    promoted = []
    for number in range(30):
        rows.append(trial(number, 0.1 + 0.01 * (number * 7 % 30), 1000))
        while (due := promotion(rows, [], TWO, WANTED)) is not None:
            promoted.append(due.number)
            rows.append(trial(due.number + 1000, due.accuracy, 1000, rung=2))
    assert promoted[0] == 0
    assert len(promoted) == 30 // PROMOTED_SHARE
    best = sorted(range(30), key=lambda number: -(number * 7 % 30))[:3]
    assert set(best) <= set(promoted)


def test_cheap_trials_go_on_beside_dear_ones_that_beat_them() -> None:
    cheap = [trial(number, 0.1 + 0.001 * number, 100 + number) for number in range(6)]
    dear = [trial(10 + number, 0.9 + 0.001 * number, 10_000 + number) for number in range(6)]
    gone = all_due([*cheap, *dear])
    assert len(gone) == 4 and any(number < 10 for number in gone) and any(number >= 10 for number in gone)


def test_what_adds_to_the_front_goes_on_before_a_better_score_that_adds_nothing() -> None:
    upper = [trial(1000 + n, 0.2 + 0.04 * n, 100 * 2**n, rung=2) for n in range(4)]
    rows = [trial(n, 0.1 + 0.02 * n, 100 * 2**n) for n in range(4)]
    covered = trial(10, 0.155, 790)  # as good as trial 3 costs, where the front has more
    adds = trial(11, 0.14, 100)  # the front has 0.2 there, and is expected to have 0.28 with it
    more = [trial(20 + n, 0.01, 800) for n in range(9)]
    due = promotion([*rows, *upper, covered, adds, *more], [], TWO, WANTED)
    assert due is not None and due.number == 11


def test_a_cost_below_its_floor_adds_nothing() -> None:
    upper = [trial(1000 + n, 0.4, 1000, rung=2, key=f"k{n}") for n in range(3)]
    rows = [trial(n, 0.4, 1000) for n in range(3)]
    cheap = trial(10, 0.1, 10)
    gain, floored = (
        expected_gains([cheap], [*rows, *upper, cheap], [], TWO, WANTED, floors)[0] for floors in ({}, {"macs": 1000.0})
    )
    assert gain > 1e-3 > floored


def test_what_cannot_gain_anything_is_not_promoted_before_the_end() -> None:
    rows = [trial(n, 0.0, 100 * (n + 1)) for n in range(6)]
    assert promotion(rows, [], TWO, WANTED) is None
    assert promotion(rows, [], TWO, WANTED, final=True) is not None


def story(low: float) -> list[Trial]:
    """A rung whose third is promoted, then a trial with nearly twice the best score and an interval from `low` on."""
    known = [trial(0, 0.132, 320), trial(1, 0.1, 100), trial(2, 0.05, 55), trial(3, 0.04, 491), trial(4, 0.02, 80)]
    upper = [trial(1000, 0.352, 320, rung=2), trial(1001, 0.25, 100, rung=2)]
    winner = trial(5, 0.242, 348, scores={"accuracy": 0.242, "accuracy_low": low, "accuracy_high": 0.27})
    return [*known, *upper, winner]


def test_what_dominates_its_rung_goes_on_at_once() -> None:
    due = promotion(story(0.215), [], TWO, WANTED)
    assert due is not None and due.number == 5
    assert promotion(story(0.131), [], TWO, WANTED) is None, "its interval reaches the second best; the third is full"
    assert promotion(story(0.215), [trial(1005, None, 348, rung=2)], TWO, WANTED) is None, "it is under way"
    three = [each for each in story(0.215) if each.key in ("k0", "k1", "k5")]
    assert promotion(three, [], TWO, WANTED) is None, "three trials are too few"
    rival = trial(6, 0.22, 900)
    assert promotion([*story(0.215), rival], [], TWO, WANTED) != rival
    no_interval = [each if each.number != 5 else trial(5, 0.242, 348) for each in story(0.215)]
    assert promotion(no_interval, [], TWO, WANTED) is None


def test_what_goes_on_is_not_asked_again_while_it_is_under_way_or_a_repetition() -> None:
    first = trial(0, 0.5, 100)
    assert promotion([first], [], TWO, WANTED) == first
    assert promotion([first], [trial(1000, None, 100, rung=2, key="k0")], TWO, WANTED) is None
    repeated = trial(5, 0.9, 100, key="k0", repeat_of=0)
    assert promotion([repeated], [], TWO, WANTED) is None
    assert promotion([trial(0, None, 100, cause=Cause.INTERRUPTED)], [], TWO, WANTED) is None


def test_a_promoted_trial_counts_with_what_is_predicted_for_it_until_it_is_done() -> None:
    rows = [trial(0, 0.5, 100), trial(1, 0.5, 101), trial(2, 0.3, 50), *(trial(9 + n, 0.1, 200) for n in range(3))]
    first = promotion(rows, [], TWO, WANTED)
    assert first is not None and first.number == 0
    second = promotion(rows, [trial(1000, None, 100, rung=2, key="k0")], TWO, WANTED)
    assert second is not None and second.number == 2, "trial 1 would add nothing beside trial 0"


def test_in_the_end_whatever_nothing_dominates_goes_on() -> None:
    rows = [trial(0, 0.5, 100), trial(1, 0.6, 200), trial(2, 0.4, 150), trial(1000, 0.5, 100, rung=2, key="k0")]
    due = promotion(rows, [], TWO, WANTED, final=True)
    assert due is not None and due.number == 1
    rows.append(trial(1001, 0.6, 200, rung=2, key="k1"))
    assert promotion(rows, [], TWO, WANTED, final=True) is None


def test_in_the_end_what_is_expected_to_gain_most_goes_on_first() -> None:
    rows = [trial(0, 0.60, 1000), trial(1, 0.59, 990), trial(2, 0.5, 100), trial(3, 0.1, 90)]
    rows.append(trial(1000, 0.60, 1000, rung=2))
    assert all_due(rows, final=True)[0] == 2


def test_three_objectives_and_several_rungs_are_predicted_together() -> None:
    wanted = objectives(("accuracy", "macs", "memory_bytes"))
    rows = [trial(n, 0.1 * (n + 1), 100 * (n + 1), memory_bytes=1000 * (n + 1)) for n in range(3)]
    small = trial(3, 0.1, 100, memory_bytes=10)
    gains = expected_gains([*rows, small], [*rows, small], [], THREE, wanted)
    assert all(math.isfinite(gain) and gain > 0 for gain in gains)
    assert gains[3] > 3 * gains[0], "the same accuracy and multiply-adds in a hundredth of the memory"
    both = objectives(("accuracy", "ap_small", "macs"))
    unknown = trial(5, 0.9, 50)  # without objects to measure it on
    scored = trial(6, None, 50, scores={"accuracy": 0.1, "ap_small": 0.05})
    assert expected_gains([unknown, scored], [unknown, scored], [], TWO, both)[0] == 0.0
    due = promotion([unknown, scored], [], TWO, both)
    assert due is not None and due.number == 6


def test_a_proxy_orders_what_is_trained_before_anything_is_known_of_it() -> None:
    ladder = Ladder(epochs=(1.0, 2.0), proxy="nwot")
    rows = [trial(n, None, 100, rung=0, scores={"proxy": -5.0 + n}) for n in range(5)]
    due = promotion(rows, [], ladder, WANTED)
    assert due is not None and due.number == 4
    dear = [trial(n, None, 100 + n, rung=0, scores={"proxy": -5.0 - n}) for n in range(5)]
    final = promotion(dear, [], ladder, WANTED, final=True)
    assert final is not None and final.number == 0 and len(evaluated(dear, 0)) == 5


def test_the_line_between_two_rungs_grows_from_a_prior_into_a_fit() -> None:
    none = rung_line([], [], [0.1, 0.2], is_proxy=False)
    assert none.predict(0.2) == pytest.approx((0.2, PRIOR_DEVIATION * 0.2))
    one = rung_line([0.1], [0.3], [0.1, 0.1], is_proxy=False)
    assert one.predict(0.1)[0] == pytest.approx(0.2), "halfway between 1 and 3"
    low = np.linspace(0.05, 0.4, 30)
    many = rung_line(low.tolist(), (0.2 + 0.5 * low).tolist(), low.tolist(), is_proxy=False)
    assert many.predict(0.3)[0] == pytest.approx(0.35, abs=0.02) and many.deviation < 0.05
    noisy = rung_line(low.tolist(), low[::-1].tolist(), low.tolist(), is_proxy=False)
    assert noisy.deviation > 2 * many.deviation
    mean, deviation = many.predict(0.3, deviation=1.0)
    assert deviation == pytest.approx(math.hypot(many.deviation, many.slope)) and mean > 0


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8)


@given(scores, st.lists(st.floats(0, 1), min_size=1, max_size=5), st.booleans())
def test_every_line_predicts_finite_numbers(pairs: list[tuple[float, float]], more: list[float], proxy: bool) -> None:
    low, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    line = rung_line(low, high, [*low, *more], is_proxy=proxy)
    for score in (*low, *more):
        mean, deviation = line.predict(score, 0.1)
        assert math.isfinite(mean) and math.isfinite(deviation) and deviation >= 0
