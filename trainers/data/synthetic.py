"""The built-in data set: three classes of small shapes among distractors on noisy textures, from a seed."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from trainers.data.dataset import Dataset, Image, Record

CLASSES = ("disc", "cross", "frame")
SIZE = 160
CELL = 32
MIN_EXTENT, MAX_EXTENT = 5, 20


def synthetic_splits(*, seed: int = 0, num_train: int = 1000, num_val: int = 150) -> tuple[Dataset, Dataset]:
    """Returns a training and a validation set of 160x160 images with objects of 5 to 20 px.

    Only the boxes are generated here, which is fast. An image is painted from (seed, set, number) on access.
    """
    return _synthetic_set(seed, 0, num_train), _synthetic_set(seed, 1, num_val)


def _synthetic_set(seed: int, which: int, num_images: int) -> Dataset:
    rng = np.random.default_rng([seed, which])
    num_cells = (SIZE // CELL) ** 2
    cells = rng.permuted(np.tile(np.arange(num_cells), (num_images, 1)), axis=1)[:, :8]  # no overlap
    extents = rng.integers(MIN_EXTENT, MAX_EXTENT + 1, cells.shape)
    corners = np.stack((cells % (SIZE // CELL), cells // (SIZE // CELL)), axis=-1) * CELL
    corners = corners + np.floor(rng.random((*cells.shape, 2)) * (CELL - extents[..., None]))
    boxes = np.concatenate((corners, corners + extents[..., None]), axis=-1).astype(np.float32)
    labels = rng.integers(0, len(CLASSES), cells.shape)
    counts = rng.integers(3, 9, num_images)
    records = [
        Record(path=None, height=SIZE, width=SIZE, boxes=box[:n], labels=label[:n], number=number)
        for number, (box, label, n) in enumerate(zip(boxes, labels, counts, strict=True))
    ]
    return Dataset(records, CLASSES, reader=partial(paint, seed=seed, which=which))


def paint(record: Record, *, seed: int, which: int) -> Image:
    """Paints the image of a record: texture, distractors (lines and soft blobs), then the shapes in its boxes."""
    rng = np.random.default_rng([seed, which, record.number])
    coarse = np.asarray(rng.normal(rng.uniform(70, 180), 22, (10, 10, 3)), np.float32)
    canvas = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    canvas += np.asarray(rng.normal(0, 7, canvas.shape), np.float32)
    for _ in range(int(rng.integers(4, 9))):
        _paint_distractor(canvas, rng)
    for box, label in zip(record.boxes, record.labels, strict=True):
        x1, y1, x2, y2 = (int(value) for value in box)
        patch = canvas[y1:y2, x1:x2]
        patch[_shape(int(label), x2 - x1)] = _contrasting(patch, rng)
    return np.asarray(canvas.clip(0, 255), np.uint8)


def _contrasting(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean = patch.mean(axis=(0, 1))
    direction = -1.0 if mean.mean() > 125 else 1.0
    color = mean + direction * rng.uniform(50, 110) + rng.normal(0, 15, 3)
    return np.asarray(np.clip(color, 0, 255), np.float32)


def _shape(label: int, extent: int) -> np.ndarray:
    """Returns the mask `(extent, extent)` of a class; each touches all four sides, so that the box is exact."""
    steps = np.abs(np.arange(extent) - (extent - 1) / 2)
    x, y = np.meshgrid(steps, steps)
    if CLASSES[label] == "disc":
        return np.asarray(x**2 + y**2 <= (extent / 2) ** 2)
    if CLASSES[label] == "cross":
        return np.asarray(np.minimum(x, y) <= max(0.5, extent / 10))
    return np.asarray(np.maximum(x, y) > extent / 2 - max(1.0, extent / 6))


def _paint_distractor(canvas: np.ndarray, rng: np.random.Generator) -> None:
    x, y = (int(value) for value in rng.integers(0, SIZE, 2))
    color = tuple(float(value) for value in rng.uniform(20, 235, 3))
    if rng.random() < 0.5:
        dx, dy = (int(value) for value in rng.integers(-30, 31, 2))
        cv2.line(canvas, (x, y), (x + dx, y + dy), color, 1)
    else:
        axes = (int(rng.integers(8, 24)), int(rng.integers(8, 24)))
        cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, color, 1)
