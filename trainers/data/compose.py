"""Mosaics of four images, blends of two, and windows of large images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from search_space.tile_grid import TileGrid
from trainers.data.dataset import Image
from trainers.data.geometry import PAD_VALUE, ImageFit, Sample, crop, place_on_canvas, resize_sample

TOWARDS_OBJECTS = 0.8
"""Share of the windows that are placed over an object."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A sample at about input scale, with the random changes that are still to be made."""

    sample: Sample
    scale: float
    """The scale factor is drawn from 1 - scale .. 1 + scale."""
    flip: float
    """Probability of a horizontal flip."""
    flip_vertical: float
    """Probability of a vertical flip."""
    overhang: bool = False
    """Whether boxes reach past the image; they are clipped to it when it is placed."""

    def draw(self, rng: np.random.Generator) -> float:
        """Draws a scale factor."""
        return 1 + rng.uniform(-self.scale, self.scale)

    def put(self, rng: np.random.Generator, scale: float, shift: tuple[float, float], hw: tuple[int, int]) -> Sample:
        """Places the sample on a canvas of `hw` with its corner at `shift` (x, y), flipped at random."""
        flip = rng.random() < self.flip
        flip_vertical = self.flip_vertical > 0 and rng.random() < self.flip_vertical
        return place_on_canvas(
            self.sample, scale, shift, flip=flip, flip_vertical=flip_vertical, hw=hw, overhang=self.overhang
        )

    def move(self, translate: float, rng: np.random.Generator, *, input_hw: tuple[int, int]) -> Sample:
        """Flips, scales and shifts the sample at random about the center of the input.

        Args:
            translate: largest shift as a share of the input.
            rng: draws scale, shift and flips.
            input_hw: size of the result, `(H, W)`.
        """
        scale = self.draw(rng)
        height, width = self.sample.hw
        shift_x = (input_hw[1] - width * scale) / 2 + rng.uniform(-1, 1) * translate * input_hw[1]
        shift_y = (input_hw[0] - height * scale) / 2 + rng.uniform(-1, 1) * translate * input_hw[0]
        return self.put(rng, scale, (shift_x, shift_y), input_hw)


def fitted(sample: Sample, input_hw: tuple[int, int], fit: str) -> Sample:
    """Scales a sample to its size in the input, without padding; `fit` is `letterbox` or `stretch`."""
    inside = ImageFit.of(sample.hw, input_hw, fit)
    return resize_sample(sample, (inside.height, inside.width))


def make_mosaic(views: list[View], rng: np.random.Generator, *, input_hw: tuple[int, int]) -> Sample:
    """Fills the four quadrants about a random point with random crops of four samples.

    Bochkovskiy et al., "YOLOv4: optimal speed and accuracy of object detection", 2020.
    """
    middle_x, middle_y = (int(side * rng.uniform(0.3, 0.7)) for side in (input_hw[1], input_hw[0]))
    canvas = np.empty((*input_hw, 3), np.uint8)
    corners = ((0, 0), (middle_x, 0), (0, middle_y), (middle_x, middle_y))
    parts = []
    for view, (left, top) in zip(views, corners, strict=True):
        hw = (middle_y if top == 0 else input_hw[0] - middle_y, middle_x if left == 0 else input_hw[1] - middle_x)
        part = _crop(view, rng, hw)
        canvas[top : top + hw[0], left : left + hw[1]] = part.image
        parts.append(replace(part, boxes=part.boxes + np.array([left, top, left, top], np.float32)))
    return _joined(canvas, parts)


def make_double_mosaic(samples: list[Sample], rng: np.random.Generator, *, input_hw: tuple[int, int]) -> Sample:
    """Places four samples around a random point of a canvas of twice the input, filled with grey.

    The point is in the middle half of the canvas. Boxes are not clipped to it. Jocher et al., YOLOv5, 2020.

    Args:
        samples: at input scale, not padded.
        rng: draws the point.
        input_hw: the input, `(H, W)`.
    """
    height, width = (2 * side for side in input_hw)
    middle_x, middle_y = (int(side * rng.uniform(0.25, 0.75)) for side in (width, height))
    canvas = np.full((height, width, 3), PAD_VALUE, np.uint8)
    parts = []
    for place, part in enumerate(samples):
        left = middle_x - part.hw[1] * (place % 2 == 0)
        top = middle_y - part.hw[0] * (place < 2)
        cut_x, cut_y = max(0, -left), max(0, -top)
        space = canvas[top + cut_y : top + part.hw[0], left + cut_x : left + part.hw[1]]
        space[:] = part.image[cut_y : cut_y + space.shape[0], cut_x : cut_x + space.shape[1]]
        parts.append(replace(part, boxes=part.boxes + np.array([left, top, left, top], np.float32)))
    return _joined(canvas, parts)


