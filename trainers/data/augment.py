"""Augmentation of training images. All randomness comes from the generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trainers.data.augmentation import Augmentation
from trainers.data.color_jitter import jitter_brightness, jitter_color
from trainers.data.compose import View, fitted, make_mosaic, window
from trainers.data.copy_paste import paste_copies
from trainers.data.geometry import ImageFit, Sample, clip, read_sample, resize, rotate

__all__ = ["ImageFit", "Sample", "augment", "clip", "read_sample", "resize"]


def augment(
    draw: Callable[[], Sample],
    rng: np.random.Generator,
    *,
    input_hw: tuple[int, int],
    fit: str,
    strength: Augmentation,
    mosaic_allowed: bool,
) -> Sample:
    """Returns one augmented sample of size `input_hw`.

    Args:
        draw: returns the next raw sample; a mosaic needs four.
        fit: how images are scaled to the input before all else, `letterbox` or `stretch`; parts of a mosaic too.
    """
    if mosaic_allowed and rng.random() < strength.mosaic:
        views = [_view(draw(), rng, input_hw, fit, strength)[0] for _ in range(4)]
        sample = make_mosaic(views, rng, input_hw=input_hw)
    else:
        sample = _move(*_view(draw(), rng, input_hw, fit, strength), rng, input_hw=input_hw)
    image = jitter_brightness(sample.image, rng, strength.light)
    return replace(sample, image=jitter_color(image, rng, hue=strength.hue, saturation=strength.saturation))


def _view(
    sample: Sample, rng: np.random.Generator, input_hw: tuple[int, int], fit: str, strength: Augmentation
) -> tuple[View, float]:
    """Returns an image or a window of it at input scale, and the largest shift as a share of the input."""
    if strength.turn > 0 and rng.random() < strength.turn:
        sample = rotate(sample, int(rng.integers(1, 4)))
    too_large = any(side > limit for side, limit in zip(sample.hw, input_hw, strict=True))
    tiled = strength.tile > 0 and rng.random() < strength.tile and too_large
    if tiled:
        sample = window(sample, rng, input_hw=input_hw, fit=fit, jitter=strength.scale)
    else:
        sample = fitted(sample, input_hw, fit)
    view = View(
        sample=paste_copies(sample, rng, strength.copy_paste),
        scale=0.0 if tiled else strength.scale,
        flip=strength.flip,
        flip_vertical=strength.flip_vertical,
    )
    return view, 0.0 if tiled else strength.translate


def _move(view: View, translate: float, rng: np.random.Generator, *, input_hw: tuple[int, int]) -> Sample:
    """Flips, scales and shifts a view at random about the center of the input."""
    scale = view.draw(rng)
    height, width = view.sample.hw
    shift_x = (input_hw[1] - width * scale) / 2 + rng.uniform(-1, 1) * translate * input_hw[1]
    shift_y = (input_hw[0] - height * scale) / 2 + rng.uniform(-1, 1) * translate * input_hw[0]
    return view.put(rng, scale, (shift_x, shift_y), input_hw)
