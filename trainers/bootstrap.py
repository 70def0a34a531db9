"""How far a score would move with other images: the bootstrap over the images of the data set.

Efron and Tibshirani, "An introduction to the bootstrap", 1993: images are drawn with replacement, as many as there are,
and the score is taken of each such draw.
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
"""Entries of the tables that are worked on at once: few enough to stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where the score on ever more images of the kind would lie, as fractions of 1; nan where there is no score."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Average precision of B resamples of the images."""

    matches: Matches
    average: Floats
    """`(A, T, C, B)`: nan where a resample has no object of that class and size."""

    def mean(self, size: int = 0, iou: float | None = None, label: int | None = None) -> Floats:
        """Returns the average precision of each resample `(B,)`; see `Precision.mean`."""
        ious = [self.matches.at_iou(each) for each in (COCO_IOUS if iou is None else (iou,))]
        chosen = self.average[size][ious][:, slice(None) if label is None else [label]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a resample without any object has no mean
            return np.asarray(np.nanmean(chosen, axis=(0, 1)))


def resample(matches: Matches, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> Resampled:
    """Measures the average precision of draws of as many images with replacement.

    Raises:
        ConfigError: there are fewer than two images or resamples.
    """
    if num_resamples < 2 or matches.num_images < 2:
        raise ConfigError(
            f"a bootstrap of {num_resamples} resamples over {matches.num_images} images was asked for; both must be 2 "
            "or more, or switch it off with 0"
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
    """Returns how often each image is drawn in each resample, `(B, I)`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_resamples)


def _averages(matches: Matches, rows: Integers, size: int, weights: Integers, num_objects: Integers) -> Floats:
    """Returns the averages `(T, B)` of one class and size.

    Precision peaks where an object is found, so that only these places are kept; how many detections count between
    them is summed by image for all resamples at once: those that count at every threshold, then the few others.
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
    """Returns how many detections of each image count up to each end, from the one before on: `(E, I)`."""
    at = np.flatnonzero(counted)
    where = (np.searchsorted(ends, at), images[at])
    return csr_array((np.ones(len(at)), where), shape=(len(ends), num_images))


def _weighted(right: Integers, shown: Floats, num_objects: Integers) -> Floats:
    """Returns the average precision of each resample `(B,)`: the mean of the best precision at 101 recalls or above.

    Args:
        right: objects newly found at each end, `(B, E)`.
        shown: detections that newly count there, `(B, E)`.
        num_objects: `(B, 1)`.
    """
    found = np.cumsum(right, axis=1)
    precision = found / np.maximum(np.cumsum(shown, axis=1), 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _recalls_reached(found / num_objects)
    return np.asarray((best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))


def _recalls_reached(recall: Floats) -> Integers:
    """Returns how many of the 101 recalls are at most `recall`, without a search for each."""
    near = np.rint(recall * (len(RECALLS) - 1)).astype(np.int64)
    return near + (RECALLS[near] <= recall)


def intervals(
    precision: Precision, resampled: Resampled, classes: Sequence[str], confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Returns the interval of each average by its name: `ap`, `ap50`, `ap_small`, `accuracy`, `bin NAME`, `class NAME`.

    Args:
        precision: the averages of the images as they are.
        resampled: those of `resample`, from the same matches, at COCO's sizes first.
        classes: names in the order of the labels.
        confidence: how much of the resamples an interval spans; as much is left out below as above.
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
    """Returns the interval of a score from the scores `(B,)` that were drawn, those that exist.

    Average precision of few images is too high on average, since the best precision at a recall or above is taken, and
    that of resamples is too high once more. So the ends are not the percentiles of the resamples themselves: as far as
    the resamples lie above the score, the truth is taken to lie below it (the basic bootstrap interval).
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known) or math.isnan(score):
        return Interval(low=math.nan, high=math.nan)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=min(max(2 * score - float(high), 0.0), 1.0), high=min(max(2 * score - float(low), 0.0), 1.0))
