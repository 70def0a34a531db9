"""Random brightness, contrast, hue and saturation of training images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trainers.data.dataset import Image

BRIGHTNESS = 32.0
"""Largest change of brightness by `distort_color`, of 255."""
GAINS = (0.5, 1.5)
"""Factors of contrast and saturation that `distort_color` draws from."""


def jitter_brightness(image: Image, rng: np.random.Generator, amount: float) -> Image:
    """Changes contrast (about mid-grey) and brightness, each by up to `amount`."""
    contrast, brightness = 1 + rng.uniform(-amount, amount, 2)
    if amount == 0:
        return image
    table = ((np.arange(256) - 127.5) * contrast + 127.5 * brightness).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)


def jitter_color(image: Image, rng: np.random.Generator, *, hue: float, saturation: float) -> Image:
    """Shifts the hue by up to a share `hue` of the color circle and scales the saturation by up to `saturation`.

    Grey images do not change.
    """
    if hue == 0 and saturation == 0:
        return image
    turned, gain = rng.uniform(-hue, hue) * 180, 1 + rng.uniform(-saturation, saturation)
    values = np.arange(256)
    table = np.stack(((values + turned) % 180, values * gain, values), axis=1).clip(0, 255).astype(np.uint8)
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def distort_color(image: Image, rng: np.random.Generator, *, chance: float, hue: float) -> Image:
    """Changes brightness, contrast, saturation and hue, each with probability `chance`.

    Contrast is a factor of the color values. It changes before saturation and hue, or after them, with equal
    probability. Liu et al., "SSD: single shot multibox detector", 2016.

    Args:
        image: `(H, W, 3)` RGB.
        rng: draws what changes, and by how much.
        chance: 0 changes nothing and draws nothing.
        hue: largest change of hue, as a share of the color circle.
    """
    if chance == 0:
        return image
    brighter, contrasted, saturated, turned = rng.random(4) < chance
    amount, turn = rng.uniform(-BRIGHTNESS, BRIGHTNESS), rng.uniform(-hue, hue) * 180
    contrast, saturation = rng.uniform(*GAINS, 2)
    contrast_first = rng.random() < 0.5
    values = np.arange(256, dtype=np.float64)
    if brighter:
        values = (values + amount).clip(0, 255)
    if contrasted and contrast_first:
        values = values * contrast
    if brighter or contrasted:
        image = _looked_up(image, values)
    if saturated or turned:
        values = np.arange(256, dtype=np.float64)
        hues, gain = np.rint(values + turn * turned) % 180, saturation if saturated else 1.0
        table = np.stack((hues, values * gain, values), axis=1)
        hsv = _looked_up(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8), table)
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    if contrasted and not contrast_first:
        image = _looked_up(image, np.arange(256) * float(contrast))
    return image


def shuffle_channels(image: Image, rng: np.random.Generator, chance: float) -> Image:
    """Permutes the color channels at random, with probability `chance`; 0 draws nothing."""
    if chance == 0 or rng.random() >= chance:
        return image
    return np.ascontiguousarray(image[:, :, rng.permutation(3)])


def _looked_up(image: Image, values: NDArray[np.floating[Any]]) -> Image:
    """Replaces each value of an image by an entry of `values` `(256,)`, or `(256, 3)` of one for each channel."""
    table = np.rint(values).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None] if table.ndim == 2 else table), np.uint8)
