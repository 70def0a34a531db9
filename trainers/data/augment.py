"""Geometry and light of training images. All randomness comes from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from search_space.errors import ConfigError
from trainers.data.dataset import Boxes, Dataset, Image, Labels

PAD_VALUE = 114
MIN_EXTENT_PX = 1.5
MIN_VISIBLE = 0.2


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How strongly training images are varied; zero switches a part off."""

    mosaic: float = 0.0
    """Chance that a training image is put together from four; pays on long schedules, so that it is off here."""
    mosaic_until: float = 0.8
    """Share of the schedule after which no mosaic is made any more."""
    flip: float = 0.5
    """Chance of mirroring left and right."""
    scale: float = 0.3
    """Images are scaled by a factor in 1 - scale .. 1 + scale."""
    translate: float = 0.1
    """Images are moved by up to this share of the input's sides."""
    light: float = 0.2
    """Brightness and contrast vary by up to this share."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"augmentation {name} is {value}; it must lie in 0..1")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image with its boxes on the way to a batch; objects and ignored regions are in one table."""

    image: Image
    boxes: Boxes
    """`(N, 4)` in pixels of `image`."""
    labels: Labels
    """`(N,)`; -1 in ignored regions that hold for every class."""
    ignored: NDArray[np.bool_]
    """`(N,)`: True for ignored regions."""


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
class Letterbox:
    """How an image is fitted into the input of a detector: scaled with its aspect kept, centred, padded with grey."""

    width: int
    height: int
    """Size of the scaled image in pixels."""
    scale_x: float
    scale_y: float
    """Exact scale factors; they differ by the rounding to whole pixels."""
    left: int
    top: int
    """Padding before the image in pixels."""
    input_hw: tuple[int, int]

    @classmethod
    def fit(cls, image_hw: tuple[int, int], input_hw: tuple[int, int]) -> Letterbox:
        """Returns the letterbox of an image of `(H, W)` in an input of `(H, W)` pixels."""
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
        """Returns the padded input image `(H, W, 3)`."""
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
    """Resizes to `(H, W)`; shrinking averages over areas so that small objects do not fall between samples."""
    if image.shape[:2] == hw:
        return image
    method = cv2.INTER_AREA if hw[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (hw[1], hw[0]), interpolation=method), np.uint8)


def augment(
    draw: Callable[[], Sample],
    rng: np.random.Generator,
    *,
    input_hw: tuple[int, int],
    strength: Augmentation,
    mosaic_allowed: bool,
) -> Sample:
    """Returns one training sample of size `input_hw`; `draw` gives the next raw sample, four times for a mosaic."""
    if mosaic_allowed and rng.random() < strength.mosaic:
        sample = make_mosaic([_fitted(draw(), input_hw) for _ in range(4)], rng, input_hw=input_hw, strength=strength)
    else:
        sample = move(_fitted(draw(), input_hw), rng, input_hw=input_hw, strength=strength)
    return replace(sample, image=vary_light(sample.image, rng, strength.light))


def _fitted(sample: Sample, input_hw: tuple[int, int]) -> Sample:
    """Scales a sample to the size it has in the letterbox, without padding."""
    box = Letterbox.fit((sample.image.shape[0], sample.image.shape[1]), input_hw)
    scale = np.array([box.scale_x, box.scale_y, box.scale_x, box.scale_y], np.float32)
    return replace(sample, image=resize(sample.image, (box.height, box.width)), boxes=sample.boxes * scale)


def move(sample: Sample, rng: np.random.Generator, *, input_hw: tuple[int, int], strength: Augmentation) -> Sample:
    """Mirrors, scales and shifts a sample at random about the middle of the input."""
    scale = 1 + rng.uniform(-strength.scale, strength.scale)
    height, width = sample.image.shape[:2]
    shift_x = (input_hw[1] - width * scale) / 2 + rng.uniform(-1, 1) * strength.translate * input_hw[1]
    shift_y = (input_hw[0] - height * scale) / 2 + rng.uniform(-1, 1) * strength.translate * input_hw[0]
    return place(sample, scale, (shift_x, shift_y), flip=rng.random() < strength.flip, hw=input_hw)


