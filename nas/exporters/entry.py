"""One architecture to export, with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from results.trial import Trial
from search_space import Architecture, Detector
from trainers import fresh_detector
from trainers.data.pixel_range import PixelRange
from trainers.weights import Weights


@dataclass(frozen=True, kw_only=True)
class ExportEntry:
    """An architecture to export and what is known about it."""

    name: str
    architecture: Architecture
    classes: tuple[str, ...]
    weights: Weights | None = None
    trial: Trial | None = None
    """The trial of an architecture of a run."""
    origin: str = ""
    """Where the architecture comes from, as a sentence without a period."""
    seed: int = 0
    """Seed of the initial weights, if the detector was not trained."""
    data: str = ""
    """Command-line options that name its data set, each after a space."""

    @property
    def pixel_range(self) -> PixelRange | None:
        """The values that become 0 and 255 in images of more than 8 bits; None if it was trained on 8-bit images."""
        return None if self.weights is None else self.weights.pixel_range

    def detector(self) -> Detector:
        """Returns the trained detector, or one with initial weights."""
        if self.weights is not None:
            return self.weights.detector()
        return fresh_detector(self.architecture, num_classes=len(self.classes), seed=self.seed).eval()
