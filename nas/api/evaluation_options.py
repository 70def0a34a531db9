"""How a detector is evaluated: what a caller gives, and the limits of detections that its weights state."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from nas.api.bounds import check_at_least, check_fraction
from nas.api.exported_detector import RunnableDetector
from search_space.errors import ConfigError, check_known
from trainers.settings import format_value
from trainers.suppression import Suppression

IGNORED = ("ignore", "drop")
"""What happens to ignored regions."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How a detector is evaluated; see `evaluate`."""

    part: str
    bins: str | None
    bootstrap: int
    seed: int
    curves: Path | None
    input_hw: tuple[int, int] | None
    max_detections: int | None
    iou: float | None
    soft_nms: bool | None
    agnostic: bool | None
    candidate_score: float | None
    score: float | None
    max_per_class: int | None
    ignored: str
    batch: int
    device: str

    def __post_init__(self) -> None:
        from trainers.data.splits import PARTS
        from trainers.sizes import size_bins

        check_known("part", self.part, PARTS, ConfigError)
        check_known("--ignored", self.ignored, IGNORED, ConfigError)
        for option, value, least in (
            ("--bootstrap", self.bootstrap, 0),
            ("--seed", self.seed, 0),
            ("--max-detections", self.max_detections, 1),
            ("--max-per-class", self.max_per_class, 1),
            ("--batch", self.batch, 1),
        ):
            check_at_least(option, value, least)
        check_fraction("--iou", self.iou)
        check_fraction("--score", self.score)
        check_fraction("--candidate-score", self.candidate_score)
        if self.bins is not None and not self.bins.startswith("quantiles"):
            size_bins(self.bins, ())  # fails before the data is read

    def suppression_of(self, loaded: RunnableDetector) -> Suppression:
        """Returns which detections count: what is given, and for the rest as in the training of the weights."""
        given = {each.name: getattr(self, each.name) for each in fields(Suppression)}
        return replace(loaded.suppression, **{name: value for name, value in given.items() if value is not None})


def suppression_note(loaded: RunnableDetector) -> str | None:
    """Returns which limits of the detections are those of the training; None where these are the usual ones."""
    changes = loaded.suppression.changes()
    if not changes:
        return None
    words = {name.replace("_", "-"): value for name, value in changes.items()}
    values = ", ".join(name if value is True else f"{name} {format_value(value)}" for name, value in words.items())
    return f"note: the training of the weights counts detections with {values}; options override it"
