"""Check boxes from annotation files: clip or drop defective ones, and count the defects."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainers.data.dataset import EVERY_CLASS, Record
from trainers.data.defects import (
    DEFECTS,
    HARMLESS,
    IMAGES_LEFT_OUT,
    LABELS_LEFT_OUT,
    NOTES,
    REPAIRED,
    TOLD,
    BrokenFile,
    Defect,
    SourceLocation,
    counted_note,
)
from trainers.data.images import ImageError, image_size

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())  # the commands print the notices

MIN_SIDE_PX = 0.1
CLIP_TOLERANCE_PX = 1.0

Corners = tuple[float, float, float, float]


class Annotation(NamedTuple):
    """One box as it is in the annotation file, before any check."""

    box: Corners
    """`(x1, y1, x2, y2)` in pixels."""
    label: int
    """Index of the class; `EVERY_CLASS` only for an ignored region."""
    ignored: bool
    location: SourceLocation


@dataclass(kw_only=True)
class DefectLog:
    """All defects and notes of a data set, for `check_data`."""

    defects: list[Defect] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, location: SourceLocation, what: str) -> None:
        """Stores a defect, or counts a note."""
        if kind in NOTES:
            self.notes[kind] += 1
            self.first.setdefault(kind, location.text)
        else:
            self.defects.append(Defect(kind=kind, file=location.file, line=location.line, what=what))

    def clear(self) -> None:
        """Removes all defects and notes."""
        for each in (self.defects, self.notes, self.first):
            each.clear()


@dataclass(kw_only=True)
class Diagnostics:
    """Counts defects of one source, so that each kind is reported once and not per box."""

    source: str
    defect_log: DefectLog | None = None
    """Stores each single defect; None if the data set is opened for use."""
    num_images: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, location: SourceLocation, what: str = "") -> None:
        """Counts a defect or a note."""
        self.counts[kind] += 1
        self.first.setdefault(kind, location.text)
        if self.defect_log is not None:
            about = what or DEFECTS.get(kind) or NOTES[kind]
            self.defect_log.add(kind, location, f"{location.item}: {about}" if location.item else about)

    def refuse(self, kind: str, location: SourceLocation, what: str) -> None:
        """Counts a defect if the data set is being checked, and raises it otherwise.

        Raises:
            BrokenFile: the data set is opened for use.
        """
        if self.defect_log is None:
            raise BrokenFile(f"{location.file}: {what}", kind, location.file, location.line)
        self.add(kind, location, what)

    def check(self, box: Corners, hw: tuple[int, int], location: SourceLocation) -> Corners | None:
        """Returns a box `(x1, y1, x2, y2)` clipped to an image of `(H, W)`, or None if nothing usable is left."""
        height, width = hw
        x1, y1, x2, y2 = box
        if 0 <= x1 <= x2 - MIN_SIDE_PX and 0 <= y1 <= y2 - MIN_SIDE_PX and x2 <= width and y2 <= height:
            return box
        inside = (min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height))
        problem = _problem(box, inside, hw)
        if problem is None:
            return inside
        self.add(problem[0], location, problem[1])
        return inside if problem[0] in REPAIRED else None

    def size_of(self, path: Path) -> tuple[int, int] | None:
        """Returns (height, width) from the header of an image file, or counts it as unusable and returns None."""
        try:
            return image_size(path)
        except ImageError as error:
            self.add(error.kind, SourceLocation(str(path), about=(path.name,)), str(error))
            return None

    def record(
        self,
        path: Path,
        hw: tuple[int, int],
        annotations: Iterable[Annotation],
        *,
        num_classes: int | None = None,
        window: tuple[int, int, int, int] | None = None,
    ) -> Record:
        """Returns the record of an image: usable boxes without duplicates, and ignored regions merged over classes."""
        seen: set[tuple[Corners, int, bool]] = set()
        boxes: list[Corners] = []
        labels: list[int] = []
        regions: list[tuple[Corners, int]] = []
        for annotation in annotations:
            box = self.check(annotation.box, hw, annotation.location)
            if box is None:
                continue
            key = (annotation.box, annotation.label, annotation.ignored)
            if key in seen:
                self.add("duplicate_box", annotation.location, f"the box {_shown(annotation.box)} occurs twice")
            elif annotation.ignored:
                regions.append((box, annotation.label))
            else:
                boxes.append(box)
                labels.append(annotation.label)
            seen.add(key)
        merged = _merge_classes(regions, num_classes)
        return Record(
            path=path,
            height=hw[0],
            width=hw[1],
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            labels=np.array(labels, np.int64),
            ignored=np.array([box for box, _ in merged], np.float32).reshape(-1, 4),
            ignored_labels=np.array([label for _, label in merged], np.int64),
            window=window,
        )

    def distinct(
        self, found: Iterable[tuple[Record | None, SourceLocation]], ranks: Iterable[int] | None = None
    ) -> list[Record]:
        """Returns the records of one split, each image once, and counts further records of an image as defects.

        Args:
            found: records, or None for unusable ones, with the location of their annotations.
            ranks: of the records of an image, the first one with the lowest rank counts; None: the first one.
        """
        listed = list(found)
        order = range(len(listed))
        first: dict[str, int] = {}
        for _, index in sorted(zip(ranks, order, strict=True)) if ranks is not None else ((0, each) for each in order):
            record, location = listed[index]
            if record is None:
                continue
            known = first.setdefault(record.key, index)
            if known != index:
                text = f"its image {record.name} is that of {listed[known][1].text}, which counts"
                self.add("duplicate_image", location, text)
        kept = (listed[index][0] for index in sorted(first.values()))
        return [record for record in kept if record is not None]

    def notices(self) -> tuple[str, ...]:
        """Returns the notices for the user, one line per kind; logs them unless the data set is being checked."""
        lines = [*self._about_images(), *self._about_labels()]
        for kind in (*HARMLESS, *TOLD):
            if self.counts[kind] and kind != "duplicate_annotation":  # annotation ids are not used
                words = (HARMLESS | NOTES)[kind]
                lines.append(f"{self.source}: {counted_note(self.counts[kind], words)}; first: {self.first[kind]}")
        for line in lines if self.defect_log is None else ():
            logger.warning(line)
        return tuple(lines)

    def _about_images(self) -> list[str]:
        total = f" of {self.num_images}" if self.num_images else ""
        return [
            f"{self.source}: {self.counts[kind]}{total} images {words} and are left out; first: {self.first[kind]}"
            for kind, words in IMAGES_LEFT_OUT.items()
            if self.counts[kind]
        ]

    def _about_labels(self) -> list[str]:
        dropped = Counter({kind: self.counts[kind] for kind in LABELS_LEFT_OUT if self.counts[kind]})
        parts = []
        if dropped:
            reasons = ", ".join(f"{count} {LABELS_LEFT_OUT[kind]}" for kind, count in dropped.most_common())
            parts.append(f"{sum(dropped.values())} labels left out ({reasons})")
        parts += [f"{self.counts[kind]} {words}" for kind, words in REPAIRED.items() if self.counts[kind]]
        if not parts:
            return []
        example = next(where for kind, where in self.first.items() if kind in LABELS_LEFT_OUT or kind in REPAIRED)
        return [f"{self.source}: {', '.join(parts)}; first: {example}"]


def _problem(box: Corners, inside: Corners, hw: tuple[int, int]) -> tuple[str, str] | None:
    """Returns the kind and the description of a defect; `inside` is the box clipped to the image."""
    if not all(math.isfinite(value) for value in box):
        return "not_a_number", f"the box {_shown(box)} has values that are not numbers"
    width, height = box[2] - box[0], box[3] - box[1]
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        return "negative_size" if min(width, height) < 0 else "zero_size", f"a box of {width:g}x{height:g} px"
    if min(inside[2] - inside[0], inside[3] - inside[1]) < MIN_SIDE_PX:
        return "outside_image", f"the box {_shown(box)} lies outside the image of {hw[1]}x{hw[0]}"
    if max(abs(old - new) for old, new in zip(box, inside, strict=True)) > CLIP_TOLERANCE_PX:
        return "partly_outside", f"the box {_shown(box)} extends beyond the image of {hw[1]}x{hw[0]}"
    return None


def _shown(box: Corners) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"


def _merge_classes(regions: list[tuple[Corners, int]], num_classes: int | None) -> list[tuple[Corners, int]]:
    """Merges regions that are repeated for each class into one that applies to every class."""
    labels: dict[Corners, set[int]] = defaultdict(set)
    for box, label in regions:
        labels[box].add(label)
    merged: list[tuple[Corners, int]] = []
    for box, given in labels.items():
        every = EVERY_CLASS in given or len(given) == num_classes
        merged.extend((box, label) for label in ([EVERY_CLASS] if every else sorted(given)))
    return merged
