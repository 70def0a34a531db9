"""Read image files: pixels as uint8, and sizes from headers."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import PIL.Image
import PIL.JpegImagePlugin
from numpy.typing import NDArray

from search_space.errors import DataError
from trainers.data.pixel_layout import first_page, tiff_pages
from trainers.data.pixel_range import PixelRange, scale_to_8_bits

# Where Pillow warns, this module either raises an ImageError or the image is usable.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 178_956_970
"""Larger images are refused before decoding: a forged header could exhaust memory."""
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF")
_TAIL_BYTES = 256
_ORIENTATION_TAG = 0x0112
_UPRIGHT: dict[int, Callable[[NDArray[np.generic]], NDArray[np.generic]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""The transformation that makes an image upright, by EXIF orientation."""
_FIRST_TURNED = 5
"""From this orientation on, width and height are swapped."""


class ImageError(DataError):
    """An unusable image file; `kind` is the kind of defect."""

    def __init__(self, message: str, kind: str = "unreadable_image") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What the header of an image file states."""

    height: int
    """Of the upright image."""
    width: int
    channels: int
    orientation: int = 1
    """EXIF orientation of a JPEG, 1 to 8; 1: the stored pixels are upright."""

    def is_shown_as_stored(self, stated_hw: tuple[int, int] | None) -> bool:
        """Returns whether the annotated size is that of the stored pixels, although an EXIF tag rotates them."""
        shown = (self.height, self.width)
        return self.orientation >= _FIRST_TURNED and stated_hw == shown[::-1] != shown


def image_header(path: str | Path) -> ImageHeader:
    """Returns the header of an image file.

    Raises:
        ImageError: the file is missing, is not an image, or has more than `MAX_PIXELS`.
    """
    with _named_errors(path), open(path, "rb") as file:
        return _header(file, path)


def image_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of an image file in pixels from its header; raises like `image_header`."""
    header = image_header(path)
    return header.height, header.width


def read_image(
    path: str | Path, stated_hw: tuple[int, int] | None = None, pixel_range: PixelRange | None = None
) -> Image:
    """Reads an image file as uint8, `(H, W)` if it is greyscale and `(H, W, 3)` RGB otherwise.

    Values of more than 8 bits are scaled from a range, which must be the same for all images of a detector. An alpha
    channel is dropped. A JPEG with an orientation tag is read upright, as annotation and training tools do, unless the
    annotated size is that of the stored pixels.

    Args:
        stated_hw: height and width in the annotations, if they state it.
        pixel_range: the values that become 0 and 255 in an image of more than 8 bits; 8-bit images stay as they are.

    Raises:
        ImageError: the file is missing, cannot be decoded, is truncated, has more than `MAX_PIXELS`, or has more than
            8 bits and no range is given.
    """
    return _as_rgb8(read_pixels(path, stated_hw), path, pixel_range)


def read_rgb(path: str | Path, pixel_range: PixelRange | None = None) -> Image:
    """Reads an image file as RGB `(H, W, 3)` uint8; see `read_image`."""
    image = read_image(path, pixel_range=pixel_range)
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def read_pixels(path: str | Path, stated_hw: tuple[int, int] | None = None) -> NDArray[np.generic]:
    """Reads the upright pixels of an image file in BGR with their original depth and channels; see `read_image`."""
    with _named_errors(path):
        raw = np.fromfile(path, np.uint8)
    file = io.BytesIO(raw.tobytes())
    header = _header(file, path)
    _check_complete(raw, path)
    layout = first_page(file)
    if not layout.num_channels_read:
        raise ImageError(
            f"image {path} has {layout.num_channels} channels, of which none can be read; "
            "convert it to 8 bits with 1 or 3 channels"
        )
    try:
        image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(_damaged(path))
    if header.orientation == 1 or header.is_shown_as_stored(stated_hw):
        return np.asarray(image)
    return _UPRIGHT[header.orientation](np.asarray(image))


@contextmanager
def _named_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"cannot read image {path}: {error.strerror}; check the path", "missing_image") from None
    except OSError as error:
        raise ImageError(f"cannot read image {path}: {error.strerror or error}; check the file") from None


def _damaged(path: str | Path) -> str:
    return f"cannot decode image {path}: it is damaged or of an unknown format; replace or remove it"


def _header(file: IO[bytes], path: str | Path) -> ImageHeader:
    try:
        with PIL.Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            channels, orientation = len(image.getbands()), _orientation(image)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise ImageError(_huge(path, "more pixels than that"), "huge_image") from None
    except Exception:  # damaged headers make Pillow raise almost any exception
        height, width, channels = _tiff_header(file, path)
        orientation = 1
    if width * height > MAX_PIXELS:
        raise ImageError(_huge(path, f"{width}x{height}"), "huge_image")
    if not width * height:
        raise ImageError(_damaged(path))
    if orientation >= _FIRST_TURNED:
        height, width = width, height
    return ImageHeader(height=height, width=width, channels=channels, orientation=orientation)


def _orientation(image: PIL.Image.Image) -> int:
    """Returns the EXIF orientation of a JPEG; 1 if the tag is missing or damaged, and for other formats."""
    if not isinstance(image, PIL.JpegImagePlugin.JpegImageFile) or "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # see `_header`
        return 1
    return found if found in _UPRIGHT else 1


def _huge(path: str | Path, got: str) -> str:
    return (
        f"image {path} has more than {MAX_PIXELS:,} pixels ({got}); cut it into tiles, or replace it if it is damaged"
    )


def _tiff_header(file: IO[bytes], path: str | Path) -> tuple[int, int, int]:
    """Returns height, width and channels of a TIFF that Pillow does not support, such as 16-bit color."""
    try:
        tags = next(tiff_pages(file))
        return int(tags[257]), int(tags[256]), int(tags.get(277, 1))
    except Exception:  # as above
        raise ImageError(_damaged(path)) from None


def _check_complete(raw: NDArray[np.uint8], path: str | Path) -> None:
    """Refuses a truncated JPEG or PNG: OpenCV before version 5 fills the missing part with grey."""
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
    end = ends.get(raw[:2].tobytes())
    if end is None or end in raw[-_TAIL_BYTES:].tobytes():
        return
    try:  # some cameras append data after the end marker
        with PIL.Image.open(io.BytesIO(raw.tobytes()), formats=_FORMATS) as image:
            image.load()
    except Exception:  # as above
        raise ImageError(f"image {path} is truncated; replace or remove it", "truncated_image") from None


def _as_rgb8(image: NDArray[np.generic], path: str | Path, pixel_range: PixelRange | None) -> Image:
    if image.dtype != np.uint8:
        if pixel_range is None:
            raise ImageError(
                f"image {path} holds {image.dtype} values, and no range is known to scale them from; "
                "give it with --range LOW HIGH"
            )
        image = scale_to_8_bits(image, pixel_range)
    pixels = np.asarray(image, np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


def is_file(path: str | Path) -> bool:
    """Returns whether a file exists; False for a name that no file can have."""
    return os.path.isfile(path)
