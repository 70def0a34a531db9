"""Sliced inference: detection in overlapping slices of an image, for objects that are too small in the scaled image.

Akyon et al., "Slicing aided hyper inference and fine-tuning for small object detection", ICIP 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search_space.errors import ConfigError
from search_space.tile_grid import num_tiles
from trainers.data.compose import tile_of
from trainers.data.dataset import Image, Labels
from trainers.detect import AnyDetector, Detections, detect
from trainers.heads import DetectionLimits

CUT_SHARE = 0.7
"""Share of a box cut off by its slice that must be inside another box for both to be the same object."""
BORDER_SHARE = 0.01
"""Distance to the border of a slice, as a share of its side, within which a box counts as cut off there."""
FEW_PX = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How an image is divided into slices."""

    tile_hw: tuple[int, int]
    """Height and width of a slice in image pixels; slices are scaled to the input of the detector like whole images."""
    overlap: float = 0.2
    """Minimum overlap of adjacent slices as a share of a slice. Objects up to this size are whole in some slice."""
    whole: bool = False
    """Also run on the whole image, for objects that are larger than a slice."""

    def __post_init__(self) -> None:
        if min(self.tile_hw) < FEW_PX:
            raise ConfigError(
                f"a tile is {self.tile_hw[1]}x{self.tile_hw[0]} px (width x height); its sides must be {FEW_PX} or more"
            )
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"the overlap of tiles is {self.overlap}; it must lie in 0..0.9")

    def windows(self, image_hw: tuple[int, int]) -> list[Window]:
        """Returns the slices of an image of `(H, W)`, row by row; an image that fits into a tile is one slice."""
        tops, lefts = (starts(side, tile, self.overlap) for side, tile in zip(image_hw, self.tile_hw, strict=True))
        height, width = (min(side, tile) for side, tile in zip(image_hw, self.tile_hw, strict=True))
        windows = [Window(left, top, left + width, top + height) for top in tops for left in lefts]
        if self.whole and len(windows) > 1:
            windows.append(Window(0, 0, image_hw[1], image_hw[0]))
        return windows


@dataclass(frozen=True)
class Window:
    """A rectangle of an image in whole pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, image: Image) -> Image:
        """Returns the pixels."""
        return image[self.top : self.bottom, self.left : self.right]

    def cuts(self, boxes: Floats, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Returns which of the `boxes` `(N, 4)` in image pixels touch a window border that is inside the image."""
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
    """Returns the evenly spaced starts of slices of `tile` px on a `side`: as few as the overlap allows."""
    if side <= tile:
        return [0]
    number = num_tiles(side, tile, overlap)
    return [round(index * (side - tile) / (number - 1)) for index in range(number)]


def detect_all(
    detector: AnyDetector,
    images: Sequence[Image],
    *,
    input_hw: tuple[int, int],
    limits: DetectionLimits,
    tiling: Tiling | None = None,
    batch_size: int = 8,
) -> list[Detections]:
    """Runs a detector that is in evaluation mode on images `(H, W, 3)` of any sizes, in slices if it has tiles.

    Args:
        limits: which detections are reported, per slice and after merging.
        tiling: slices in place of the tiles of the detector's architecture.
        batch_size: images or slices per batch.

    For an image that fits into a tile, the result is that without tiling.
    """
    if tiling is None and detector.tiles.count == 1:
        return _in_batches(detector, images, input_hw, limits, batch_size)
    found = []
    for image in images:
        hw = (image.shape[0], image.shape[1])
        windows = windows_of(detector, hw, input_hw) if tiling is None else tiling.windows(hw)
        parts = _in_batches(detector, [window.of(image) for window in windows], input_hw, limits, batch_size)
        found.append(merge(windows, parts, hw, limits) if len(windows) > 1 else parts[0])
    return found


def windows_of(detector: AnyDetector, image_hw: tuple[int, int], input_hw: tuple[int, int]) -> list[Window]:
    """Returns the tiles of an image of `(H, W)` by the architecture of a detector; the image where it is not cut."""
    tile_hw = tile_of(detector.tiles, image_hw, input_hw)
    return Tiling(tile_hw=tile_hw or image_hw, overlap=detector.tiles.overlap).windows(image_hw)


def _in_batches(
    detector: AnyDetector, images: Sequence[Image], input_hw: tuple[int, int], limits: DetectionLimits, batch_size: int
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
    """Merges the detections in the `windows` of an image of `(H, W)`; boxes are in pixels of their window.

    Two detections of a class, or of any classes if the limits are agnostic, are the same object if they are from
    different windows and agree in the area that both windows cover: by their IoU there, or, if a window cut one of them
    off, by the share of the cut box inside the other. A box that is not cut replaces cut ones; cut boxes are merged
    into their bounding box.
    """
    parts = [
        _Table.of(number, window, each, image_hw)
        for number, (window, each) in enumerate(zip(windows, found, strict=True))
    ]
    names = ("boxes", "scores", "labels", "seen", "window", "cut")
    table = _Table(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    for row in np.argsort(-table.scores, kind="stable").tolist():
        table.add(row, limits, image_hw)
    best = np.flatnonzero(table.kept)
    best = best[np.argsort(-table.scores[best], kind="stable")]
    return Detections(boxes=table.boxes[best].astype(np.float32), scores=table.scores[best], labels=table.labels[best])


@dataclass(kw_only=True, eq=False)
class _Table:
    """Detections of all windows in image pixels, and which of them are kept."""

    boxes: Floats
    """`(N, 4)`."""
    scores: NDArray[np.float32]
    labels: Labels
    seen: Floats
    """Bounds of the window `(N, 4)`, or of all windows that were merged."""
    window: NDArray[np.int64]
    """`(N,)`: number of the window; negative and unique per object after a merge."""
    cut: NDArray[np.bool_]
    """`(N,)`: the box touches a border of `seen` that is inside the image."""
    kept: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = np.zeros(len(self.scores), bool)

    @classmethod
    def of(cls, number: int, window: Window, found: Detections, image_hw: tuple[int, int]) -> _Table:
        """Maps the detections in a window to image pixels."""
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

    def add(self, row: int, limits: DetectionLimits, image_hw: tuple[int, int]) -> None:
        """Adds a detection: keeps it, merges it with kept ones of the same object, or drops it for a whole box."""
        while len(same := self._same(row, limits)):
            whole = same[~self.cut[same]]
            if len(whole):
                self.scores[whole[0]] = max(self.scores[whole[0]], self.scores[row])
                return
            self.kept[same] = False
            row = self._join(row, same, image_hw)  # the merged box may agree with further boxes
        self.kept[row] = int(self.kept.sum()) < limits.max_detections and (
            limits.max_per_class is None
            or int((self.kept & (self.labels == self.labels[row])).sum()) < limits.max_per_class
        )

    def _same(self, row: int, limits: DetectionLimits) -> NDArray[np.int64]:
        """Returns the kept detections of the same object as `row`, best first."""
        rivals = self.kept & (self.window != self.window[row])
        rivals = np.flatnonzero(rivals if limits.agnostic else rivals & (self.labels == self.labels[row]))
        same = rivals[self._agree(row, rivals, limits.nms_iou)]
        return same[np.argsort(-self.scores[same], kind="stable")]

    def _agree(self, row: int, others: NDArray[np.int64], iou_threshold: float) -> NDArray[np.bool_]:
        """Returns which of the `others` are the same object as `row`, judged in the area that both windows cover."""
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
        """Merges `row` and the cut `parts`, best first, into the row of the first part, which is returned."""
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
