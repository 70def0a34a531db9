"""Read images as small grey thumbnails, as fast as their format allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from search_space.errors import DataError
from trainers.data import Record
from trainers.data.dataset import read_record
from trainers.data.images import image_header
from trainers.data.pixel_range import PixelRange
from trainers.data.stated_sizes import header_mismatch

SIDE = 32
"""Side of a thumbnail in pixels; the aspect ratio of the image is not kept."""
REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
"""Reduction of a JPEG during decoding, which is several times faster than decoding in full."""
JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG_END, TAIL_BYTES = b"\xff\xd9", 256
"""Marker at the end of a complete JPEG, and the number of last bytes to search for it."""

Thumbnails = NDArray[np.float32]
"""`(N, SIDE, SIDE)` grey, 0 to 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """The thumbnails of one split of a data set."""

    part: str
    pixels: Thumbnails
    names: tuple[str, ...]
    """Name of the image of each thumbnail."""
    num_unreadable: int = 0
    """Number of images that could not be read; they have no thumbnail."""


def gallery(
    part: str,
    records: Sequence[Record],
    on_image: Callable[[], None] = lambda: None,
    pixel_range: PixelRange | None = None,
) -> Gallery:
    """Reads the thumbnails of all records that can be read.

    Args:
        part: name of the part of the data set.
        records: its images.
        on_image: is called after each image.
        pixel_range: as in `read_image`.
    """
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        read = []
        for thumbnail in pool.map(_try, records, repeat(pixel_range)):
            read.append(thumbnail)
            on_image()
    good = [(pixels, record.key) for pixels, record in zip(read, records, strict=True) if pixels is not None]
    pixels = np.stack([each for each, _ in good]) if good else np.zeros((0, SIDE, SIDE), np.float32)
    names = tuple(name for _, name in good)
    return Gallery(part=part, pixels=pixels, names=names, num_unreadable=len(records) - len(good))


def _try(record: Record, pixel_range: PixelRange | None) -> Thumbnails | None:
    try:
        return thumbnail(record, pixel_range)
    except (DataError, OSError, cv2.error):
        return None


def thumbnail(record: Record, pixel_range: PixelRange | None = None) -> Thumbnails:
    """Returns the thumbnail `(SIDE, SIDE)` of one image; `pixel_range` is as in `read_image`.

    Raises:
        DataError: The image cannot be read, or its size differs from its annotation.
    """
    image = _reduced(record)
    if image is None:
        image = read_record(record, pixel_range)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _reduced(record: Record) -> NDArray[np.uint8] | None:
    """Returns a large JPEG in grey at a reduced size; None if the image must be read in full."""
    path, short = record.path, min(record.height, record.width)
    factor = next((factor for factor in REDUCED if short >= 2 * SIDE * factor), None)
    if path is None or record.window is not None or factor is None or path.suffix.lower() not in JPEG_SUFFIXES:
        return None
    wrong = header_mismatch(record, image_header(path))  # raises for images that would need too much memory
    if wrong is not None:
        raise DataError(f"{path}: {wrong}; correct the annotation or the image")
    raw = np.fromfile(path, np.uint8)
    if JPEG_END not in raw[-TAIL_BYTES:].tobytes():  # maybe truncated; OpenCV would fill the rest
        return None
    image = cv2.imdecode(raw, REDUCED[factor])
    return None if image is None else np.asarray(image, np.uint8)
