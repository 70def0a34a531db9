"""Bootstrap confidence intervals of scores over the images of the data set.

Efron and Tibshirani, "An introduction to the bootstrap", 1993: each resample draws as many images as there are, with
replacement, and is scored.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from search_space.errors import ConfigError
from trainers.matching import COCO_IOUS, Flags, Floats, Integers, Matches
from trainers.precision import RECALLS, Precision, accuracy, by_class, extra_bins
from trainers.sizes import COCO_SIZES

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
CHUNK_CELLS = 60_000
"""Table entries that are processed at once, few enough for the CPU cache."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Confidence interval of the score on unlimited images of the same kind, as fractions of 1; nan without a score."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Average precision of B resamples of the images."""

    matches: Matches
    average: Floats
    """`(A, T, C, B)` by size, IoU threshold, class and resample; nan if a resample has no such object."""

    def mean(self, size: int = 0, iou: float | None = None, label: int | None = None) -> Floats:
        """Returns the average precision of each resample `(B,)`; see `Precision.mean`."""
        ious = [self.matches.at_iou(each) for each in (COCO_IOUS if iou is None else (iou,))]
        chosen = self.average[size][ious][:, slice(None) if label is None else [label]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of a resample without objects is nan
            return np.asarray(np.nanmean(chosen, axis=(0, 1)))


def resample(matches: Matches, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> Resampled:
    """Measures the average precision of resamples of the images.

    Raises:
        ConfigError: there are fewer than two images or resamples.
    """
    if num_resamples < 2 or matches.num_images < 2:
        raise ConfigError(
            f"a bootstrap needs at least 2 resamples and 2 images, got {num_resamples} and {matches.num_images}; use 0 "
            "resamples to switch it off"
        )
    weights = draw_counts(matches.num_images, num_resamples, seed)
    shape = (len(matches.bins), len(matches.ious), matches.num_classes, num_resamples)
    average = np.full(shape, math.nan)
    for label, rows in by_class(matches):
        for size in range(len(matches.bins)):
            here = matches.object_images[matches.object_sizes[size] & (matches.object_labels == label)]
            if len(here):
                num_objects = weights @ np.bincount(here, minlength=matches.num_images)
                values = _averages(matches, rows, size, weights, num_objects)
                average[size, :, label] = np.where(num_objects > 0, values, math.nan)
    return Resampled(matches=matches, average=average)


def draw_counts(num_images: int, num_resamples: int, seed: int) -> Integers:
    """Returns the number of times each image is drawn in each resample, `(B, I)`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_resamples)


def _averages(matches: Matches, rows: Integers, size: int, weights: Integers, num_objects: Integers) -> Floats:
    """Returns the average precision `(T, B)` of one class and size.

    The best precision at a recall or above is always reached at a true positive, so only the positions of true
    positives (`ends`) are evaluated. For the false positives between them, a sparse matrix of counts per image times
    the draws of all images gives the counts of all resamples at once. Most detections count at every IoU threshold
    (`common`, computed once); the others are added per threshold (`more`).
    """
    right, counted = matches.right[size][:, rows], matches.counted[size][:, rows]
    ends = np.flatnonzero(right.any(axis=0))
    average = np.zeros((len(right), len(weights)))
    if not len(ends):
        return average
    right, counted, images = right[:, ends], counted[:, : ends[-1] + 1], matches.images[rows]
    always = counted.all(axis=0)
    common = _between(always, ends, images, matches.num_images)
    more = [_between(each & ~always, ends, images, matches.num_images) for each in counted]
    step = max(1, CHUNK_CELLS // len(ends))
    for start in range(0, len(weights), step):
        chunk = slice(start, start + step)
        drawn = np.ascontiguousarray(weights[chunk].T, np.float64)
        at_ends, shown = weights[chunk][:, images[ends]], (common @ drawn).T
        objects = np.maximum(num_objects[chunk], 1)[:, None]
        for iou in range(len(right)):
            here = shown + (more[iou] @ drawn).T if more[iou].nnz else shown
            average[iou, chunk] = _weighted(at_ends * right[iou], here, objects)
    return average


def _between(counted: Flags, ends: Integers, images: Integers, num_images: int) -> csr_array:
    """Returns how many detections of each image count after the previous end, up to and including each: `(E, I)`."""
    at = np.flatnonzero(counted)
    where = (np.searchsorted(ends, at), images[at])
    return csr_array((np.ones(len(at)), where), shape=(len(ends), num_images))


def _weighted(right: Integers, shown: Floats, num_objects: Integers) -> Floats:
    """Returns the average precision of each resample `(B,)`, the mean of interpolated precision at 101 recalls.

    Args:
        right: new true positives at each end, `(B, E)`.
        shown: detections that count since the previous end, `(B, E)`.
        num_objects: `(B, 1)`.
    """
    found = np.cumsum(right, axis=1)
    precision = found / np.maximum(np.cumsum(shown, axis=1), 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _recalls_reached(found / num_objects)
    return np.asarray((best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))


def _recalls_reached(recall: Floats) -> Integers:
    """Returns how many of the 101 recalls are at most `recall`, by rounding instead of a binary search."""
    near = np.rint(recall * (len(RECALLS) - 1)).astype(np.int64)
    return near + (RECALLS[near] <= recall)


def intervals(
    precision: Precision, resampled: Resampled, classes: Sequence[str], confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Returns the interval of each average by name: `ap`, `ap50`, `ap_small`, `accuracy`, `bin NAME`, `class NAME`.

    Args:
        precision: the averages on the original images.
        resampled: from the same matches, with the COCO sizes first.
        classes: names in the order of the labels.
        confidence: share of the resamples that an interval covers, symmetric in quantiles.
    """
    wanted: dict[str, dict[str, Any]] = {"ap": {}, "ap50": {"iou": 0.5}, "ap75": {"iou": 0.75}}
    wanted |= {f"ap_{each.name}": {"size": size} for size, each in enumerate(COCO_SIZES, 1)}
    wanted |= {f"bin {each.name}": {"size": size} for size, each in extra_bins(precision.matches)}
    wanted |= {f"class {name}": {"label": label} for label, name in enumerate(classes)}
    scores = {name: precision.mean(**which) for name, which in wanted.items()}
    drawn = {name: resampled.mean(**which) for name, which in wanted.items()}
    has_small = not math.isnan(scores["ap_small"])
    scores["accuracy"] = accuracy(scores["ap_small"], scores["ap50"], has_small=has_small)
    drawn["accuracy"] = accuracy(drawn["ap_small"], drawn["ap50"], has_small=has_small)
    return {name: interval_of(scores[name], drawn[name], confidence) for name in scores}


def interval_of(score: float, drawn: Floats, confidence: float = CONFIDENCE) -> Interval:
    """Returns the basic bootstrap interval of a score from the scores `(B,)` of the resamples; nan is ignored.

    Average precision on few images is biased upwards, because the best precision at a recall or above is used, and a
    resample adds the same bias once more. The basic interval corrects for it by reflecting the quantiles of the
    resamples about the score: 2 * score - quantile. Percentile intervals would have the bias twice.
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known) or math.isnan(score):
        return Interval(low=math.nan, high=math.nan)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=min(max(2 * score - float(high), 0.0), 1.0), high=min(max(2 * score - float(low), 0.0), 1.0))
