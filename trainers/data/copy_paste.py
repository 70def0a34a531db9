"""Copy-paste augmentation: copies of small objects, pasted into the same image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trainers.data.dataset import Boxes, Image
from trainers.data.geometry import Sample

SIDES_PX = (3.0, 32.0)
"""Shortest and longest side of objects that are copied, in input pixels."""
MAX_HIDDEN = 0.1
"""Largest share of an object that copies may cover, blended margins included."""
SCALE = 0.2
"""Copies are scaled by a factor in 1 - SCALE .. 1 + SCALE."""
MARGIN_PX = 2
"""Width of the blended margin around a copy."""
TRIES = 10
"""Positions that are tried for a copy before it is skipped."""


@dataclass(frozen=True, kw_only=True)
class _Patch:
    image: Image
    box: Boxes
    """`(4,)` in pixels of the patch."""
    weight: NDArray[np.float32]
    """`(H, W)` blending weight: 1 on the object, falling to 0 over the margin."""


def paste_copies(sample: Sample, rng: np.random.Generator, share: float) -> Sample:
    """Copies small objects to random positions in their image, slightly scaled, flipped at random and blended in.

    Copies cover at most a tenth of any object and touch no ignored region. Objects that touch the image border or
    overlap another box are not copied. Kisantal et al., "Augmentation for small object detection", 2019.

    Args:
        sample: at input scale, not padded.
        share: probability that a small object is copied.
    """
    if share == 0 or bool(sample.ignored.all()):
        return sample
    image, objects, blocked = sample.image.copy(), sample.boxes[~sample.ignored], sample.boxes[sample.ignored]
    sources, covered = _sources(sample), np.zeros(len(objects))
    labels = []
    for index in sources[rng.random(len(sources)) < share]:
        patch = _cut_patch(sample, sample.boxes[index], rng)
        coverable = MAX_HIDDEN * (objects[:, 2:] - objects[:, :2]).prod(axis=1) - covered
        corner = _free_corner(rng, patch.image.shape[:2], sample.hw, objects, coverable, blocked)
        if corner is not None:
            _blend(image, patch, corner)
            covered = np.append(covered + _shared_area(_at(corner, patch.image.shape[:2]), objects), 0.0)
            objects = np.concatenate((objects, [patch.box + np.array([*corner, *corner], np.float32)]))
            labels.append(sample.labels[index])
    copies = objects[len(objects) - len(labels) :]
    return Sample(
        image=image,
        boxes=np.concatenate((sample.boxes, copies)).astype(np.float32),
        labels=np.concatenate((sample.labels, np.array(labels, np.int64))),
        ignored=np.concatenate((sample.ignored, np.zeros(len(labels), bool))),
    )


def _sources(sample: Sample) -> NDArray[np.int64]:
    """Returns the rows of small objects that lie inside the image and overlap no other box."""
    boxes, (height, width) = sample.boxes, sample.hw
    sides = boxes[:, 2:] - boxes[:, :2]
    small = (sides.min(axis=1) >= SIDES_PX[0]) & (sides.max(axis=1) <= SIDES_PX[1])
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < np.array([width, height])).all(axis=1)
    rows: NDArray[np.int64] = np.flatnonzero(small & inside & ~sample.ignored)
    touching = (_shared_area(boxes[rows][:, None], boxes) > 0).sum(axis=1)
    return np.asarray(rows[touching == 1], np.int64)  # each box overlaps itself


def _shared_area(box: Boxes, boxes: Boxes) -> NDArray[np.float32]:
    """Returns the intersection area of `box` `(4,)` with each of `boxes` `(N, 4)`; `(M, N)` for `(M, 1, 4)`."""
    sides = np.minimum(box[..., 2:], boxes[:, 2:]) - np.maximum(box[..., :2], boxes[:, :2])
    sides = np.maximum(sides, 0)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def _cut_patch(sample: Sample, box: Boxes, rng: np.random.Generator) -> _Patch:
    """Crops an object with its margin, scales it and flips it at random."""
    corner = np.maximum(np.floor(box[:2]).astype(int) - MARGIN_PX, 0)
    end = np.minimum(np.ceil(box[2:]).astype(int) + MARGIN_PX, sample.hw[::-1])
    image = sample.image[corner[1] : end[1], corner[0] : end[0]]
    size = np.maximum(np.rint((end - corner) * (1 + rng.uniform(-SCALE, SCALE))), 1).astype(int)
    scaled = (box - np.tile(corner, 2)) * np.tile(size / (end - corner), 2)
    image = np.asarray(cv2.resize(np.ascontiguousarray(image), size.tolist(), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.5:
        image, scaled = image[:, ::-1], np.array([size[0] - scaled[2], scaled[1], size[0] - scaled[0], scaled[3]])
    return _Patch(image=image, box=scaled.astype(np.float32), weight=_soft_mask(scaled, size))


def _soft_mask(box: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns `(H, W)` weights: 1 where a pixel touches the box, falling linearly with the distance from it."""
    ramps = []
    for low, high, length in ((box[1], box[3], size[1]), (box[0], box[2], size[0])):
        pixels = np.arange(length)
        outside = np.maximum(np.floor(low) - pixels, pixels - np.ceil(high) + 1).clip(0)
        ramps.append((1 - outside / (MARGIN_PX + 1)).clip(0))
    return np.asarray(np.minimum(ramps[0][:, None], ramps[1][None, :]), np.float32)


def _free_corner(
    rng: np.random.Generator,
    patch_hw: tuple[int, ...],
    hw: tuple[int, int],
    objects: Boxes,
    coverable: NDArray[np.floating],
    blocked: Boxes,
) -> tuple[int, int] | None:
    """Draws the corner (x, y) of a free position for a patch; None if none is found.

    Args:
        coverable: area of each object `(N,)` that may still be covered.
        blocked: regions `(M, 4)` that must not be touched.
    """
    height, width = patch_hw
    if height > hw[0] or width > hw[1]:
        return None
    for _ in range(TRIES):
        corner = int(rng.integers(hw[1] - width + 1)), int(rng.integers(hw[0] - height + 1))
        place = _at(corner, patch_hw)
        if (_shared_area(place, objects) <= coverable).all() and not _shared_area(place, blocked).any():
            return corner
    return None


def _at(corner: tuple[int, int], patch_hw: tuple[int, ...]) -> Boxes:
    x, y = corner
    return np.array([x, y, x + patch_hw[1], y + patch_hw[0]], np.float32)


def _blend(image: Image, patch: _Patch, corner: tuple[int, int]) -> None:
    x, y = corner
    under = image[y : y + patch.image.shape[0], x : x + patch.image.shape[1]]
    mixed = under + (patch.image.astype(np.float32) - under) * patch.weight[:, :, None]
    under[:] = np.rint(mixed).astype(np.uint8)
