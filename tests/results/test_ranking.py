"""Rank correlation, and which detectors can be told apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from results.ranking import kendall_tau
from results.ties import parse_draws, tied_with_better, told_apart


def test_tau_counts_pairs() -> None:
    assert kendall_tau([1, 2, 3], [1, 2, 3]) == pytest.approx(1) and kendall_tau([1, 2, 3], [3, 2, 1]) == pytest.approx(
        -1
    )
    assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert math.isnan(kendall_tau([1], [1])) and math.isnan(kendall_tau([1, 1], [1, 2]))


def test_paired_draws_tell_apart_what_separate_intervals_would_not() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.1, 200)
    first, second = 0.52 + images + rng.normal(0, 0.005, 200), 0.50 + images + rng.normal(0, 0.005, 200)
    assert told_apart(list(first), list(second)) and told_apart(list(second), list(first))
    unpaired = rng.permutation(second)
    assert not told_apart(list(first), list(unpaired))
    assert not told_apart([], []) and not told_apart([0.1, 0.2], [0.1])


def test_a_member_names_the_better_ones_that_it_is_tied_with() -> None:
    draws = {"a": [5000, 5100, 5200, 5300], "b": [5010, 5090, 5190, 5310], "c": [1000, 1100, 1200, 1300], "d": None}
    texts = [None if each is None else " ".join(map(str, each)) for each in draws.values()]
    members = pd.DataFrame({"key": list(draws), "accuracy_draws": texts})
    assert tied_with_better(members) == ["", "a", "", ""]
    assert parse_draws("5000 123") == [0.5, 0.0123] and parse_draws(None) == [] and parse_draws(pd.NA) == []
