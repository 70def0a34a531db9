"""The settings of which detections an evaluation counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from trainers.settings import check_settings, read_settings, setting

NMS_IOU = 0.6
"""The IoU threshold of NMS where none is given."""
_option: Any = partial(setting, group="Evaluation", option="-")


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Which detections an evaluation counts, where a recipe differs from the default.

    Raises:
        SettingError: a value is not allowed.
    """

    iou: float | None = _option(
        None,
        "Maximum IoU of two boxes of a class. Not used by a head of the assignment dual, which needs no suppression.",
        minimum=0,
        maximum=1,
        default_words=f"{NMS_IOU:g}",
    )
    soft_nms: bool = _option(
        False,
        "Lower the scores of boxes that overlap more instead of dropping them; always so for a two-stage head.",
    )
    agnostic: bool = _option(False, "Boxes of different classes suppress each other, too.")
    candidate_score: float | None = _option(
        None, "Lowest score of a box before suppression.", minimum=0, maximum=1, default_words="score"
    )
    score: float = _option(0.001, "Lowest score that counts.", minimum=0, maximum=1)
    max_detections: int = _option(100, "Maximum number of detections per image.", minimum=1)
    max_per_class: int | None = _option(
        None, "Maximum number of detections per image and class.", minimum=1, default_words="no limit"
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def for_head(self, *, one_to_one: bool) -> Suppression:
        """Returns the same without suppression for a head that needs none."""
        return replace(self, iou=None, soft_nms=False) if one_to_one else self

    def changes(self) -> dict[str, Any]:
        """Returns the values that differ from the defaults, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(DEFAULT_SUPPRESSION, name)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Suppression:
        """Returns the suppression with these values, and the defaults of the others.

        Raises:
            SettingError: a name is unknown, or a value is of the wrong type or out of bounds.
        """
        return read_settings(cls, data)


DEFAULT_SUPPRESSION = Suppression()
