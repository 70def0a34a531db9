"""The settings of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How strongly training images are varied; zero switches a part off."""

    mosaic: float = 0.0
    """Chance that a training image is put together from four; pays on long schedules, so that it is off here."""
    mosaic_until: float = 0.8
    """Share of the schedule after which no mosaic is made any more."""
    flip: float = 0.5
    """Chance of mirroring left and right."""
    flip_vertical: float = 0.0
    """Chance of mirroring above and below; for images taken from straight above."""
    turn: float = 0.0
    """Chance of turning by one, two or three quarters of a circle; for images taken from straight above."""
    scale: float = 0.3
    """Images are scaled by a factor in 1 - scale .. 1 + scale."""
    translate: float = 0.1
    """Images are moved by up to this share of the input's sides."""
    tile: float = 0.0
    """Chance that of an image larger than the input a window at its own scale is taken instead of the whole."""
    copy_paste: float = 0.0
    """Share of the small objects that are pasted a second time elsewhere in their image."""
    light: float = 0.2
    """Brightness and contrast vary by up to this share."""
    hue: float = 0.0
    """The hue is turned by up to this share of the colour circle."""
    saturation: float = 0.0
    """The saturation varies by up to this share."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"augmentation {name} is {value}; it must lie in 0..1")
