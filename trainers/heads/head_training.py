"""The interface of heads for training and detection, and the registry of its implementations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from search_space import Detector
from search_space.errors import ConfigError
from search_space.registry import Registry
from trainers.assigners import Objects
from trainers.heads.distillation import SoftTargets
from trainers.loss_settings import AssignerOptions, DistillationOptions, LossWeights
from trainers.losses import Loss
from trainers.suppression import NMS_IOU

DetectionTensors: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Boxes `(N, 4)` in input pixels, scores `(N,)` in 0..1 and class indices `(N,)` of one image, best first."""


@dataclass(frozen=True, kw_only=True)
class DetectionLimits:
    """Which detections are reported."""

    score_threshold: float = 0.25
    candidate_score: float | None = None
    """Lowest score of a box before suppression; None: only `score_threshold` counts. Soft-NMS lowers scores, so with it
    the two differ."""
    iou_threshold: float | None = None
    """IoU threshold of NMS within a class; a two-stage head uses soft-NMS, which lowers the score of the worse box.
    None: `NMS_IOU`, and no NMS for a one-to-one head."""
    max_detections: int = 300
    """Per image."""
    one_class: bool = False
    """Report only the best class of each box; otherwise every class above the threshold."""
    soft_nms: bool = False
    """Linear soft-NMS instead of NMS, as in a two-stage head, which always uses it: the scores of boxes that overlap a
    better box of their class are lowered."""
    max_per_class: int | None = None
    """Per image and class; None: no limit."""
    agnostic: bool = False
    """Boxes of different classes suppress each other, too."""

    @property
    def asks_for_nms(self) -> bool:
        """Whether boxes are suppressed also where the head needs it not."""
        return self.iou_threshold is not None or self.soft_nms or self.agnostic

    @property
    def lowest_candidate(self) -> float:
        """The lowest score of a box before suppression."""
        return max(self.score_threshold, self.candidate_score or 0.0)

    @property
    def nms_iou(self) -> float:
        """The IoU threshold of a head that needs NMS, and of boxes from several tiles."""
        return NMS_IOU if self.iou_threshold is None else self.iou_threshold


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """User options of the training of a head."""

    nwd: float = 0.0
    """Weight, 0 to 1, of the normalized Wasserstein distance in box comparisons of the training; the rest is the
    complete IoU. It helps objects of a few pixels, whose IoU falls to 0 when the prediction is off by their size.
    Only the anchor-free head uses it."""
    assigner: AssignerOptions = AssignerOptions()
    """Only the anchor-free head uses it."""
    loss: LossWeights = LossWeights()
    distillation: DistillationOptions = DistillationOptions()
    """Only the anchor-free head uses it, and only with a teacher."""

    def __post_init__(self) -> None:
        if not 0 <= self.nwd <= 1:
            raise ConfigError(f"nwd is {self.nwd}; it must be in 0 .. 1; 0 uses only the complete IoU")


class HeadTraining(Protocol):
    """Loss and decoding for detectors with one kind of head.

    A class can name in `uses`, a collection, the options that it accepts, such as `nwd` or `box_weight`; any other
    option must have its default.
    """

    def loss(self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Runs the detector, in training mode, on images `(B, 3, H, W)` RGB 0..1; returns the loss in float32.

        Args:
            detector: the one that this was made for, not wrapped: a head may run its parts by name.
            images: of any floating type; the caller decides on autocast, the loss is computed in float32.
            objects: the ground truth.
            ignored: regions that do not count as background.
        """

    def read(
        self, outputs: Sequence[Tensor], limits: DetectionLimits, input_hw: tuple[int, int] | None = None
    ) -> list[DetectionTensors]:
        """Returns the detections of each image of a batch from the outputs of a detector in evaluation mode.

        Args:
            outputs: of the detector: maps `(B, C, H, W)` as defined by the kind of head.
            limits: which detections are reported.
            input_hw: height and width of the input in px; None: the input size of the detector.
        """

    def table(self, outputs: Sequence[Tensor], input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns every box `(B, N, 4)` as x1, y1, x2, y2 px and its scores `(B, N, num_classes)` in 0..1.

        There is no threshold and no suppression; the shapes depend only on the shapes of `outputs`.
        """

    def described(self, outputs: Sequence[Tensor]) -> dict[str, object]:
        """Returns the constants that are needed to decode the raw outputs without this package, as plain data.

        Outputs are maps `(B, C, H, W)`.
        """


@runtime_checkable
class UsesProgress(Protocol):
    """A `HeadTraining` whose loss changes in the course of a training."""

    def set_progress(self, progress: float) -> None:
        """Is called before each step with the share of the training that is done: 0 at the first, 1 at the last one."""


@runtime_checkable
class LearnsFromTeacher(Protocol):
    """A `HeadTraining` whose detectors can learn from another detector."""

    def distilled_loss(
        self,
        detector: torch.nn.Module,
        images: Tensor,
        objects: Objects,
        ignored: Objects,
        targets: SoftTargets,
    ) -> Loss:
        """Returns the loss of images `(B, 3, H, W)` with the parts of the difference from `targets`."""


HEAD_TRAINING: Registry[Callable[[Detector, HeadOptions], HeadTraining]] = Registry("trainable head")


def check_trainable(head: str) -> None:
    """Raises ConfigError if detectors with this kind of head cannot be trained."""
    if head not in HEAD_TRAINING:
        raise ConfigError(
            f"a head of kind {head!r} has no training; allowed: "
            f"{', '.join(HEAD_TRAINING)}; change head: kind in the architecture file"
        )


DEFAULTS = HeadOptions()


def head_training(detector: Detector, options: HeadOptions = DEFAULTS) -> HeadTraining:
    """Returns the loss and decoding of the head of a detector.

    Raises:
        ConfigError: the kind of head cannot be trained, or does not support one of the options.
    """
    check_trainable(detector.head)
    for name, value, default in _changed(options, DEFAULTS):
        if name not in _uses(detector.head):
            users = " or ".join(repr(head) for head in HEAD_TRAINING if name in _uses(head))
            advice = "omit it" if default is None else f"set it to {default:g}"
            raise ConfigError(
                f"{name} is {value}, but only a head of kind {users} uses it, not {detector.head!r}; {advice}"
            )
    return HEAD_TRAINING.get(detector.head)(detector, options)


def _uses(head: str) -> Collection[str]:
    found: Collection[str] = getattr(HEAD_TRAINING.get(head), "uses", ())
    return found


def _changed(options: Any, defaults: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields name, value and default of each option that differs from its default."""
    for each in fields(options):
        value, default = getattr(options, each.name), getattr(defaults, each.name)
        if is_dataclass(value):
            yield from _changed(value, default)
        elif value != default:
            yield each.name, value, default
