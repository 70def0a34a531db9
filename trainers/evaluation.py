"""How right a detector is: average precision by the COCO rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np

from search_space import Detector
from search_space.errors import DataError
from trainers.curves import curve
from trainers.data.dataset import Dataset, Image, no_boxes, no_labels
from trainers.detect import Detections, evaluating
from trainers.heads import Limits
from trainers.matching import MAX_DETECTIONS, Matches
from trainers.precision import match_sizes, measure, score_fields
from trainers.sizes import SizeBins
from trainers.tiling import Tiling, detect_all

EVALUATION_SCORE = 0.001


@dataclass(frozen=True, kw_only=True)
class Score:
    """Average precision as fractions of 1, averaged over classes; nan where the data has no such objects.

    Sizes are those of COCO, by the area of the box: small under 32x32 px, large from 96x96 px of the original image.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55 .. 0.95."""
    ap50: float
    ap75: float = nan
    ap_small: float = nan
    ap_medium: float = nan
    ap_large: float = nan
    recall: float = nan
    """Share of the objects that is found at any score, mean over the same thresholds; COCO's AR at 100."""
    f1: float = nan
    """Highest harmonic mean of precision and recall at IoU 0.5, all classes counted together."""
    f1_score_threshold: float = nan
    """What must be scored for it."""
    num_images: int = 0
    num_objects: int = 0
    num_unreadable: int = 0
    """Images that could not be read; they count as images in which nothing was found."""
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    """By class name: `ap`, `ap50`, `ap75`, `ap_small`, `recall`, `num_objects`."""
    bins: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the name of a size bin that was asked for: `low_px`, `high_px`, `ap`, `ap50`, `ap75`, `num_objects`."""

    @property
    def accuracy(self) -> float:
        """What a search maximises: the mean of AP of small objects and AP50; AP50 alone without small objects."""
        return self.ap50 if isnan(self.ap_small) else 0.5 * self.ap_small + 0.5 * self.ap50

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data; nan stays nan."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What a detector found in the images of a data set."""

    dataset: Dataset
    found: tuple[Detections, ...]
    """One entry an image."""
    unreadable: tuple[str, ...] = ()
    """What was said about each image that could not be read."""

    def match(self, bins: SizeBins | None = None) -> Matches:
        """Matches them with the objects of the data set at COCO's sizes, and at those of `bins`."""
        found = [(each.boxes, each.scores, each.labels) for each in self.found]
        return match_sizes(self.dataset.records, found, self.dataset.classes, bins)

    def score(self, matches: Matches) -> Score:
        """Returns the figures for these matches."""
        best = curve(matches).best_f1()
        return Score(
            **score_fields(measure(matches), self.dataset.classes),
            f1=best.f1,
            f1_score_threshold=best.score_threshold,
            num_unreadable=len(self.unreadable),
        )


def evaluate(
    detector: Detector,
    dataset: Dataset,
    *,
    input_hw: tuple[int, int] | None = None,
    batch_size: int = 8,
    tiling: Tiling | None = None,
    bins: SizeBins | None = None,
) -> Score:
    """Measures the average precision of a detector on a data set, in float32, 100 detections an image at most.

    Args:
        detector: is put into evaluation mode meanwhile.
        dataset: ignored regions count as COCO's crowds.
        input_hw: size that images are letterboxed to; default: the detector's own.
        batch_size: images, or slices of one, at once.
        tiling: look at overlapping slices of each image.
        bins: sizes of objects to be reported beside COCO's.

    Raises:
        DataError: none of the images can be read.
    """
    findings = find(detector, dataset, input_hw=input_hw, batch_size=batch_size, tiling=tiling)
    return findings.score(findings.match(bins))


def find(
    detector: Detector,
    dataset: Dataset,
    *,
    input_hw: tuple[int, int] | None = None,
    batch_size: int = 8,
    tiling: Tiling | None = None,
    max_detections: int = MAX_DETECTIONS,
    on_images: Callable[[int], None] = lambda number: None,
) -> Findings:
    """Runs a detector on every image of a data set; see `evaluate`.

    Args:
        on_images: is told how many images are done.

    Raises:
        DataError: no image can be read.
    """
    hw = input_hw or detector.input_hw
    limits = Limits(score_threshold=EVALUATION_SCORE, max_detections=max_detections)
    found: list[Detections] = []
    unreadable: list[str] = []
    with evaluating(detector):
        for start in range(0, len(dataset), batch_size):
            images = [
                _read(dataset, index, unreadable) for index in range(start, min(start + batch_size, len(dataset)))
            ]
            readable = [image for image in images if image is not None]
            done = iter(
                detect_all(detector, readable, input_hw=hw, limits=limits, tiling=tiling, batch_size=batch_size)
            )
            found.extend(_nothing() if image is None else next(done) for image in images)
            on_images(len(found))
    if unreadable and len(unreadable) == len(dataset):
        raise DataError(
            f"none of the {len(dataset)} images can be read; the first: {unreadable[0]}; nas data check lists them"
        )
    return Findings(dataset=dataset, found=tuple(found), unreadable=tuple(unreadable))


def _read(dataset: Dataset, index: int, unreadable: list[str]) -> Image | None:
    """Returns an image, or nothing and a note where it cannot be read."""
    try:
        return dataset.image(index)
    except DataError as error:
        unreadable.append(str(error))
        return None


def _nothing() -> Detections:
    return Detections(boxes=no_boxes(), scores=np.zeros(0, np.float32), labels=no_labels())
