"""Detection in images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from search_space import Detector
from trainers.data.augment import ImageFit
from trainers.data.dataset import Boxes, Image, Labels
from trainers.heads import DetectionLimits, head_training


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """The detections in one image, best first."""

    boxes: Boxes
    """`(N, 4)` in pixels of the original image."""
    scores: np.ndarray
    """`(N,)` in 0..1."""
    labels: Labels
    """`(N,)` class indices."""

    def __len__(self) -> int:
        return len(self.boxes)


def predict(
    detector: Detector,
    image: Image,
    *,
    score_threshold: float = 0.25,
    iou_threshold: float | None = None,
    max_detections: int = 300,
) -> Detections:
    """Detects the objects in one image.

    Args:
        detector: runs in evaluation mode; its mode is restored.
        image: `(H, W, 3)` uint8 RGB of any size.
        score_threshold: lowest score that is reported.
        iou_threshold: of NMS within a class; None: 0.6, and no NMS for a one-to-one head.
    """
    limits = DetectionLimits(
        score_threshold=score_threshold, iou_threshold=iou_threshold, max_detections=max_detections, one_class=True
    )
    with evaluation_mode(detector):
        return detect(detector, [image], input_hw=detector.input_hw, limits=limits)[0]


@contextmanager
def evaluation_mode(detector: Detector) -> Iterator[None]:
    """Puts a detector into evaluation mode without gradients, and restores its mode afterwards."""
    training = detector.training
    detector.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        detector.train(training)


def detect(
    detector: Detector, images: Sequence[Image], *, input_hw: tuple[int, int], limits: DetectionLimits
) -> list[Detections]:
    """Runs a detector that is in evaluation mode on images of any sizes, fitted as its input format says."""
    how = detector.input_format.fit
    fits = [ImageFit.of((image.shape[0], image.shape[1]), input_hw, how) for image in images]
    stack = np.stack([fit.apply(image) for fit, image in zip(fits, images, strict=True)])
    device = next(detector.parameters()).device
    inputs = torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).float().div_(255)
    found = head_training(detector).read(detector(inputs), limits, input_hw)
    return [_in_image(*each, fit, image) for each, fit, image in zip(found, fits, images, strict=True)]


def _in_image(boxes: Tensor, scores: Tensor, labels: Tensor, fit: ImageFit, image: Image) -> Detections:
    """Maps detections from the input to the original image and clips them."""
    corner = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    original = fit.to_image(boxes.cpu().numpy()).clip(0, corner)
    return Detections(boxes=original, scores=scores.cpu().numpy(), labels=labels.cpu().numpy())
