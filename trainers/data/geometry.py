"""Scale, crop, flip and rotate images together with their boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trainers.data.dataset import Boxes, Dataset, Image, Labels

PAD_VALUE = 114
MIN_EXTENT_PX = 1.5
MIN_VISIBLE = 0.2
SEEN_PX = 0.5
"""Boxes with a smaller visible width or height are dropped."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image with its boxes; objects and ignored regions share one table."""

    image: Image
    boxes: Boxes
    """`(N, 4)` in pixels of `image`."""
    labels: Labels
    """`(N,)`; -1 for ignored regions of every class."""
    ignored: NDArray[np.bool_]
    """`(N,)`: True for ignored regions."""

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.image.shape[0], self.image.shape[1]


def read_sample(dataset: Dataset, index: int) -> Sample:
    """Returns image `index` of a data set with its objects and ignored regions."""
    record = dataset.records[index]
    return Sample(
        image=dataset.image(index),
        boxes=np.concatenate((record.boxes, record.ignored)),
        labels=np.concatenate((record.labels, record.ignored_labels)),
        ignored=np.arange(len(record.boxes) + len(record.ignored)) >= len(record.boxes),
    )


@dataclass(frozen=True, kw_only=True)
class ImageFit:
    """How an image is fitted into the input of a detector.

    A letterbox keeps the aspect ratio, centers the image and pads it with grey. A stretched image fills the input.
    """

    width: int
    height: int
    """Size of the scaled image in pixels."""
    scale_x: float
    scale_y: float
    """Exact scale factors; in a letterbox rounding to whole pixels makes them differ slightly."""
    left: int
    top: int
    """Padding left of and above the image in pixels."""
    input_hw: tuple[int, int]

    @classmethod
    def of(cls, image_hw: tuple[int, int], input_hw: tuple[int, int], fit: str) -> ImageFit:
        """Returns how an image of `(H, W)` lies in an input of `(H, W)` pixels.

        Args:
            fit: `letterbox` or `stretch`, as in `InputFormat.fit`.
        """
        if fit == "stretch":
            height, width = input_hw
        else:
            gain = min(input_hw[0] / image_hw[0], input_hw[1] / image_hw[1])
            height, width = max(1, round(image_hw[0] * gain)), max(1, round(image_hw[1] * gain))
        return cls(
            width=width,
            height=height,
            scale_x=width / image_hw[1],
            scale_y=height / image_hw[0],
            left=(input_hw[1] - width) // 2,
            top=(input_hw[0] - height) // 2,
            input_hw=input_hw,
        )

    def apply(self, image: Image) -> Image:
        """Returns the input image `(H, W, 3)`."""
        canvas = np.full((*self.input_hw, 3), PAD_VALUE, np.uint8)
        inside = canvas[self.top : self.top + self.height, self.left : self.left + self.width]
        inside[:] = resize(image, (self.height, self.width))
        return canvas

    def to_input(self, boxes: Boxes) -> Boxes:
        """Maps boxes `(N, 4)` of the image into the input."""
        return (boxes * self._scale + self._shift).astype(np.float32)

    def to_image(self, boxes: Boxes) -> Boxes:
        """Maps boxes `(N, 4)` of the input back into the image; the inverse of `to_input`."""
        return ((boxes - self._shift) / self._scale).astype(np.float32)

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])

    @property
    def _shift(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, self.left, self.top], np.float64)


def resize(image: Image, hw: tuple[int, int]) -> Image:
    """Resizes to `(H, W)`; downscaling averages over areas, so that small objects are not skipped."""
    if image.shape[:2] == hw:
        return image
    method = cv2.INTER_AREA if hw[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (hw[1], hw[0]), interpolation=method), np.uint8)


def resize_sample(sample: Sample, hw: tuple[int, int]) -> Sample:
    """Resizes an image to `(H, W)` together with its boxes."""
    scale_y, scale_x = hw[0] / sample.hw[0], hw[1] / sample.hw[1]
    scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
    return replace(sample, image=resize(sample.image, hw), boxes=sample.boxes * scale)


