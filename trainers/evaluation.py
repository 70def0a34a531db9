"""Average precision of a detector on a data set, by the COCO rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np

from search_space.errors import DataError
from trainers.curves import curve
from trainers.data.dataset import Dataset, Image, no_boxes, no_labels
from trainers.detect import AnyDetector, Detections, evaluation_mode
from trainers.heads import DetectionLimits
from trainers.matching import MAX_DETECTIONS, Matches
from trainers.precision import accuracy, match_sizes, measure, score_fields
from trainers.sizes import SizeBins
from trainers.suppression import DEFAULT_SUPPRESSION, Suppression
from trainers.tiling import Tiling, detect_all


@dataclass(frozen=True, kw_only=True)
class Score:
    """Average precision as fractions of 1, averaged over classes; nan if the data has no such objects.

    Sizes are the COCO sizes by box area in the original image: small below 32x32 px, large from 96x96 px.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55 .. 0.95."""
    ap50: float
    ap75: float = nan
    ap_small: float = nan
    ap_medium: float = nan
    ap_large: float = nan
    recall: float = nan
    """Share of the objects that are detected at any score, mean over the same thresholds; the COCO AR at 100."""
    f1: float = nan
    """Highest F1 at IoU 0.5, over the detections of all classes together."""
    f1_score_threshold: float = nan
    """The score threshold with this F1."""
    num_images: int = 0
    num_objects: int = 0
    num_unreadable: int = 0
    """Number of unreadable images; they count as images without detections."""
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    """By class name: `ap`, `ap50`, `ap75`, `ap_small`, `recall`, `num_objects`."""
    bins: dict[str, dict[str, float]] = field(default_factory=dict)
    """By name of an additional size bin: `low_px`, `high_px`, `ap`, `ap50`, `ap75`, `num_objects`."""

    @property
    def accuracy(self) -> float:
        """What a search maximizes: the mean of AP of small objects and AP50; AP50 alone without small objects."""
        return accuracy(self.ap_small, self.ap50, has_small=not isnan(self.ap_small))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data; nan is kept."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetDetections:
    """The detections in all images of a data set."""

    dataset: Dataset
    found: tuple[Detections, ...]
    """One entry per image."""
    unreadable: tuple[str, ...] = ()
    """Error messages of the unreadable images."""
    max_detections: int = MAX_DETECTIONS
    """The limit per image; above 100 it replaces COCO's limit of 100 per class and image."""

    def match(self, bins: SizeBins | None = None) -> Matches:
        """Matches the detections with the objects of the data set, for the COCO sizes and those of `bins`."""
        found = [(each.boxes, each.scores, each.labels) for each in self.found]
        most = max(MAX_DETECTIONS, self.max_detections)
        return match_sizes(self.dataset.records, found, self.dataset.classes, bins, max_detections=most)

    def score(self, matches: Matches) -> Score:
        """Returns the score of these matches."""
        best = curve(matches).best_f1()
        return Score(
            **score_fields(measure(matches), self.dataset.classes),
            f1=best.f1,
            f1_score_threshold=best.score_threshold,
            num_unreadable=len(self.unreadable),
        )


def evaluate(
    detector: AnyDetector,
    dataset: Dataset,
    *,
    input_hw: tuple[int, int] | None = None,
    batch_size: int = 8,
    tiling: Tiling | None = None,
    bins: SizeBins | None = None,
    suppression: Suppression = DEFAULT_SUPPRESSION,
) -> Score:
    """Measures the average precision of a detector on a data set, in float32.

    Args:
        detector: a network, which runs in evaluation mode and whose mode is restored, or an exported file.
        dataset: ignored regions are treated like crowds in COCO.
        input_hw: size that images are scaled to; default: the detector's own.
        batch_size: images, or slices of an image, per batch.
        tiling: run on overlapping slices of each image; None: on its tiles by the architecture of the detector.
        bins: object sizes to report in addition to those of COCO.
        suppression: which detections count; by default the 100 best per image.

    Raises:
        DataError: none of the images can be read.
    """
    detections = detect_dataset(
        detector, dataset, input_hw=input_hw, batch_size=batch_size, tiling=tiling, suppression=suppression
    )
    return detections.score(detections.match(bins))


def detect_dataset(
    detector: AnyDetector,
    dataset: Dataset,
    *,
    input_hw: tuple[int, int] | None = None,
    batch_size: int = 8,
    tiling: Tiling | None = None,
    suppression: Suppression = DEFAULT_SUPPRESSION,
    on_images: Callable[[int], None] = lambda number: None,
) -> DatasetDetections:
    """Runs a detector on every image of a data set; see `evaluate`.

    Args:
        suppression: which detections count.
        on_images: is called with the number of images that are done.

    Raises:
        DataError: no image can be read.
    """
    hw = input_hw or detector.input_hw
    limits = DetectionLimits(
        score_threshold=suppression.score,
        candidate_score=suppression.candidate_score,
        iou_threshold=suppression.iou,
        max_detections=suppression.max_detections,
        soft_nms=suppression.soft_nms,
        max_per_class=suppression.max_per_class,
        agnostic=suppression.agnostic,
    )
    found: list[Detections] = []
    unreadable: list[str] = []
    with evaluation_mode(detector):
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
            f"none of the {len(dataset)} images can be read; first error: {unreadable[0]}; run nas data check for all"
        )
    return DatasetDetections(
        dataset=dataset,
        found=tuple(found),
        unreadable=tuple(unreadable),
        max_detections=suppression.max_detections,
    )


def _read(dataset: Dataset, index: int, unreadable: list[str]) -> Image | None:
    """Returns an image, or None after recording the error if it cannot be read."""
    try:
        return dataset.image(index)
    except DataError as error:
        unreadable.append(str(error))
        return None


def _nothing() -> Detections:
    return Detections(boxes=no_boxes(), scores=np.zeros(0, np.float32), labels=no_labels())
