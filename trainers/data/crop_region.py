"""Zoom-out and the minimum-IoU crop of SSD: which region of an image is shown, and its picture.

Liu et al., "SSD: single shot multibox detector", 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainers.data.augmentation import Augmentation
from trainers.data.dataset import Boxes, Image
from trainers.data.geometry import ImageFit, Sample, crop, resize_sample

MEAN_COLOR = (124, 116, 104)
"""RGB mean of ImageNet, which fills the canvas of a zoom-out."""
CROP_IOUS = (0.1, 0.3, 0.5, 0.7, 0.9)
FREE = 0.0
"""The IoU that every crop has."""
WHOLE = 1.0
"""The IoU that stands for no crop."""
CROP_SIDE = 0.3
"""Shortest side of a crop, as a share of the side of what is cropped."""
CROP_ASPECT = 2.0
"""Largest ratio of the sides of a crop."""
TRIES = 50
"""Crops that are drawn before another IoU is."""


@dataclass(frozen=True, kw_only=True)
class CropRegion:
    """A rectangle in whole pixels of an image; it may reach past the image."""

    left: int
    top: int
    width: int
    height: int
    source: tuple[int, int, int, int] | None = None
    """The part of it that is shown, x1, y1, x2, y2; None: all of it."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle as x1, y1, x2, y2."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def draw_region(sample: Sample, rng: np.random.Generator, strength: Augmentation) -> CropRegion:
    """Draws the region of an image to show, by `zoom_out` and `iou_crop` of the settings.

    The canvas of a zoom-out after the crop shows the crop alone.
    """
    region = CropRegion(left=0, top=0, width=sample.hw[1], height=sample.hw[0])
    objects = sample.boxes[~sample.ignored]
    for is_crop in (strength.crop_first, not strength.crop_first):
        chance = strength.iou_crop if is_crop else strength.zoom_out
        if chance > 0 and rng.random() < chance:
            region = iou_crop(region, objects, rng) if is_crop else zoom_out(region, rng, strength.zoom_out_max)
    return region


def zoom_out(region: CropRegion, rng: np.random.Generator, largest: float) -> CropRegion:
    """Returns a region up to `largest` times as wide and high that contains a region and shows no more than it."""
    factor = rng.uniform(1, largest)
    width, height = int(region.width * factor), int(region.height * factor)
    left = region.left - int(rng.integers(width - region.width + 1))
    top = region.top - int(rng.integers(height - region.height + 1))
    return CropRegion(left=left, top=top, width=width, height=height, source=region.box)


def iou_crop(region: CropRegion, objects: Boxes, rng: np.random.Generator) -> CropRegion:
    """Returns a random crop of a region with at least a drawn IoU with each object, or the region itself.

    The IoU is one of CROP_IOUS, none (the region stays whole) or free (any crop). A crop contains the center of at
    least one object, if there are any.

    Args:
        region: what is cropped.
        objects: `(N, 4)`, ignored regions left out.
        rng: draws the IoU and the crop.
    """
    while True:
        wanted = rng.choice([WHOLE, *CROP_IOUS, FREE])
        if wanted == WHOLE:
            return region
        crops = _draw_crops(region, rng)
        good = np.ones(len(crops), bool)
        if len(objects):
            good = centers_inside(objects, crops[:, None]).any(axis=1) & (_ious(crops, objects).min(axis=1) >= wanted)
        if good.any():
            x1, y1, x2, y2 = (int(value) for value in crops[good][0])
            return CropRegion(left=x1, top=y1, width=x2 - x1, height=y2 - y1)


def _draw_crops(region: CropRegion, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns up to TRIES crops `(N, 4)` of a region in whole pixels."""
    whole = np.array([region.width, region.height])
    sides = np.maximum(np.rint(whole * rng.uniform(CROP_SIDE, 1, (TRIES, 2))), 1).astype(np.int64)
    corners = rng.integers(whole - sides + 1) + np.array([region.left, region.top])
    slender = sides.max(axis=1) > CROP_ASPECT * sides.min(axis=1)
    return np.asarray(np.concatenate((corners, corners + sides), axis=1)[~slender], np.int64)


def centers_inside(boxes: Boxes, regions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns which boxes `(N, 4)` have their center inside a region `(4,)`; `(M, N)` for `(M, 1, 4)`."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray(((centers > regions[..., :2]) & (centers < regions[..., 2:])).all(axis=-1))


def _ious(crops: NDArray[np.int64], boxes: Boxes) -> NDArray[np.float64]:
    """Returns the IoUs `(M, N)` of crops `(M, 4)` and boxes `(N, 4)`."""
    low = np.maximum(crops[:, None, :2], boxes[:, :2])
    shared = (np.minimum(crops[:, None, 2:], boxes[:, 2:]) - low).clip(0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (crops, boxes)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9), np.float64)


def show_region(
    sample: Sample, region: CropRegion, recolor: Callable[[Image], Image], *, input_hw: tuple[int, int], fit: str
) -> Sample:
    """Returns a region of an image, scaled to its size in the input.

    MEAN_COLOR fills what is outside the image, or outside the source of the region. An object whose center is there
    becomes an ignored region of its class.

    Args:
        sample: the image and its boxes.
        region: what is shown of it.
        recolor: changes the colors of the image; the fill keeps its color.
        input_hw: the input, `(H, W)`.
        fit: `letterbox` or `stretch`.
    """
    inside = ImageFit.of((region.height, region.width), input_hw, fit)
    shown = np.array(region.source or region.box)
    low, high = np.maximum(shown[:2], 0), np.minimum(shown[2:], sample.hw[::-1])
    canvas = np.full((inside.height, inside.width, 3), MEAN_COLOR, np.uint8)
    if (high <= low).any():
        return replace(
            sample, image=canvas, boxes=sample.boxes[:0], labels=sample.labels[:0], ignored=np.zeros(0, bool)
        )
    away = ~centers_inside(sample.boxes, shown)
    part = crop(replace(sample, ignored=sample.ignored | away), (int(low[0]), int(low[1])), _hw(high - low))
    # The shown part takes whole pixels of the canvas; boxes are scaled by the same factors.
    scale = np.array([inside.scale_x, inside.scale_y])
    corner = np.rint((low - [region.left, region.top]) * scale).astype(int)
    corner = np.minimum(corner, [inside.width - 1, inside.height - 1])
    end = np.maximum(np.rint((high - [region.left, region.top]) * scale).astype(int), corner + 1)
    part = resize_sample(part, _hw(end - corner))
    canvas[corner[1] : end[1], corner[0] : end[0]] = recolor(part.image)
    return replace(part, image=canvas, boxes=part.boxes + np.tile(corner, 2).astype(np.float32))


def _hw(sides: NDArray[np.int64]) -> tuple[int, int]:
    """Returns `(H, W)` of sides (x, y)."""
    return int(sides[1]), int(sides[0])