def rotate(sample: Sample, quarters: int) -> Sample:
    """Rotates an image counterclockwise by `quarters` times 90 degrees."""
    boxes, width, height = sample.boxes, sample.hw[1], sample.hw[0]
    for _ in range(quarters % 4):
        boxes = np.stack((boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]), axis=1)
        width, height = height, width
    return replace(sample, image=np.ascontiguousarray(np.rot90(sample.image, quarters)), boxes=boxes)


def flip_sample(sample: Sample, *, horizontal: bool = False, vertical: bool = False) -> Sample:
    """Flips an image horizontally (`horizontal`), vertically (`vertical`) or both."""
    if not horizontal and not vertical:
        return sample
    (height, width), boxes = sample.hw, sample.boxes
    if horizontal:
        boxes = np.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), axis=1)
    if vertical:
        boxes = np.stack((boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]), axis=1)
    image = sample.image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    return replace(sample, image=np.ascontiguousarray(image), boxes=boxes)


def crop(sample: Sample, corner: tuple[int, int], hw: tuple[int, int]) -> Sample:
    """Returns the crop of `(H, W)` pixels at `corner` (x, y); it must lie inside the image."""
    x, y = corner
    image = np.ascontiguousarray(sample.image[y : y + hw[0], x : x + hw[1]])
    return clip(replace(sample, image=image, boxes=sample.boxes - np.array([x, y, x, y], np.float32)))


def place_on_canvas(
    sample: Sample,
    scale: float,
    shift: tuple[float, float],
    *,
    hw: tuple[int, int],
    flip: bool = False,
    flip_vertical: bool = False,
    overhang: bool = False,
) -> Sample:
    """Flips and scales a sample and places its corner at `shift` (x, y in pixels) on a canvas of `hw`.

    Args:
        overhang: boxes may reach past the image of the sample; they are clipped to it too.
    """
    sample = flip_sample(sample, horizontal=flip, vertical=flip_vertical)
    if (scale, *shift) == (1.0, 0.0, 0.0) and sample.hw == hw:
        return clip(sample)
    # Pixel centers are at half-integers in box coordinates, but at integers in warpAffine.
    matrix = np.array([[scale, 0, shift[0] + scale / 2 - 0.5], [0, scale, shift[1] + scale / 2 - 0.5]])
    image = cv2.warpAffine(sample.image, matrix, (hw[1], hw[0]), flags=cv2.INTER_LINEAR, borderValue=(PAD_VALUE,) * 3)
    boxes = sample.boxes * np.float32(scale) + np.array([*shift, *shift], np.float32)
    height, width = sample.hw
    inside = (shift[0], shift[1], shift[0] + scale * width, shift[1] + scale * height) if overhang else None
    return clip(replace(sample, image=np.asarray(image, np.uint8), boxes=boxes), inside)


def clip(sample: Sample, inside: tuple[float, float, float, float] | None = None) -> Sample:
    """Clips boxes to the image, and to `inside` (x1, y1, x2, y2).

    Objects of which less than a fifth, or less than 1.5 px, remains visible become ignored regions of their class: the
    visible rest is neither background nor enough to predict the whole box.
    """
    height, width = sample.hw
    clipped = sample.boxes.clip(0, np.array([width, height, width, height], np.float32))
    if inside is not None:
        clipped = clipped.clip(np.array(inside[:2] * 2, np.float32), np.array(inside[2:] * 2, np.float32))
    sides = (clipped[:, 2:] - clipped[:, :2]).clip(0)
    whole = np.maximum((sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(axis=1), 1e-6)
    shown = sides.min(axis=1, initial=np.inf)
    hardly = (shown < MIN_EXTENT_PX) | (sides.prod(axis=1) / whole < MIN_VISIBLE)
    seen = shown >= SEEN_PX
    return replace(sample, boxes=clipped[seen], labels=sample.labels[seen], ignored=(sample.ignored | hardly)[seen])
