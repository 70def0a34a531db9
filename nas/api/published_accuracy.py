"""The accuracy that a paper publishes for a design, beside that of its weights on the caller's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.evaluate import EvaluationResult, evaluate
from nas.api.trained_detector import WeightsLike, load_detector
from search_space.errors import ConfigError, shortened

if TYPE_CHECKING:
    from nas.api.result import OnNotice, OnProgress
    from search_space import Design

METRICS = {
    "map50": "ap50",
    "map": "ap",
    "ap50": "ap50",
    "ap": "ap",
    "ap_small": "ap_small",
    "ap_medium": "ap_medium",
    "ap_large": "ap_large",
}
"""Score of an evaluation by the last words of a figure's name."""
NUM_COCO_CLASSES = 80
DETECTIONS = {"anchor_free": 300}
"""Detections per image that the papers allow, by kind of head; otherwise the 100 of COCO's rule."""


@dataclass(frozen=True, kw_only=True)
class MeasuredAccuracy:
    """How the accuracy of a design's weights was measured."""

    weights: Path
    data: str
    num_images: int
    max_detections: int
    values: Mapping[str, float]
    """In percent, by the name of the published figure."""


def measure_accuracy(
    design: Design,
    weights: WeightsLike,
    *,
    data: Mapping[str, Any],
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> MeasuredAccuracy:
    """Evaluates published weights of a design on the validation images of a data set.

    Args:
        design: the design that the weights belong to.
        weights: its weights, in a file of this program or as its authors published it.
        data: `data`, `format`, `images` and `split` of `nas.evaluate`.
        on_notice: is called with lines on the weights and the data.
        on_progress: is called after each batch.

    Raises:
        UserError: the weights are not those of the design, the data cannot be used, or no accuracy is published for it.
    """
    loaded = load_detector(weights, design.architecture)
    if loaded.architecture.resized(design.architecture.input_hw) != design.architecture:
        raise ConfigError(f"{loaded.weights} are not weights of {design.name}; give those of this design")
    most = DETECTIONS.get(design.architecture.head.kind, 100)
    result = evaluate(
        loaded,
        **data,
        input_hw=design.architecture.input_hw,
        max_detections=most,
        bootstrap=0,
        on_notice=on_notice,
        on_progress=on_progress,
    )
    values = _values(design, result)
    if not values:
        raise ConfigError(
            f"no accuracy of {design.name} is published for the classes of {result.data}: {shortened(loaded.classes)}; "
            "next: nas val measures it"
        )
    return MeasuredAccuracy(
        weights=loaded.weights,
        data=str(data["data"]),
        num_images=result.score.num_images,
        max_detections=most,
        values=values,
    )


def _values(design: Design, result: EvaluationResult) -> dict[str, float]:
    """Returns the measured value of each published figure that is for the classes and the part of the data."""
    values = {}
    for name in design.published:
        data_set, _, rest = name.partition("_")
        metric = METRICS.get(rest.removeprefix("val_"))
        if metric is not None and data_set == _data_set(tuple(result.score.per_class)):
            values[name] = 100 * float(getattr(result.score, metric))
    return values


def _data_set(classes: tuple[str, ...]) -> str | None:
    """Returns the first word of the figures for a data set with these classes, if any are published."""
    from trainers.data.visdrone import CLASSES as VISDRONE

    if classes == VISDRONE:
        return "visdrone"
    if len(classes) <= 2 and all("person" in name for name in classes):
        return "tinyperson"
    return "coco" if len(classes) == NUM_COCO_CLASSES else None
