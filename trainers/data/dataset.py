"""The representation of all data sets: records (file, size, boxes) and a function that reads an image."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from search_space.errors import DataError
from trainers.data.images import Image, image_size, read_image, read_rgb
from trainers.data.pixel_range import PixelRange

__all__ = [
    "CACHE_BYTES",
    "EVERY_CLASS",
    "Boxes",
    "Dataset",
    "Image",
    "ImageCache",
    "Labels",
    "Record",
    "distinct_records",
    "image_size",
    "no_boxes",
    "no_labels",
    "read_image",
    "read_record",
    "read_rgb",
]

Boxes = NDArray[np.float32]
Labels = NDArray[np.int64]

EVERY_CLASS = -1
"""Label of an ignored region that applies to all classes."""
CACHE_BYTES = 1_500_000_000


def no_boxes() -> Boxes:
    """Returns an empty table of boxes `(0, 4)`."""
    return np.zeros((0, 4), np.float32)


def no_labels() -> Labels:
    """Returns an empty list of labels `(0,)`."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One image with its annotations; boxes are `(x1, y1, x2, y2)` in pixels of the image."""

    path: Path | None
    """Image file; None for a generated image."""
    height: int
    width: int
    boxes: Boxes
    """`(N, 4)`."""
    labels: Labels
    """`(N,)` indices into the classes of the data set."""
    ignored: Boxes = field(default_factory=no_boxes)
    """`(M, 4)`: regions in which detections count neither as true nor as false positives."""
    ignored_labels: Labels = field(default_factory=no_labels)
    """`(M,)`: class for which each region is ignored; -1 is every class, which is also the default."""
    number: int = 0
    """Number of the image in a generated set."""
    window: tuple[int, int, int, int] | None = None
    """`(x1, y1, x2, y2)` in pixels of the file: the window that is this image; None is the whole file."""

    def __post_init__(self) -> None:
        if len(self.ignored_labels) != len(self.ignored):
            object.__setattr__(self, "ignored_labels", np.full(len(self.ignored), EVERY_CLASS, np.int64))

    @property
    def name(self) -> str:
        """File name, with the window if there is one, or the number of a generated image."""
        if self.path is None:
            return f"image {self.number}"
        return self.path.name if self.window is None else f"{self.path.name}@{','.join(map(str, self.window))}"

    @property
    def key(self) -> str:
        """Identifies the image: its path and window, or the number of a generated image."""
        return self.name if self.path is None else str(self.path.parent / self.name)


@dataclass(kw_only=True)
class ImageCache:
    """Decoded images, at most `limit_bytes` of them; greyscale images are kept with one channel."""

    limit_bytes: int = CACHE_BYTES
    num_bytes: int = 0
    images: dict[str, Image] = field(default_factory=dict)

    def add(self, key: str, image: Image) -> None:
        """Adds an image if it fits into the limit."""
        if self.num_bytes + image.nbytes <= self.limit_bytes:
            self.images[key] = image
            self.num_bytes += image.nbytes


