"""The settings of the assignment of targets, of the weights of the loss, and of distillation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from trainers.settings import check_settings, setting

_distillation: Any = partial(setting, group="Optimization", option="-")
_option: Any = partial(_distillation, minimum=0)


@dataclass(frozen=True, kw_only=True)
class AssignerOptions:
    """Which points of an anchor-free head learn an object, where PyramidNAS differs from the published rule.

    YOLOv8 as published is `min_extent` 0 and `metric_floor` 1e-9.

    Raises:
        SettingError: a value is not allowed.
    """

    min_extent: float = _option(
        2.0,
        "Smallest width and height, in cells of the finest level, of the box in which an object looks for points. "
        "0: only points strictly inside the object, as published with YOLOv8. Anchor-free head only.",
        maximum=100,
    )
    metric_floor: float = _option(
        0.0,
        "Added to the best metric of an object before its targets are divided by it: an object whose metrics are far "
        "below it is not learned. 1e-9 as published with YOLOv8. Anchor-free head only.",
        maximum=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The weights of the parts of a loss; None: that of the head.

    Raises:
        SettingError: a value is not allowed.
    """

    box_weight: float | None = _option(
        None,
        "Weight of the box parts of the loss.",
        default_words="7.5 for an anchor-free head, otherwise 1",
    )
    class_weight: float | None = _option(
        None,
        "Weight of the class part of the loss, and of the objectness of a two-stage head.",
        default_words="0.5 for an anchor-free head, otherwise 1",
    )
    distribution_weight: float | None = _option(
        None,
        "Weight of the distribution focal loss, or of the error of the distances where a side has one bin. Anchor-free "
        "head only.",
        default_words="1.5",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def given(self) -> dict[str, Any]:
        """Returns the weights that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """How an anchor-free detector learns from a teacher; without a teacher they have no meaning.

    Raises:
        SettingError: a value is not allowed.
    """

    distill_weight: float = _option(
        1.0, "Factor on the loss of distillation, whose parts have the weights of those of the labels. Needs teacher."
    )
    distill_confidence: float = _option(
        0.1,
        "Smallest score of the teacher, of any class, at a place whose scores and box are learned. Needs teacher.",
        maximum=1,
    )
    distill_temperature: float = _distillation(
        10.0,
        "Temperature at which the box distributions of teacher and detector are compared; 10 as published. Needs "
        "teacher.",
        above=0,
        maximum=1000,
    )

    def __post_init__(self) -> None:
        check_settings(self)
