"""Detection in overlapping slices of an image, for objects that would be too small in the whole image scaled down.

Akyon et al., "Slicing aided hyper inference and fine-tuning for small object detection", ICIP 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search_space import Detector
from search_space.errors import ConfigError
from trainers.data.dataset import Image, Labels
from trainers.detect import Detections, detect
from trainers.heads import DetectionLimits

CUT_SHARE = 0.7
"""Of a box that a slice cuts off, the share that must lie in another box for both to be the same object."""
BORDER_SHARE = 0.01
"""A box that comes this near to the border of its slice, as a share of the slice's side, counts as cut off there."""
FEW_PX = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How an image is cut into slices."""

    tile_hw: tuple[int, int]
    """Height and width of a slice in pixels of the image; it is scaled to the detector's input, as whole images are."""
    overlap: float = 0.2
    """Least share of a slice that its neighbour sees too. Objects up to this size are seen whole by some slice."""
    whole: bool = False
    """The image as a whole is looked at too, for objects that are larger than a slice."""

    def __post_init__(self) -> None:
        if min(self.tile_hw) < FEW_PX:
            raise ConfigError(
                f"a tile is {self.tile_hw[1]}x{self.tile_hw[0]} px (width x height); its sides must be {FEW_PX} or more"
            )
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"the overlap of tiles is {self.overlap}; it must lie in 0..0.9")

    def windows(self, image_hw: tuple[int, int]) -> list[Window]:
        """Returns the slices of an image of `(H, W)`, row by row; an image no larger than a tile is one slice."""
        tops, lefts = (starts(side, tile, self.overlap) for side, tile in zip(image_hw, self.tile_hw, strict=True))
        height, width = (min(side, tile) for side, tile in zip(image_hw, self.tile_hw, strict=True))
        windows = [Window(left, top, left + width, top + height) for top in tops for left in lefts]
        if self.whole and len(windows) > 1:
            windows.append(Window(0, 0, image_hw[1], image_hw[0]))
        return windows


@dataclass(frozen=True)
class Window:
    """A part of an image in whole pixels; the right and lower ends do not belong to it."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, image: Image) -> Image:
        """Returns the pixels."""
        return image[self.top : self.bottom, self.left : self.right]

    def cuts(self, boxes: Floats, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Returns which of the `boxes` `(N, 4)` in pixels of the image touch an end that is inside the image."""
        margin_x = max(1.0, BORDER_SHARE * (self.right - self.left))
        margin_y = max(1.0, BORDER_SHARE * (self.bottom - self.top))
        touched = np.zeros(len(boxes), bool)
        if self.left > 0:
            touched |= boxes[:, 0] <= self.left + margin_x
        if self.top > 0:
            touched |= boxes[:, 1] <= self.top + margin_y
        if self.right < image_hw[1]:
            touched |= boxes[:, 2] >= self.right - margin_x
        if self.bottom < image_hw[0]:
            touched |= boxes[:, 3] >= self.bottom - margin_y
        return touched


def starts(side: int, tile: int, overlap: float) -> list[int]:
    """Returns where slices of `tile` px begin on a `side`: evenly, the least number with at least that overlap."""
    if side <= tile:
        return [0]
    shared = min(math.ceil(overlap * tile), tile - 1)
    number = math.ceil((side - shared) / (tile - shared))
    return [round(index * (side - tile) / (number - 1)) for index in range(number)]


def detect_all(
    detector: Detector,
    images: Sequence[Image],
    *,
    input_hw: tuple[int, int],
    limits: DetectionLimits,
    tiling: Tiling | None = None,
    batch_size: int = 8,
) -> list[Detections]:
    """Runs a detector that is in evaluation mode on images `(H, W, 3)` of any sizes, in slices if `tiling` is given.

    Args:
        limits: what is reported; of each slice and of what they give together.
        batch_size: images or slices at once.

    An image no larger than a tile gives what it gives without tiling.
    """
    if tiling is None:
        return _in_batches(detector, images, input_hw, limits, batch_size)
    found = []
    for image in images:
        hw = (image.shape[0], image.shape[1])
        windows = tiling.windows(hw)
        parts = _in_batches(detector, [window.of(image) for window in windows], input_hw, limits, batch_size)
        found.append(merge(windows, parts, hw, limits) if len(windows) > 1 else parts[0])
    return found


def _in_batches(
    detector: Detector, images: Sequence[Image], input_hw: tuple[int, int], limits: DetectionLimits, batch_size: int
) -> list[Detections]:
    found = []
    for start in range(0, len(images), batch_size):
        batch = [np.ascontiguousarray(image) for image in images[start : start + batch_size]]
        found += detect(detector, batch, input_hw=input_hw, limits=limits)
    return found


