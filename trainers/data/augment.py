"""Augmentation of training images. All randomness comes from the generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from search_space.tile_grid import TileGrid
from trainers.data.augmentation import Augmentation
from trainers.data.color_jitter import distort_color, jitter_brightness, jitter_color, shuffle_channels
from trainers.data.compose import (
    View,
    fitted,
    make_double_mosaic,
    make_mosaic,
    mix_up,
    tile_of,
    tile_window,
    window,
)
from trainers.data.copy_paste import paste_copies
from trainers.data.crop_region import draw_region, show_region
from trainers.data.dataset import Image
from trainers.data.geometry import ImageFit, Sample, clip, read_sample, resize, rotate

__all__ = ["ImageFit", "Sample", "augment", "clip", "read_sample", "resize"]

WHOLE_FRAME = TileGrid()
"""The tiles of a detector that sees whole images."""


def augment(
    draw: Callable[[], Sample],
    rng: np.random.Generator,
    *,
    input_hw: tuple[int, int],
    fit: str,
    strength: Augmentation,
    mosaic_allowed: bool,
    tiles: TileGrid = WHOLE_FRAME,
) -> Sample:
    """Returns one augmented sample of size `input_hw`.

    Args:
        draw: returns the next raw sample; a mosaic needs four, mix-up twice as many.
        fit: how images are scaled to the input before all else, `letterbox` or `stretch`; parts of a mosaic too.
        mosaic_allowed: whether the schedule still has mosaic and mix-up.
        tiles: of the detector: it sees a window of the size of a tile of each image that is cut.
    """

    def composed() -> Sample:
        def view() -> tuple[View, float]:
            return _view(draw(), rng, input_hw, fit, strength, tiles)

        return _composed(view, rng, input_hw, strength, mosaic_allowed)

    sample = composed()
    if mosaic_allowed and strength.mixup > 0 and rng.random() < strength.mixup:
        sample = mix_up(sample, composed(), rng)
    image = jitter_brightness(sample.image, rng, strength.light)
    return replace(sample, image=jitter_color(image, rng, hue=strength.hue, saturation=strength.saturation))


def _composed(
    draw_view: Callable[[], tuple[View, float]],
    rng: np.random.Generator,
    input_hw: tuple[int, int],
    strength: Augmentation,
    mosaic_allowed: bool,
) -> Sample:
    """Returns an image or a mosaic of the size of the input."""
    if not (mosaic_allowed and rng.random() < strength.mosaic):
        view, translate = draw_view()
        return view.move(translate, rng, input_hw=input_hw)
    views = [draw_view()[0] for _ in range(4)]
    if strength.mosaic_canvas == "input":
        return make_mosaic(views, rng, input_hw=input_hw)
    canvas = make_double_mosaic([view.sample for view in views], rng, input_hw=input_hw)
    view = View(
        sample=canvas,
        scale=strength.scale,
        flip=strength.flip,
        flip_vertical=strength.flip_vertical,
        overhang=True,
    )
    return view.move(strength.translate, rng, input_hw=input_hw)


def _view(
    sample: Sample,
    rng: np.random.Generator,
    input_hw: tuple[int, int],
    fit: str,
    strength: Augmentation,
    tiles: TileGrid,
) -> tuple[View, float]:
    """Returns an image or a window of it at input scale, and the largest shift as a share of the input."""

    def recolor(image: Image) -> Image:
        image = distort_color(image, rng, chance=strength.photometric_distort, hue=strength.distort_hue)
        return shuffle_channels(image, rng, strength.channel_shuffle)

    if strength.turn > 0 and rng.random() < strength.turn:
        sample = rotate(sample, int(rng.integers(1, 4)))
    too_large = any(side > limit for side, limit in zip(sample.hw, input_hw, strict=True))
    tile_hw = tile_of(tiles, sample.hw, input_hw)
    tiled = tile_hw is not None or (strength.tile > 0 and rng.random() < strength.tile and too_large)
    if tile_hw is not None:
        sample = tile_window(sample, rng, tile_hw, input_hw=input_hw, fit=fit, jitter=strength.scale)
        sample = replace(sample, image=recolor(sample.image))
    elif tiled:
        sample = window(sample, rng, input_hw=input_hw, fit=fit, jitter=strength.scale)
        sample = replace(sample, image=recolor(sample.image))
    elif strength.zoom_out > 0 or strength.iou_crop > 0:
        sample = show_region(sample, draw_region(sample, rng, strength), recolor, input_hw=input_hw, fit=fit)
    else:
        sample = fitted(sample, input_hw, fit)
        sample = replace(sample, image=recolor(sample.image))
    view = View(
        sample=paste_copies(sample, rng, strength.copy_paste),
        scale=0.0 if tiled else strength.scale,
        flip=strength.flip,
        flip_vertical=strength.flip_vertical,
    )
    return view, 0.0 if tiled else strength.translate
