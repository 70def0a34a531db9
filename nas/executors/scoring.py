"""The scores of a detector in a search: accuracies with a bootstrap interval, or a zero-cost proxy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_space import Detector
from search_space.errors import ConfigError
from trainers.bootstrap import interval_of, resample
from trainers.data.dataset import Dataset
from trainers.evaluation import detect_dataset
from trainers.precision import accuracy
from trainers.proxies import PROXIES, proxy_batch
from trainers.sizes import SizeBin, SizeBins

SCORES = ("accuracy", "ap", "ap50", "ap_small", "ap_medium", "ap_large")
BIN = re.compile(r"ap_(\d+)_(\d+)")
NUM_DRAWS = 100
PROXY_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores on the validation images."""

    values: dict[str, float]
    """By the columns of `results.records`; nan where the images have no such objects."""
    draws: tuple[float, ...]
    """The accuracy on bootstrap draws of the images, the same draws for every detector."""


def size_bins(names: Sequence[str]) -> SizeBins | None:
    """Returns the bins of objectives such as `ap_8_16`: sides of 8 up to 16 px of the original image."""
    bins = []
    for name in names:
        bounds = BIN.fullmatch(name)
        if bounds is not None:
            low, high = int(bounds[1]), int(bounds[2])
            bins.append(SizeBin(name=name, low=low**2, high=math.nextafter(high**2, 0)))
    return SizeBins(source=" ".join(names), bins=tuple(bins)) if bins else None


def score(detector: Detector, dataset: Dataset, *, bins: SizeBins | None = None, batch_size: int = 8) -> Scores:
    """Scores a detector on the validation images, with a bootstrap of its accuracy.

    Raises:
        DataError: None of the images can be read.
    """
    detections = detect_dataset(detector, dataset, batch_size=batch_size)
    matches = detections.match(bins)
    found = detections.score(matches)
    values = {name: float(getattr(found, name)) for name in SCORES}
    values |= {name: each["ap"] for name, each in found.bins.items()}
    if matches.num_images < 2:
        return Scores(values=values, draws=())
    drawn = resample(matches, num_resamples=NUM_DRAWS)
    draws = accuracy(drawn.mean(size=1), drawn.mean(iou=0.5), has_small=not math.isnan(found.ap_small))
    interval = interval_of(values["accuracy"], draws)
    values |= {"accuracy_low": interval.low, "accuracy_high": interval.high}
    return Scores(values=values, draws=tuple(float(each) for each in np.nan_to_num(draws)))


def proxy_score(name: str, detector: Detector, dataset: Dataset, *, seed: int) -> float:
    """Returns a score of an untrained detector; minus infinity where it overflows.

    Raises:
        ConfigError: For an unknown score.
    """
    if name not in PROXIES:
        raise ConfigError(f"unknown proxy {name!r}; known: {', '.join(PROXIES)}")
    fit = detector.input_format.fit
    images, objects = proxy_batch(dataset, detector.input_hw, batch_size=PROXY_IMAGES, seed=seed, fit=fit)
    return float(PROXIES.get(name)(detector, images, objects, seed=seed))
