"""What training and detection need to know of a kind of head; each kind is registered from a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from search_space import Detector
from search_space.errors import ConfigError
from search_space.registry import Registry
from trainers.assigners import Objects
from trainers.losses import Loss

DetectionTensors: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Boxes `(N, 4)` in pixels of the input, scores `(N,)` in 0..1 and class indices `(N,)` of one image, best first."""


@dataclass(frozen=True, kw_only=True)
class DetectionLimits:
    """What of a detector's output is reported."""

    score_threshold: float = 0.25
    iou_threshold: float = 0.6
    """Two boxes of a class that overlap more are one object; with a two-stage head the worse one loses score."""
    max_detections: int = 300
    """Of an image."""
    one_class: bool = False
    """Each place reports its best class only; otherwise every class above the threshold."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What of a head's training a user may choose."""

    nwd: float = 0.0
    """Share, 0 to 1, of the normalised Wasserstein distance where boxes are compared in training: the rest is the
    complete IoU. It helps objects of a few pixels, whose IoU falls to 0 when they are missed by their own size. Only
    the anchor-free head uses it."""

    def __post_init__(self) -> None:
        if not 0 <= self.nwd <= 1:
            raise ConfigError(f"nwd is {self.nwd}; it must be in 0 .. 1; 0 trains with the complete IoU alone")


class HeadTraining(Protocol):
    """How detectors with one kind of head learn, and how their output is read.

    A class whose `uses_nwd` is true gets options with that share; for all others a share above 0 is refused.
    """

    def loss(self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Runs the detector, in training mode, on images `(B, 3, H, W)` RGB 0..1; returns the loss in float32.

        Args:
            detector: the one that this was made for, itself and not in a wrapper: a head may run its parts by name.
            images: of any floating type; the caller decides on autocast, the loss itself is float32.
            objects: what is to be found.
            ignored: regions in which finding or not finding something costs nothing.
        """

    def read(
        self, outputs: Sequence[Tensor], limits: DetectionLimits, input_hw: tuple[int, int] | None = None
    ) -> list[DetectionTensors]:
        """Returns what each image of a batch holds, from the outputs of a detector in evaluation mode.

        Args:
            outputs: of the detector: maps `(B, C, H, W)`, as the kind of head gives them.
            limits: what is reported.
            input_hw: height and width in px of the input that gave the outputs; None: the detector's own.
        """

    def table(self, outputs: Sequence[Tensor], input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns every box `(B, N, 4)` as x1, y1, x2, y2 px and its scores `(B, N, num_classes)` in 0..1.

        Nothing is left out or suppressed, and the shapes depend on the shapes of `outputs` alone.
        """

    def described(self, outputs: Sequence[Tensor]) -> dict[str, object]:
        """Returns what it takes to read the raw outputs, as `read` takes them, without this package.

        The result is plain data; outputs are maps `(B, C, H, W)`.
        """


HEAD_TRAINING: Registry[Callable[[Detector, HeadOptions], HeadTraining]] = Registry("trainable head")


def check_trainable(head: str) -> None:
    """Raises ConfigError where detectors with this kind of head cannot be trained."""
    if head not in HEAD_TRAINING:
        raise ConfigError(
            f"a head of kind {head!r} can be built and counted, but not trained yet; allowed: "
            f"{', '.join(HEAD_TRAINING)}; change head: kind in the architecture file"
        )


DEFAULTS = HeadOptions()


def head_training(detector: Detector, options: HeadOptions = DEFAULTS) -> HeadTraining:
    """Returns how a detector learns and how its output is read.

    Raises:
        ConfigError: the kind of head cannot be trained, or has no use for one of the options.
    """
    check_trainable(detector.head)
    make = HEAD_TRAINING.get(detector.head)
    if options.nwd and not _uses_nwd(detector.head):
        users = " or ".join(repr(head) for head in HEAD_TRAINING if _uses_nwd(head))
        raise ConfigError(
            f"nwd is {options.nwd}, but only a head of kind {users} uses it, not {detector.head!r}; set it to 0"
        )
    return make(detector, options)


def _uses_nwd(head: str) -> bool:
    return bool(getattr(HEAD_TRAINING.get(head), "uses_nwd", False))