class Dataset:
    """Images with boxes. Images are read on access and cached up to a limit.

    Args:
        records: one per image.
        classes: names in the order of the labels.
        reader: returns the image of a record, `(H, W)` or `(H, W, 3)` RGB, uint8; default: from its file.
        cache: to be shared by data sets with the same images.
        pixel_range: the values that become 0 and 255 in images of more than 8 bits; None if there are none.
    """

    def __init__(
        self,
        records: Sequence[Record],
        classes: Sequence[str],
        *,
        reader: Callable[[Record], Image] | None = None,
        cache: ImageCache | None = None,
        pixel_range: PixelRange | None = None,
    ) -> None:
        self.records = tuple(records)
        self.classes = tuple(classes)
        self.pixel_range = pixel_range
        self._reader = reader
        self._cache = cache or ImageCache()

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": ImageCache(limit_bytes=self._cache.limit_bytes)}

    def image(self, index: int) -> Image:
        """Returns image `index` as RGB `(H, W, 3)` uint8.

        Raises:
            DataError: the file is missing, cannot be decoded, or its size is not that of the annotation.
        """
        record = self.records[index]
        key = record.key
        image = self._cache.images.get(key)
        if image is None:
            image = self._reader(record) if self._reader else read_record(record, self.pixel_range)
            self._cache.add(key, image)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8) if image.ndim == 2 else image

    def limited(self, num_images: int) -> Dataset:
        """Returns a data set of at most `num_images` images, evenly spaced in this one."""
        if num_images >= len(self):
            return self
        return self.taking(np.linspace(0, len(self) - 1, num_images).round().astype(int).tolist())

    def taking(self, indices: Iterable[int]) -> Dataset:
        """Returns a data set of some of the images, which shares the cache of this one."""
        return self.replaced([self.records[index] for index in indices])

    def replaced(self, records: Sequence[Record], classes: Sequence[str] | None = None) -> Dataset:
        """Returns a data set of other records of the same images, which shares the cache of this one.

        Args:
            records: one per image.
            classes: names in the order of the labels; None: those of this one.
        """
        return Dataset(
            records,
            self.classes if classes is None else classes,
            reader=self._reader,
            cache=self._cache,
            pixel_range=self.pixel_range,
        )

    def in_range(self, pixel_range: PixelRange | None) -> Dataset:
        """Returns the data set with another range of the images of more than 8 bits, and a cache of its own."""
        changed = copy.copy(self)
        changed.pixel_range, changed._cache = pixel_range, ImageCache(limit_bytes=self._cache.limit_bytes)
        return changed

    def without_ignored(self) -> Dataset:
        """Returns this data set without its ignored regions; it shares the cache."""
        return self.replaced([replace(each, ignored=no_boxes(), ignored_labels=no_labels()) for each in self.records])

    def fingerprint(self) -> str:
        """Returns 16 hex characters that change with the classes, file names, image sizes, boxes or labels."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for record in self.records:
            name = record.name.encode(errors="surrogateescape")  # file names may be arbitrary bytes
            digest.update(name + f"\0{record.height}x{record.width}".encode())
            for boxes, labels in ((record.boxes, record.labels), (record.ignored, record.ignored_labels)):
                digest.update(f"\0{len(boxes)}\0".encode())
                digest.update(np.ascontiguousarray(boxes, "<f4").tobytes())
                digest.update(np.ascontiguousarray(labels, "<i8").tobytes())
        if self.pixel_range is not None:
            digest.update(f"\0range{self.pixel_range!r}".encode())
        return digest.hexdigest()[:16]


def distinct_records(datasets: Iterable[Dataset]) -> list[Record]:
    """Returns the distinct images of data sets."""
    return list({record.key: record for dataset in datasets for record in dataset.records}.values())


def read_record(record: Record, pixel_range: PixelRange | None = None) -> Image:
    """Reads the image of a record and checks its size against the annotation.

    Args:
        pixel_range: as `read_image` takes it.

    Raises:
        DataError: there is no file, it cannot be decoded, its size is not that of the annotation, or it has more than
            8 bits and no range is given.
    """
    if record.path is None:
        raise DataError(f"{record.name} has no image file; give the data set a reader")
    image = read_image(record.path, stated_hw(record), pixel_range)
    wrong = size_mismatch(record, (image.shape[0], image.shape[1]))
    if wrong:
        raise DataError(f"{record.path}: {wrong}; correct the annotation or the image")
    if record.window is None:
        return image
    x1, y1, x2, y2 = record.window
    return np.ascontiguousarray(image[y1:y2, x1:x2])


def stated_hw(record: Record) -> tuple[int, int] | None:
    """Returns the (height, width) that the annotation states for the file; None if the image is a window of it."""
    return (record.height, record.width) if record.window is None else None


def size_mismatch(record: Record, hw: tuple[int, int]) -> str | None:
    """Returns how an image file of `hw` pixels contradicts its annotation, or None."""
    if record.window is not None:
        x1, y1, x2, y2 = record.window
        fits = 0 <= x1 < x2 <= hw[1] and 0 <= y1 < y2 <= hw[0]
        return None if fits else f"the window {record.window} does not fit into the file of {hw[1]}x{hw[0]}"
    if hw == (record.height, record.width):
        return None
    return f"the annotation says {record.width}x{record.height} (width x height), the file is {hw[1]}x{hw[0]}"
