"""Detection in images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from search_space import Detector, TileGrid
from trainers.data.augment import ImageFit
from trainers.data.dataset import Boxes, Image, Labels
from trainers.heads import DetectionLimits, DetectionTensors, head_training


class InferenceDetector(Protocol):
    """What detects objects in inputs: a network of PyTorch, or an exported file in another runtime."""

    @property
    def input_hw(self) -> tuple[int, int]:
        """Input size `(H, W)` in pixels."""
        ...

    @property
    def fit(self) -> str:
        """How an image becomes the input, the `fit` of an input format."""
        ...

    @property
    def tiles(self) -> TileGrid:
        """How an image is cut into inputs."""
        ...

    def find(self, inputs: NDArray[np.uint8], limits: DetectionLimits) -> list[DetectionTensors]:
        """Returns the detections in each of the inputs `(B, H, W, 3)` RGB; boxes are in pixels of the input."""
        ...


AnyDetector: TypeAlias = "Detector | InferenceDetector"


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


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchDetector:
    """A network that is in evaluation mode, as an `InferenceDetector`."""

    network: Detector
    input_hw: tuple[int, int]

    @property
    def fit(self) -> str:
        """How an image becomes the input."""
        return self.network.input_format.fit

    def find(self, inputs: NDArray[np.uint8], limits: DetectionLimits) -> list[DetectionTensors]:
        """Returns the detections in each of the inputs `(B, H, W, 3)` RGB; boxes are in pixels of the input."""
        device = next(self.network.parameters()).device
        images = torch.from_numpy(inputs).to(device).permute(0, 3, 1, 2).float().div_(255)
        return head_training(self.network).read(self.network(images), limits, self.input_hw)


@contextmanager
def evaluation_mode(detector: AnyDetector) -> Iterator[None]:
    """Puts a network into evaluation mode without gradients, and restores its mode afterwards.

    A detector of another runtime has no modes and is left as it is.
    """
    if not isinstance(detector, nn.Module):
        yield
        return
    training = detector.training
    detector.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        detector.train(training)


def detect(
    detector: AnyDetector, images: Sequence[Image], *, input_hw: tuple[int, int], limits: DetectionLimits
) -> list[Detections]:
    """Runs a detector that is in evaluation mode on images of any sizes, fitted as its input format says."""
    runner = TorchDetector(network=detector, input_hw=input_hw) if isinstance(detector, nn.Module) else detector
    fits = [ImageFit.of((image.shape[0], image.shape[1]), input_hw, runner.fit) for image in images]
    stack = np.stack([fit.apply(image) for fit, image in zip(fits, images, strict=True)])
    found = runner.find(stack, limits)
    return [_in_image(*each, fit, image) for each, fit, image in zip(found, fits, images, strict=True)]


def _in_image(boxes: Tensor, scores: Tensor, labels: Tensor, fit: ImageFit, image: Image) -> Detections:
    """Maps detections from the input to the original image and clips them."""
    corner = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    original = fit.to_image(boxes.cpu().numpy()).clip(0, corner)
    return Detections(boxes=original, scores=scores.cpu().numpy(), labels=labels.cpu().numpy())
