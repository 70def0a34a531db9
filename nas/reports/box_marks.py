"""Detections sorted into found, missed and wrong, and how each of them is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nas.box_drawing import Color, DrawnBox, LineStyle
from results.visible import visible
from trainers.curves import curve
from trainers.evaluation import DatasetDetections
from trainers.matching import Flags, Floats, Integers, Matches

IOU = 0.5
"""From which a detection and an object of the same class belong together."""
FALLBACK_SCORE = 0.25
"""The score threshold of a detector none of whose detections is right, because no threshold is the best then."""


@dataclass(frozen=True, kw_only=True)
class BoxMark:
    """How one kind of box is drawn; colour, line and sign all tell it from the others."""

    title: str
    color: Color
    line: LineStyle
    sign: str
    """Before the name of the class; empty: neither is written."""

    @property
    def hex(self) -> str:
        """The colour for HTML."""
        return "#" + "".join(f"{value:02x}" for value in self.color)


FOUND = BoxMark(title="found", color=(0, 200, 140), line=LineStyle.SOLID, sign="")
MISSED = BoxMark(title="missed", color=(250, 225, 50), line=LineStyle.DASHED, sign="-")
WRONG = BoxMark(title="wrong", color=(255, 125, 70), line=LineStyle.DOTTED, sign="x")
MARKS = (FOUND, MISSED, WRONG)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledBoxes:
    """Boxes of one kind in one image."""

    mark: BoxMark
    corners: Floats
    """`(N, 4)` as x1, y1, x2, y2 in pixels of the image."""
    labels: Integers
    """`(N,)`: classes."""

    def __len__(self) -> int:
        return len(self.corners)

    def drawn(self, classes: Sequence[str]) -> list[DrawnBox]:
        """Returns the boxes as they are drawn."""
        return [
            DrawnBox(
                corners=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                color=self.mark.color,
                line=self.mark.line,
                text=f"{self.mark.sign} {visible(classes[label])}" if self.mark.sign else "",
            )
            for box, label in zip(self.corners, self.labels, strict=True)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkedImages:
    """What a detector does in each image of a data set at one score threshold."""

    score_threshold: float
    is_best: bool
    """Whether it is the threshold with the best F1 on these images; else no detection is right at any."""
    images: tuple[Mapping[str, LabelledBoxes], ...]
    """The boxes of each image by the title of their mark."""


def mark_boxes(detections: DatasetDetections) -> MarkedImages:
    """Sorts detections and objects by the COCO rules at `IOU`, at the score threshold with the best F1.

    Detections in ignored regions are neither found nor wrong.
    """
    matches = detections.match()
    best = curve(matches, iou=IOU).best_f1().score_threshold
    threshold = FALLBACK_SCORE if math.isnan(best) else best
    at = matches.at_iou(IOU)
    shown = matches.scores >= threshold
    right = matches.right[0, at] & shown
    wrong = matches.counted[0, at] & ~matches.right[0, at] & shown
    missed = np.ones(len(matches.object_labels), bool)
    missed[matches.objects[at][right]] = False
    return MarkedImages(
        score_threshold=threshold,
        is_best=not math.isnan(best),
        images=tuple(
            MappingProxyType(
                {
                    FOUND.title: _of_detections(matches, right & (matches.images == image), FOUND),
                    MISSED.title: _of_objects(matches, missed & (matches.object_images == image)),
                    WRONG.title: _of_detections(matches, wrong & (matches.images == image), WRONG),
                }
            )
            for image in range(matches.num_images)
        ),
    )


def _of_detections(matches: Matches, chosen: Flags, mark: BoxMark) -> LabelledBoxes:
    return LabelledBoxes(mark=mark, corners=matches.corners[chosen], labels=matches.labels[chosen])


def _of_objects(matches: Matches, chosen: Flags) -> LabelledBoxes:
    return LabelledBoxes(mark=MISSED, corners=matches.object_corners[chosen], labels=matches.object_labels[chosen])