def make_mosaic(
    samples: list[Sample], rng: np.random.Generator, *, input_hw: tuple[int, int], strength: Augmentation
) -> Sample:
    """Fills the four quarters about a random point with random crops of four samples.

    Bochkovskiy et al., "YOLOv4: optimal speed and accuracy of object detection", 2020.
    """
    middle_x, middle_y = (int(side * rng.uniform(0.3, 0.7)) for side in (input_hw[1], input_hw[0]))
    canvas = np.empty((*input_hw, 3), np.uint8)
    corners = ((0, 0), (middle_x, 0), (0, middle_y), (middle_x, middle_y))
    parts = []
    for sample, (left, top) in zip(samples, corners, strict=True):
        hw = (middle_y if top == 0 else input_hw[0] - middle_y, middle_x if left == 0 else input_hw[1] - middle_x)
        part = _crop(sample, rng, hw=hw, strength=strength)
        canvas[top : top + hw[0], left : left + hw[1]] = part.image
        parts.append(replace(part, boxes=part.boxes + np.array([left, top, left, top], np.float32)))
    return Sample(
        image=canvas,
        boxes=np.concatenate([part.boxes for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        ignored=np.concatenate([part.ignored for part in parts]),
    )


def _crop(sample: Sample, rng: np.random.Generator, *, hw: tuple[int, int], strength: Augmentation) -> Sample:
    scale = 1 + rng.uniform(-strength.scale, strength.scale)
    height, width = sample.image.shape[:2]
    shift = ((hw[1] - width * scale) * rng.random(), (hw[0] - height * scale) * rng.random())
    return place(sample, scale, shift, flip=rng.random() < strength.flip, hw=hw)


def place(sample: Sample, scale: float, shift: tuple[float, float], *, flip: bool, hw: tuple[int, int]) -> Sample:
    """Scales a sample, puts its corner at `shift` (x, y in pixels) of a canvas of `hw` and mirrors it within itself.

    Objects that are cut to less than a fifth or to less than 1.5 px are dropped.
    """
    width = sample.image.shape[1]
    # Pixel centres sit at half-integers in box coordinates but at integers in the warp.
    matrix = np.array([[scale, 0, shift[0] + scale / 2 - 0.5], [0, scale, shift[1] + scale / 2 - 0.5]])
    image, boxes = sample.image, sample.boxes
    if flip:
        image = np.ascontiguousarray(image[:, ::-1])
        boxes = np.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), axis=1)
    image = np.asarray(
        cv2.warpAffine(image, matrix, (hw[1], hw[0]), flags=cv2.INTER_LINEAR, borderValue=(PAD_VALUE,) * 3), np.uint8
    )
    boxes = boxes * np.float32(scale) + np.array([*shift, *shift], np.float32)
    return clip(replace(sample, image=image, boxes=boxes))


def clip(sample: Sample) -> Sample:
    """Clips boxes to the image and drops what is hardly left; of ignored regions every visible part stays."""
    height, width = sample.image.shape[:2]
    clipped = sample.boxes.clip(0, np.array([width, height, width, height], np.float32))
    sides = (clipped[:, 2:] - clipped[:, :2]).clip(0)
    whole = np.maximum((sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(axis=1), 1e-6)
    visible = sides.prod(axis=1) / whole
    keep = (sides.min(axis=1, initial=np.inf) >= MIN_EXTENT_PX) & (sample.ignored | (visible >= MIN_VISIBLE))
    return replace(sample, boxes=clipped[keep], labels=sample.labels[keep], ignored=sample.ignored[keep])


def vary_light(image: Image, rng: np.random.Generator, amount: float) -> Image:
    """Changes contrast about the middle grey and brightness, each by up to `amount`."""
    contrast, brightness = 1 + rng.uniform(-amount, amount, 2)
    if amount == 0:
        return image
    table = ((np.arange(256) - 127.5) * contrast + 127.5 * brightness).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)