def merge(
    windows: Sequence[Window],
    found: Sequence[Detections],
    image_hw: tuple[int, int],
    limits: DetectionLimits,
) -> Detections:
    """Joins what was found in the `windows` of an image of `(H, W)`; boxes are in pixels of their window.

    Two detections of a class from different windows are one object if they agree in the pixels that both windows
    see: by their overlap there, or, where a window cut one of them off, by the share of the cut box inside the other.
    A whole box stands for the object rather than a cut one; cut boxes are joined to the box around them.
    """
    parts = [
        _Table.of(number, window, each, image_hw)
        for number, (window, each) in enumerate(zip(windows, found, strict=True))
    ]
    names = ("boxes", "scores", "labels", "seen", "window", "cut")
    table = _Table(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    for row in np.argsort(-table.scores, kind="stable").tolist():
        table.place(row, limits, image_hw)
    best = np.flatnonzero(table.kept)
    best = best[np.argsort(-table.scores[best], kind="stable")]
    return Detections(boxes=table.boxes[best].astype(np.float32), scores=table.scores[best], labels=table.labels[best])


@dataclass(kw_only=True, eq=False)
class _Table:
    """Detections of all windows in pixels of the image, and which of them are kept."""

    boxes: Floats
    """`(N, 4)`."""
    scores: NDArray[np.float32]
    labels: Labels
    seen: Floats
    """Ends of the window `(N, 4)`, or around all windows that were joined."""
    window: NDArray[np.int64]
    """`(N,)`: number of the window; after a join another, negative one for each object."""
    cut: NDArray[np.bool_]
    """`(N,)`: the box reaches an end of what was seen, inside the image."""
    kept: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = np.zeros(len(self.scores), bool)

    @classmethod
    def of(cls, number: int, window: Window, found: Detections, image_hw: tuple[int, int]) -> _Table:
        """Moves what was found in a window into the image."""
        ends = np.array([window.left, window.top, window.right, window.bottom], np.float64)
        boxes = found.boxes.astype(np.float64) + ends[[0, 1, 0, 1]]
        return cls(
            boxes=boxes,
            scores=found.scores.astype(np.float32),
            labels=found.labels,
            seen=np.tile(ends, (len(boxes), 1)),
            window=np.full(len(boxes), number),
            cut=window.cuts(boxes, image_hw),
        )

    def place(self, row: int, limits: DetectionLimits, image_hw: tuple[int, int]) -> None:
        """Keeps a detection, joins it with kept ones that are the same object, or lets one of them stand for it."""
        while len(same := self._same(row, limits.iou_threshold)):
            whole = same[~self.cut[same]]
            if len(whole):
                self.scores[whole[0]] = max(self.scores[whole[0]], self.scores[row])
                return
            self.kept[same] = False
            row = self._join(row, same, image_hw)  # may agree with more than its parts did
        self.kept[row] = int(self.kept.sum()) < limits.max_detections

    def _same(self, row: int, iou_threshold: float) -> NDArray[np.int64]:
        """Returns what is kept of the object of `row`, best first."""
        rivals = np.flatnonzero(self.kept & (self.labels == self.labels[row]) & (self.window != self.window[row]))
        same = rivals[self._agree(row, rivals, iou_threshold)]
        return same[np.argsort(-self.scores[same], kind="stable")]

    def _agree(self, row: int, others: NDArray[np.int64], iou_threshold: float) -> NDArray[np.bool_]:
        """Returns which of the `others` are the same object as `row`, judged by what both windows see."""
        low = np.maximum(self.seen[row, :2], self.seen[others, :2])
        high = np.minimum(self.seen[row, 2:], self.seen[others, 2:])
        mine_low, mine_high = np.maximum(self.boxes[row, :2], low), np.minimum(self.boxes[row, 2:], high)
        their_low, their_high = np.maximum(self.boxes[others, :2], low), np.minimum(self.boxes[others, 2:], high)
        common = _area(np.maximum(mine_low, their_low), np.minimum(mine_high, their_high))
        mine, theirs = _area(mine_low, mine_high), _area(their_low, their_high)
        of_mine = mine if self.cut[row] else np.full(len(others), np.inf)
        of_cut = np.minimum(of_mine, np.where(self.cut[others], theirs, np.inf))
        same = common > iou_threshold * (mine + theirs - common)
        return (common > 0) & (same | (common >= CUT_SHARE * of_cut))

    def _join(self, row: int, parts: NDArray[np.int64], image_hw: tuple[int, int]) -> int:
        """Writes the object of `row` and of cut `parts`, best first, into the first of them and returns its place."""
        first = int(parts[0])
        self.scores[first] = max(self.scores[first], self.scores[row])
        if not self.cut[row]:
            for values in (self.boxes, self.seen, self.window, self.cut):
                values[first] = values[row]
            return first
        members = np.append(parts, row)
        for ends in (self.boxes, self.seen):
            ends[first] = np.concatenate((ends[members, :2].min(axis=0), ends[members, 2:].max(axis=0)))
        around = Window(*self.seen[first].round().astype(int).tolist())
        self.window[first], self.cut[first] = -1 - first, around.cuts(self.boxes[[first]], image_hw)[0]
        return first


def _area(low: Floats, high: Floats) -> Floats:
    return np.asarray((high - low).clip(min=0).prod(axis=-1))
