"""The bootstrap over images against scores of data sets that were really put together anew."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from benchmarks.ap_agreement import Case, large_case, random_case
from search_space.errors import ConfigError
from trainers.bootstrap import Interval, draw_counts, interval_of, intervals, resample
from trainers.matching import Matches
from trainers.precision import match_sizes, measure
from trainers.sizes import size_bins

CLASSES = ("a", "b", "c", "d", "e")


def matches_of(case: Case, bins: str | None = None) -> Matches:
    extra = size_bins(bins, case.records) if bins else None
    return match_sizes(case.records, case.found, CLASSES[: case.num_classes], extra)


def without_ties(case: Case, seed: int) -> Case:
    """Images that are drawn twice would change the order of equal scores of two images."""
    scores = np.random.default_rng(seed).permutation(case.num_detections).astype(np.float64)
    parts = np.split(scores, np.cumsum([len(each[1]) for each in case.found])[:-1])
    found = tuple((each[0], part, each[2]) for each, part in zip(case.found, parts, strict=True))
    return Case(records=case.records, found=found, num_classes=case.num_classes)


@pytest.mark.slow
def test_a_resample_scores_as_a_set_of_the_drawn_images() -> None:
    compared = 0
    for seed in range(30):
        case = without_ties(random_case(seed), seed)
        if len(case.records) < 2:
            continue
        resampled = resample(matches_of(case), num_resamples=6, seed=seed)
        for number, times in enumerate(draw_counts(len(case.records), 6, seed)):
            images = np.repeat(np.arange(len(case.records)), times)
            found = tuple(case.found[image] for image in images)
            records = tuple(case.records[image] for image in images)
            drawn = Case(records=records, found=found, num_classes=case.num_classes)
            wanted = measure(matches_of(drawn)).average
            np.testing.assert_allclose(resampled.average[..., number], wanted, atol=1e-12, equal_nan=True)
            compared += int((wanted > 0).sum())
    assert compared > 1000


def intervals_of(matches: Matches, num_resamples: int = 100, seed: int = 0) -> dict[str, Interval]:
    resampled = resample(matches, num_resamples=num_resamples, seed=seed)
    return intervals(measure(matches), resampled, CLASSES[: matches.num_classes])


@pytest.mark.slow
def test_intervals_hold_the_score_and_shrink_with_more_images() -> None:
    widths = []
    for num_images in (20, 320):
        matches = matches_of(large_case(num_images, seed=3), "0,20,inf")
        found, averages = intervals_of(matches), measure(matches)
        assert found["ap"].low < averages.mean() < found["ap"].high
        assert found["ap50"].low < averages.mean(iou=0.5) < found["ap50"].high
        assert found["bin 0-20"].low < averages.mean(4) < found["bin 0-20"].high
        assert found["class b"].low < averages.mean(label=1) < found["class b"].high
        assert math.isnan(found["ap_large"].low)
        widths.append(found["ap"].high - found["ap"].low)
    assert 2.5 < widths[0] / widths[1] < 6, "16 times the images, a quarter of the width"


@pytest.mark.slow
def test_intervals_hold_the_truth_nearly_as_often_as_they_say() -> None:
    """The truth is the score on many images; intervals come from small sets of the same kind."""
    truth = measure(matches_of(large_case(1000, seed=99, num_found=40))).mean()
    inside = 0
    for seed in range(30):
        matches = matches_of(large_case(30, seed=seed, num_found=40))
        drawn = resample(matches, num_resamples=60, seed=seed).mean()
        found = interval_of(measure(matches).mean(), drawn)
        inside += found.low <= truth <= found.high
    assert 24 <= inside <= 30


def test_the_seed_decides() -> None:
    matches = matches_of(large_case(10, seed=0))
    first, again, other = (resample(matches, num_resamples=20, seed=seed).mean() for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_an_interval_lies_as_far_below_as_the_resamples_lie_above() -> None:
    drawn = np.append(np.arange(101) / 100, math.nan)
    found = interval_of(0.6, drawn, 0.5)
    assert (found.low, found.high) == (pytest.approx(0.45), pytest.approx(0.95))
    assert interval_of(0.9, drawn, 0.5).high == 1.0 and interval_of(0.3, drawn, 0.9).low == 0.0
    assert math.isnan(interval_of(0.5, np.array([math.nan])).low) and math.isnan(interval_of(math.nan, drawn).high)


def test_accuracy_has_an_interval_of_its_own() -> None:
    matches = matches_of(large_case(30, seed=5))
    resampled, averages = resample(matches, num_resamples=50), measure(matches)
    score = 0.5 * averages.mean(1) + 0.5 * averages.mean(iou=0.5)
    wanted = interval_of(score, 0.5 * resampled.mean(1) + 0.5 * resampled.mean(iou=0.5))
    assert intervals(averages, resampled, CLASSES)["accuracy"] == wanted


@pytest.mark.parametrize(("num_images", "num_resamples"), [(1, 100), (5, 1)])
def test_too_few_are_refused(num_images: int, num_resamples: int) -> None:
    with pytest.raises(ConfigError, match="at least 2 resamples and 2 images"):
        resample(matches_of(large_case(num_images, seed=0)), num_resamples=num_resamples)


def test_a_thousand_resamples_are_a_matter_of_seconds() -> None:
    matches = matches_of(large_case(60, seed=0))
    started = time.process_time()
    resample(matches)
    assert time.process_time() - started < 3
