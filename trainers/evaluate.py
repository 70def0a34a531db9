"""What a detector finds, and how right it is: detections, and average precision by the COCO rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_space import Detector
from search_space.heads.nms import suppress
from trainers.boxes import AnchorGrid, decode_boxes, flatten_maps, grid_of
from trainers.data.augment import Letterbox
from trainers.data.dataset import Boxes, Dataset, Image, Labels
from trainers.precision import average_precision

NUM_CANDIDATES = 1000
EVALUATION_SCORE = 0.001


@dataclass(frozen=True, kw_only=True)
class Score:
    """Average precision as fractions of 1, averaged over classes; nan where the data has no such objects.

    Sizes are those of COCO, by the area of the box: small under 32x32 px, large from 96x96 px of the original image.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55 .. 0.95."""
    ap50: float
    ap_small: float = nan
    ap_medium: float = nan
    ap_large: float = nan
    num_images: int = 0
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    """By class name: `ap` and `ap50`."""

    @property
    def accuracy(self) -> float:
        """What a search maximises: the mean of AP of small objects and AP50; AP50 alone without small objects."""
        return self.ap50 if isnan(self.ap_small) else 0.5 * self.ap_small + 0.5 * self.ap50

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data; nan stays nan."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What was found in one image, best first."""

    boxes: Boxes
    """`(N, 4)` in pixels of the original image."""
    scores: np.ndarray
    """`(N,)` in 0..1."""
    labels: Labels
    """`(N,)` class indices."""

    def __len__(self) -> int:
        return len(self.boxes)


def evaluate(
    detector: Detector, dataset: Dataset, *, input_hw: tuple[int, int] | None = None, batch_size: int = 8
) -> Score:
    """Measures the average precision of a detector on a data set, in float32, 100 detections an image at most.

    Args:
        detector: is put into evaluation mode meanwhile.
        dataset: ignored regions count as COCO's crowds.
        input_hw: size that images are letterboxed to; default: the detector's own.
    """
    found: list[Detections] = []
    hw = input_hw or detector.input_hw
    with evaluating(detector):
        for start in range(0, len(dataset), batch_size):
            images = [dataset.image(index) for index in range(start, min(start + batch_size, len(dataset)))]
            found.extend(detect(detector, images, input_hw=hw, score_threshold=EVALUATION_SCORE, max_detections=100))
    return Score(
        **average_precision(
            dataset.records, [(each.boxes, each.scores, each.labels) for each in found], dataset.classes
        )
    )


def predict(
    detector: Detector,
    image: Image,
    *,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.6,
    max_detections: int = 300,
) -> Detections:
    """Finds the objects of one image.

    Args:
        detector: is put into evaluation mode meanwhile.
        image: `(H, W, 3)` uint8 RGB of any size.
        score_threshold: what scores less is left out.
        iou_threshold: two boxes of a class that overlap more are one object.
    """
    with evaluating(detector):
        return detect(
            detector,
            [image],
            input_hw=detector.input_hw,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            one_class=True,
        )[0]


@contextmanager
def evaluating(detector: Detector) -> Iterator[None]:
    """Puts a detector into evaluation mode without gradients, and back into its mode afterwards."""
    training = detector.training
    detector.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        detector.train(training)


def detect(
    detector: Detector,
    images: list[Image],
    *,
    input_hw: tuple[int, int],
    score_threshold: float,
    iou_threshold: float = 0.6,
    max_detections: int = 100,
    one_class: bool = False,
) -> list[Detections]:
    """Runs a detector that is in evaluation mode on images of any sizes; see `predict` for the thresholds.

    Args:
        one_class: each anchor point reports its best class only; otherwise every class above the threshold.
    """
    fits = [Letterbox.fit((image.shape[0], image.shape[1]), input_hw) for image in images]
    stack = np.stack([fit.apply(image) for fit, image in zip(fits, images, strict=True)])
    device = next(detector.parameters()).device
    inputs = torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).float().div_(255)
    maps = detector(inputs)
    grid, table = grid_of(maps, detector.strides), flatten_maps(maps).float()
    found = []
    for rows, fit, image in zip(table, fits, images, strict=True):
        boxes, scores, labels = _candidates(rows, grid, detector.reg_max, score_threshold, one_class)
        keep = suppress(boxes, scores, labels, iou_threshold=iou_threshold)[:max_detections]
        original = fit.to_image(boxes[keep].cpu().numpy())
        limits = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        found.append(
            Detections(
                boxes=original.clip(0, limits), scores=scores[keep].cpu().numpy(), labels=labels[keep].cpu().numpy()
            )
        )
    return found


def _candidates(
    rows: Tensor, grid: AnchorGrid, reg_max: int, score_threshold: float, one_class: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns boxes, scores and labels of the best (anchor point, class) pairs of one image's `(A, C)` table."""
    logits = rows[:, 4 * reg_max :]
    if one_class:
        logits = logits.masked_fill(logits < logits.amax(dim=1, keepdim=True), -torch.inf)
    best, index = logits.flatten().topk(min(NUM_CANDIDATES, logits.numel()))
    scores = best.sigmoid()
    index, scores = index[scores >= score_threshold], scores[scores >= score_threshold]
    point, labels = index // logits.shape[1], index % logits.shape[1]
    boxes = decode_boxes(rows[point, : 4 * reg_max], grid.points[point], grid.point_strides[point], reg_max)
    return boxes, scores, labels
