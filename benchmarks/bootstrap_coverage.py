"""Coverage of bootstrap intervals for the score on unlimited images, for two definitions of their ends.

Usage, from the root of the repository: python -m benchmarks.bootstrap_coverage [--sets 60] [--truth 3000] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.ap_agreement import Case, large_case
from trainers.bootstrap import interval_of, resample
from trainers.data import Record
from trainers.matching import Matches
from trainers.precision import match_sizes, measure

CLASSES = ("a", "b", "c", "d", "e")


def equal_images(num_images: int, seed: int) -> Case:
    """All images are equally difficult."""
    return large_case(num_images, seed, num_found=40)


def unequal_images(num_images: int, seed: int) -> Case:
    """Images differ in accuracy, frequency and confidence of their detections."""
    rng = np.random.default_rng(seed)
    records, found = [], []
    for _ in range(num_images):
        hardness, number = rng.beta(2, 2), int(rng.integers(2, 15))
        corner = rng.uniform(0, 600, (number, 2))
        boxes = np.concatenate((corner, corner + rng.uniform(6, 60, corner.shape)), axis=1).astype(np.float32)
        labels = rng.integers(0, len(CLASSES), number)
        seen = rng.random(number) > 0.6 * hardness
        near = (boxes + rng.normal(0, 1 + 3 * hardness, boxes.shape))[seen]
        stray = rng.uniform(0, 600, (20, 2))
        corners = np.concatenate((near, np.concatenate((stray, stray + 20), axis=1))).astype(np.float32)
        scores = np.concatenate((rng.beta(6 - 5 * hardness, 2, len(near)), rng.beta(1 + hardness, 8, len(stray))))
        strays = rng.integers(0, len(CLASSES), len(stray))
        records.append(Record(path=None, height=640, width=640, boxes=boxes, labels=labels))
        found.append((corners, scores, np.concatenate((labels[seen], strays))))
    return Case(records=tuple(records), found=tuple(found), num_classes=len(CLASSES))


def matches_of(case: Case) -> Matches:
    return match_sizes(case.records, case.found, CLASSES)


def coverage(make: Callable[[int, int], Case], num_images: int, options: argparse.Namespace) -> None:
    """Prints the scores of small sets and how often their intervals contain the true score."""
    truth = measure(matches_of(make(options.truth, options.seed + 10_000))).mean()
    scores, plain, reflected = [], 0, 0
    for number in range(options.sets):
        matches = matches_of(make(num_images, options.seed + number))
        score, drawn = measure(matches).mean(), resample(matches, num_resamples=200, seed=number).mean()
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = interval_of(score, drawn)
        plain += low <= truth <= high
        reflected += interval.low <= truth <= interval.high
        scores.append(score)
    print(
        f"{make.__name__.replace('_', ' '):15} {num_images:5} {truth:10.3f} {np.mean(scores):10.3f} "
        f"{np.std(scores):10.3f} {plain / options.sets:12.2f} {reflected / options.sets:10.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=60, help="small sets of each kind")
    parser.add_argument("--truth", type=int, default=3000, help="images of the set that defines the true score")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"AP, 95 % intervals, {options.sets} sets each; the truth is the AP on {options.truth} images")
    print("kind            images      truth    mean AP  its spread  percentiles      basic")
    for make in (equal_images, unequal_images):
        for num_images in (40, 160):
            coverage(make, num_images, options)


if __name__ == "__main__":
    main()
