"""The range of values that images of more than 8 bits are scaled from: one for a whole data set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_space.errors import ConfigError

PixelRange: TypeAlias = tuple[float, float]
"""The values that become 0 and 255; smaller and larger ones become 0 and 255 too."""
Pixels: TypeAlias = NDArray[Any]
"""`(H, W)` or `(H, W, C)` of any type of number; or values of them."""
NUM_SAMPLED = 64
"""Images that a range is computed from."""
PIXELS_SAMPLED = 2**18
"""Pixels of each image that a range is computed from, about; they are evenly spaced."""
PERCENTILES = (0.01, 99.99)
"""Of all sampled values. A small object is a small share of an image, and some pixels of a sensor are dead."""


def is_range(value: object) -> bool:
    """Returns whether a value from a file is a range: two finite numbers that rise."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in value):
        return False
    low, high = value
    return math.isfinite(low) and math.isfinite(high) and low < high


def check_range(pixel_range: PixelRange | None) -> None:
    """Raises ConfigError unless a range is None, or two numbers that rise."""
    if pixel_range is not None and not is_range(pixel_range):
        raise ConfigError(
            f"--range is {' '.join(map(str, pixel_range))}; it must be two numbers, the lower one first; "
            "next: --range 7000 8000, for example"
        )


def range_words(pixel_range: PixelRange) -> str:
    """Returns a range for a message."""
    low, high = (repr(value).removesuffix(".0") for value in pixel_range)
    return f"values {low} to {high} become 0 to 255"


def scale_to_8_bits(pixels: Pixels, pixel_range: PixelRange) -> NDArray[np.uint8]:
    """Returns values of any type as uint8: those of the range become 0 to 255; a value that is no number becomes 0."""
    low, high = pixel_range
    if pixels.dtype == np.uint16:
        return np.asarray(_table(low, high)[np.asarray(pixels, np.uint16)], np.uint8)
    return _scaled(pixels, low, high)


def share_outside(pixels: Pixels, pixel_range: PixelRange) -> float:
    """Returns the share of the values of an image `(H, W)` or `(H, W, C)` that are below or above a range."""
    values, (low, high) = _numbers(pixels), pixel_range
    return float(((values < low) | (values > high)).mean()) if values.size else 0.0


@lru_cache(maxsize=4)
def _table(low: float, high: float) -> NDArray[np.uint8]:
    return _scaled(np.arange(2**16), low, high)


def _scaled(values: Pixels, low: float, high: float) -> NDArray[np.uint8]:
    shares = (values.astype(np.float64) - low) / (high - low)
    return np.asarray(np.rint(255 * np.nan_to_num(shares, nan=0.0).clip(0, 1)), np.uint8)


def sampled(paths: Iterable[Path]) -> list[Path]:
    """Returns the files that a range is computed from: at most `NUM_SAMPLED`, evenly spaced, by name."""
    ordered = sorted(set(paths))
    places = np.linspace(0, len(ordered) - 1, min(NUM_SAMPLED, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def range_of(images: Iterable[Pixels]) -> PixelRange | None:
    """Returns the range of images `(H, W)` or `(H, W, C)`, whose fourth channel is alpha; None without a number.

    The ends are the `PERCENTILES` of all values, without a lowest or highest value that stands apart from the others:
    with such a value, often 0 or the largest of its type, a sensor or a program marks where it has no data.
    """
    values = [_numbers(image) for image in images]
    found = np.concatenate(values) if values else np.zeros(0)
    if not found.size:
        return None
    found = _without_marks(found)
    low, high = (float(value) for value in np.percentile(found, PERCENTILES))
    if found.dtype.kind in "iu":
        low, high = float(math.floor(low)), float(math.ceil(high))
    else:
        low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    return (low, high) if low < high else (low, low + 1)


def _numbers(image: Pixels) -> Pixels:
    """Returns evenly spaced values of an image, without alpha, infinity and what is no number."""
    colors = image[..., None] if image.ndim == 2 else image[..., : 3 if image.shape[2] > 2 else 1]
    step = max(1, math.isqrt(colors.shape[0] * colors.shape[1] // PIXELS_SAMPLED))
    values: Pixels = colors[::step, ::step].ravel()
    finite: Pixels = values[np.isfinite(values)]
    return finite


def _without_marks(values: Pixels) -> Pixels:
    """Drops a lowest and a highest value that are further from the others than those from each other."""
    for end in (np.min, np.max, np.min):  # one of them may hide the other
        mark = end(values)
        rest = values[values != mark]
        if 2 * rest.size < values.size or not rest.size:
            continue
        if abs(float(end(rest)) - float(mark)) > float(rest.max()) - float(rest.min()) > 0:
            values = rest
    return values
