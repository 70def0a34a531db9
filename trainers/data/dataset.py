"""One form for all data sets: a list of records (file, size, boxes) and a way to read an image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from search_space.errors import DataError

Image = NDArray[np.uint8]
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

    def __post_init__(self) -> None:
        if len(self.ignored_labels) != len(self.ignored):
            object.__setattr__(self, "ignored_labels", np.full(len(self.ignored), EVERY_CLASS, np.int64))

    @property
    def name(self) -> str:
        """File name, or the number of a generated image."""
        return self.path.name if self.path else f"image {self.number}"


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
        key = str(record.path or record.number)
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
            digest.update(f"{record.name}\0{record.height}x{record.width}".encode())
            for boxes, labels in ((record.boxes, record.labels), (record.ignored, record.ignored_labels)):
                digest.update(f"\0{len(boxes)}\0".encode())
                digest.update(np.ascontiguousarray(boxes, "<f4").tobytes())
                digest.update(np.ascontiguousarray(labels, "<i8").tobytes())
        return digest.hexdigest()[:16]


def read_record(record: Record) -> Image:
    """Reads the file of a record and checks its size against the annotation."""
    if record.path is None:
        raise DataError(f"{record.name} has no file to be read from; give the data set a reader")
    image = read_image(record.path)
    if image.shape[:2] != (record.height, record.width):
        raise DataError(
            f"{record.path}: the annotation says {record.width}x{record.height} (width x height), the file is "
            f"{image.shape[1]}x{image.shape[0]}; correct the annotation or the image"
        )
    return image


def read_image(path: str | Path) -> Image:
    """Reads an image file as uint8, `(H, W)` if it is grey and `(H, W, 3)` RGB otherwise.

    16-bit values are divided by 257, so that the full range 0..65535 becomes 0..255 and equal values stay equal from
    image to image. An alpha channel is dropped; an orientation tag is not applied.

    Raises:
        DataError: the file is missing or is no image that can be decoded.
    """
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"cannot read image {path}: {error.strerror}; check the path") from None
    image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED) if raw.size else None
    if image is None:
        raise DataError(f"cannot decode image {path}: it is damaged or of an unknown format; replace or remove it")
    return _as_rgb8(image, path)


def read_rgb(path: str | Path) -> Image:
    """Reads an image file as RGB `(H, W, 3)` uint8; see `read_image`."""
    image = read_image(path)
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def _as_rgb8(image: NDArray[np.generic], path: str | Path) -> Image:
    if image.dtype == np.uint16:
        image = (image.astype(np.uint32) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise DataError(f"image {path} holds {image.dtype} values; 8-bit and 16-bit images can be read, convert it")
    pixels = np.asarray(image, np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


def image_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of an image file in pixels, from its header where that is possible."""
    try:
        with PIL.Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError:
        raise DataError(f"image {path} does not exist; check the data set") from None
    except (OSError, PIL.Image.DecompressionBombError):
        pixels = read_image(path)
        return pixels.shape[0], pixels.shape[1]
