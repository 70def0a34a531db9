"""The settings of data augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.settings import check_settings, setting


def _share(default: float, help: str, **about: Any) -> Any:
    return setting(default, help, minimum=0, maximum=1, group="Augmentation", **about)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strength of each augmentation; 0 switches it off.

    Raises:
        SettingError: a value is not in 0..1.
    """

    mosaic: float = _share(
        0.0,
        "Probability of a mosaic of four images. Off after the fraction mosaic_until of the schedule; useful for long "
        "schedules.",
        command_default=0.5,
    )
    mosaic_until: float = _share(0.8, "Share of the schedule after which mosaic is off.", option="-")
    flip: float = _share(0.5, "Probability of a left-right flip.", option="-")
    flip_vertical: float = _share(0.0, "Probability of an up-down flip; for aerial images.")
    turn: float = _share(0.0, "Probability of a rotation by 90, 180 or 270 degrees; for aerial images.")
    scale: float = _share(0.3, "Images are scaled by a random factor from 1 - scale to 1 + scale.", option="-")
    translate: float = _share(0.1, "Largest shift, as a share of the input size.", option="-")
    tile: float = _share(
        0.0,
        "Probability that an image larger than the input is replaced by a crop at its original scale.",
        option="--tile-chance",
    )
    copy_paste: float = _share(0.0, "Share of the small objects that are pasted a second time into their image.")
    light: float = _share(0.2, "Largest relative change of brightness and contrast.", option="-")
    hue: float = _share(0.0, "Largest change of hue, as a share of the color circle.", command_default=0.015)
    saturation: float = _share(0.0, "Largest relative change of saturation.", command_default=0.4)

    def __post_init__(self) -> None:
        check_settings(self)
