"""The settings of data augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from trainers.settings import check_settings, setting

MOSAIC_CANVASES = ("input", "double")

_augmentation = partial(setting, group="Augmentation")


def _share(default: float, help: str, **about: Any) -> Any:
    return _augmentation(default, help, minimum=0, maximum=1, **about)


_FLIPS = ("flip", "flip_vertical")
_DETAILS = ("mosaic_until", "mosaic_canvas", "close_mosaic", "zoom_out_max", "crop_first", "distort_hue")
"""Settings that have an effect only together with another one."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strength of each augmentation; 0 switches it off.

    Raises:
        SettingError: a value is not allowed.
    """

    mosaic: float = _share(
        0.0,
        "Probability of a mosaic of four images. Off after the fraction mosaic_until of the schedule; useful for long "
        "schedules.",
        command_default=0.5,
    )
    mosaic_until: float = _share(0.8, "Share of the schedule after which mosaic is off.", option="-")
    mosaic_canvas: str = _augmentation(
        "input",
        "Layout of a mosaic. input: four crops that fill the input. double: four whole images on a canvas of twice the "
        "input, of which a window is shown, scaled by scale and shifted by translate, as in YOLO papers.",
        choices=MOSAIC_CANVASES,
        option="-",
    )
    close_mosaic: float = _augmentation(
        0.0,
        "Epochs at the end of the schedule without mosaic, besides mosaic_until: the earlier end counts.",
        unit="epochs",
        minimum=0,
        option="-",
    )
    mixup: float = _share(
        0.0,
        "Probability that an image is blended with a second one, with the objects of both. It ends when mosaics end.",
        option="-",
    )
    flip: float = _share(0.5, "Probability of a left-right flip.", option="-")
    flip_vertical: float = _share(0.0, "Probability of an up-down flip; for aerial images.")
    turn: float = _share(0.0, "Probability of a rotation by 90, 180 or 270 degrees; for aerial images.")
    scale: float = _share(0.3, "Images are scaled by a random factor from 1 - scale to 1 + scale.", option="-")
    translate: float = _share(0.1, "Largest shift, as a share of the input size.", option="-")
    zoom_out: float = _share(
        0.0, "Probability that an image is placed on a larger canvas of the mean color, as in SSD.", option="-"
    )
    zoom_out_max: float = _augmentation(
        4.0, "Largest side of that canvas, as a multiple of the side of the image.", minimum=1, maximum=16, option="-"
    )
    iou_crop: float = _share(
        0.0,
        "Probability of the minimum-IoU crop of SSD: a random crop that has a drawn IoU with each object, a free crop, "
        "or the whole image.",
        option="-",
    )
    crop_first: bool = _augmentation(
        False, "Make the minimum-IoU crop before zoom_out; the default is after it.", option="-"
    )
    tile: float = _share(
        0.0,
        "Probability that an image larger than the input is replaced by a crop at its original scale.",
        option="--tile-chance",
    )
    copy_paste: float = _share(0.0, "Share of the small objects that are pasted a second time into their image.")
    light: float = _share(0.2, "Largest relative change of brightness and contrast.", option="-")
    hue: float = _share(0.0, "Largest change of hue, as a share of the color circle.", command_default=0.015)
    saturation: float = _share(0.0, "Largest relative change of saturation.", command_default=0.4)
    photometric_distort: float = _share(
        0.0,
        "Probability of each part of the photometric distortion of SSD: brightness, contrast, saturation and hue.",
        option="-",
    )
    distort_hue: float = _share(
        0.05, "Largest change of hue in that distortion, as a share of the color circle.", option="-"
    )
    channel_shuffle: float = _share(0.0, "Probability that the color channels are permuted.", option="-")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def only_flips(self) -> bool:
        """Whether the detector sees each image in a few forms only: as it is or flipped."""
        return not any(getattr(self, each.name) for each in fields(self) if each.name not in _FLIPS + _DETAILS)