def mix_up(one: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """Blends two samples of equal size in about equal shares, and joins their boxes.

    Zhang et al., "mixup: beyond empirical risk minimization", 2018, with the shares of YOLOv5: beta(32, 32).
    """
    share = rng.beta(32, 32)
    return _joined(np.asarray(cv2.addWeighted(one.image, share, other.image, 1 - share, 0), np.uint8), [one, other])


def _joined(image: Image, parts: list[Sample]) -> Sample:
    return Sample(
        image=image,
        boxes=np.concatenate([part.boxes for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        ignored=np.concatenate([part.ignored for part in parts]),
    )


def _crop(view: View, rng: np.random.Generator, hw: tuple[int, int]) -> Sample:
    scale = view.draw(rng)
    height, width = view.sample.hw
    return view.put(rng, scale, ((hw[1] - width * scale) * rng.random(), (hw[0] - height * scale) * rng.random()), hw)


def window(sample: Sample, rng: np.random.Generator, *, input_hw: tuple[int, int], fit: str, jitter: float) -> Sample:
    """Returns a random window of a large image, as large as the input, scaled by a factor in 1 - jitter .. 1 + jitter.

    Small objects keep their resolution, which scaling the whole image down to the input would reduce. Most windows
    contain an object. If a side of the image is shorter than the window, so is that side of the result, unless `fit` is
    `stretch`, which fills the input as `detect` does with such a tile.
    """
    scale = 1 + rng.uniform(-jitter, jitter)
    height, width = (min(side, max(1, round(wanted / scale))) for side, wanted in zip(sample.hw, input_hw, strict=True))
    part = crop(sample, _corner(sample, rng, (height, width)), (height, width))
    if fit == "stretch":
        return resize_sample(part, input_hw)
    target = (min(input_hw[0], max(1, round(height * scale))), min(input_hw[1], max(1, round(width * scale))))
    return resize_sample(part, target)


def tile_of(grid: TileGrid, image_hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[int, int] | None:
    """Returns the size `(H, W)` of the tiles of an image in pixels; None where it is not cut.

    An image that is no larger than the input is not cut: that would only enlarge it.
    """
    if grid.count == 1 or (image_hw[0] <= input_hw[0] and image_hw[1] <= input_hw[1]):
        return None
    return grid.tile_hw(image_hw)


def tile_window(
    sample: Sample,
    rng: np.random.Generator,
    tile_hw: tuple[int, int],
    *,
    input_hw: tuple[int, int],
    fit: str,
    jitter: float,
) -> Sample:
    """Returns a random window of about the size of a tile, scaled to the input as `detect` scales tiles.

    The sides of the window are those of a tile over a factor in 1 - jitter .. 1 + jitter. Most windows contain an
    object.
    """
    scale = 1 + rng.uniform(-jitter, jitter)
    height, width = (min(side, max(1, round(wanted / scale))) for side, wanted in zip(sample.hw, tile_hw, strict=True))
    return fitted(crop(sample, _corner(sample, rng, (height, width)), (height, width)), input_hw, fit)


def _corner(sample: Sample, rng: np.random.Generator, hw: tuple[int, int]) -> tuple[int, int]:
    """Draws the corner (x, y) of a window of `hw`; TOWARDS_OBJECTS of the windows contain a randomly drawn object."""
    room_x, room_y = sample.hw[1] - hw[1], sample.hw[0] - hw[0]
    objects = sample.boxes[~sample.ignored]
    if len(objects) == 0 or rng.random() >= TOWARDS_OBJECTS:
        return int(rng.integers(room_x + 1)), int(rng.integers(room_y + 1))
    x1, y1, x2, y2 = objects[rng.integers(len(objects))]
    return _start(rng, x1, x2, hw[1], room_x), _start(rng, y1, y2, hw[0], room_y)


def _start(rng: np.random.Generator, low: float, high: float, size: int, room: int) -> int:
    """Draws the start of a window of `size` that covers low..high; larger objects are covered partly."""
    first, last = sorted((int(np.ceil(high)) - size, int(np.floor(low))))
    first, last = (min(max(value, 0), room) for value in (first, last))
    return int(rng.integers(first, last + 1))
