"""One form for all data sets: a list of records (file, size, boxes) and a way to read an image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from search_space.errors import DataError
from trainers.data.images import Image, image_size, read_image, read_rgb

__all__ = [
    "CACHE_BYTES",
    "EVERY_CLASS",
    "Boxes",
    "Dataset",
    "Image",
    "ImageCache",
    "Labels",
    "Record",
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
"""Label of an ignored region that holds for all classes."""
CACHE_BYTES = 1_500_000_000


def no_boxes() -> Boxes:
    """Returns an empty table of boxes `(0, 4)`."""
    return np.zeros((0, 4), np.float32)


def no_labels() -> Labels:
    """Returns an empty list of labels `(0,)`."""
    return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One image and what is marked in it; boxes are `(x1, y1, x2, y2)` in pixels of that image."""

    path: Path | None
    """Image file; None for an image that is generated."""
    height: int
    width: int
    boxes: Boxes
    """`(N, 4)`."""
    labels: Labels
    """`(N,)` indices into the classes of the data set."""
    ignored: Boxes = field(default_factory=no_boxes)
    """`(M, 4)`: regions in which detections count neither as right nor as wrong."""
    ignored_labels: Labels = field(default_factory=no_labels)
    """`(M,)` class for which each region is ignored; -1 is every class. Left out: every class for all regions."""
    number: int = 0
    """Which image of a generated set this is."""
    window: tuple[int, int, int, int] | None = None
    """`(x1, y1, x2, y2)` in pixels of the file: the part of it that is this image; None is all of it."""

    def __post_init__(self) -> None:
        if len(self.ignored_labels) != len(self.ignored):
            object.__setattr__(self, "ignored_labels", np.full(len(self.ignored), EVERY_CLASS, np.int64))

    @property
    def name(self) -> str:
        """File name, with the window where the image is a part of the file, or the number of a generated image."""
        if self.path is None:
            return f"image {self.number}"
        return self.path.name if self.window is None else f"{self.path.name}@{','.join(map(str, self.window))}"

    @property
    def key(self) -> str:
        """What tells this image from all others: its place and its window, or the number of a generated image."""
        return self.name if self.path is None else str(self.path.parent / self.name)


@dataclass(kw_only=True)
class ImageCache:
    """Decoded images, kept until they take `limit_bytes`; greyscale images are kept with one channel."""

    limit_bytes: int = CACHE_BYTES
    num_bytes: int = 0
    images: dict[str, Image] = field(default_factory=dict)

    def add(self, key: str, image: Image) -> None:
        """Keeps an image if there is room for it."""
        if self.num_bytes + image.nbytes <= self.limit_bytes:
            self.images[key] = image
            self.num_bytes += image.nbytes


class Dataset:
    """Images with boxes. Images are read when asked for and remembered while memory allows.

    Args:
        records: one entry an image.
        classes: names in the order of the labels.
        reader: returns the image of a record, `(H, W)` or `(H, W, 3)` RGB, uint8; default: from its file.
        cache: shared by data sets that show the same images.
    """

    def __init__(
        self,
        records: Sequence[Record],
        classes: Sequence[str],
        *,
        reader: Callable[[Record], Image] | None = None,
        cache: ImageCache | None = None,
    ) -> None:
        self.records = tuple(records)
        self.classes = tuple(classes)
        self._reader = reader or read_record
        self._cache = cache or ImageCache()

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": ImageCache(limit_bytes=self._cache.limit_bytes)}

    def image(self, index: int) -> Image:
        """Returns image `index` as RGB `(H, W, 3)` uint8.

        Raises:
            DataError: the file is missing, cannot be decoded or has another size than its annotation says.
        """
        record = self.records[index]
        key = record.key
        image = self._cache.images.get(key)
        if image is None:
            image = self._reader(record)
            self._cache.add(key, image)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8) if image.ndim == 2 else image

    def limited(self, num_images: int) -> Dataset:
        """Returns a data set of at most `num_images` images, evenly spaced over this one."""
        if num_images >= len(self):
            return self
        chosen = np.linspace(0, len(self) - 1, num_images).round().astype(int)
        records = [self.records[index] for index in chosen]
        return Dataset(records, self.classes, reader=self._reader, cache=self._cache)

    def fingerprint(self) -> str:
        """Returns 16 hex characters that change with the classes, file names, image sizes, boxes or labels."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for record in self.records:
            name = record.name.encode(errors="surrogateescape")  # on disk a name may be any bytes
            digest.update(name + f"\0{record.height}x{record.width}".encode())
            for boxes, labels in ((record.boxes, record.labels), (record.ignored, record.ignored_labels)):
                digest.update(f"\0{len(boxes)}\0".encode())
                digest.update(np.ascontiguousarray(boxes, "<f4").tobytes())
                digest.update(np.ascontiguousarray(labels, "<i8").tobytes())
        return digest.hexdigest()[:16]


def read_record(record: Record) -> Image:
    """Reads the file of a record, or its window in it, and checks the size against the annotation.

    Raises:
        DataError: there is no file, it cannot be decoded, or it is of another size.
    """
    if record.path is None:
        raise DataError(f"{record.name} has no file to be read from; give the data set a reader")
    image = read_image(record.path, stated_hw(record))
    wrong = size_mismatch(record, (image.shape[0], image.shape[1]))
    if wrong:
        raise DataError(f"{record.path}: {wrong}; correct the annotation or the image")
    if record.window is None:
        return image
    x1, y1, x2, y2 = record.window
    return np.ascontiguousarray(image[y1:y2, x1:x2])


def stated_hw(record: Record) -> tuple[int, int] | None:
    """Returns the size that the annotation states for the file; None where the image is a window of it."""
    return (record.height, record.width) if record.window is None else None


def size_mismatch(record: Record, hw: tuple[int, int]) -> str | None:
    """Returns what contradicts the annotation in an image file of `hw` pixels, or None."""
    if record.window is not None:
        x1, y1, x2, y2 = record.window
        fits = 0 <= x1 < x2 <= hw[1] and 0 <= y1 < y2 <= hw[0]
        return None if fits else f"the window {record.window} does not fit into the file of {hw[1]}x{hw[0]}"
    if hw == (record.height, record.width):
        return None
    return f"the annotation says {record.width}x{record.height} (width x height), the file is {hw[1]}x{hw[0]}"
