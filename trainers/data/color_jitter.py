"""Random brightness, contrast, hue and saturation of training images."""

from __future__ import annotations

import cv2
import numpy as np

from trainers.data.dataset import Image


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
