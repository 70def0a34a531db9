"""What a network sees of a picture: the order, range and normalisation of its channels, and how it is fitted."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.errors import SpaceError, check_known

CHANNEL_ORDERS = ("rgb", "bgr")
VALUE_RANGES = (1, 255)
FITS = ("letterbox", "stretch")
SMALLEST_STD = 1e-4
"""Smallest standard deviation, which keeps normalised values far from overflow."""


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """The input that the first layer of a network is made for: `(value - mean) / std` of each channel.

    A `Detector` takes RGB from 0 to 1 whatever its format and converts it itself, before its first node. Only `fit` is
    the task of those who prepare pictures. The defaults are RGB from 0 to 1, letterboxed.

    Raises:
        SpaceError: A word is unknown, or a mean or standard deviation is not possible in this range of values.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Subtracted from the three channels; in the order of `channels` and from 0 to `value_range`."""
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    """Standard deviation that the three channels are divided by; order and range as for `mean`."""
    channels: str = "rgb"
    """Order of the channels, one of `CHANNEL_ORDERS`."""
    value_range: int = 1
    """Value of white before the mean is subtracted: 1 or 255."""
    fit: str = "letterbox"
    """`letterbox` keeps the aspect ratio of a picture and pads it with grey; `stretch` scales it to the input size."""

    def __post_init__(self) -> None:
        check_known("input_format channels", self.channels, CHANNEL_ORDERS)
        check_known("input_format fit", self.fit, FITS)
        if self.value_range not in VALUE_RANGES:
            raise SpaceError(f"input_format value_range must be 1 or 255, got {self.value_range}")
        for name, low, high in (("mean", 0.0, self.value_range), ("std", SMALLEST_STD, self.value_range)):
            values = getattr(self, name)
            if len(values) != 3 or not all(low <= value <= high for value in values):
                raise SpaceError(
                    f"input_format {name} must be three numbers from {low:g} to {high}, as value_range is "
                    f"{self.value_range}, got {list(values)}"
                )
            object.__setattr__(self, name, tuple(float(value) + 0.0 for value in values))

    def __str__(self) -> str:
        """Returns the format in one line, such as `BGR, 0 to 255, minus 103.94, 116.78, 123.68, stretched`."""
        parts = [self.channels.upper(), f"0 to {self.value_range}"]
        if any(self.mean):
            parts.append("minus " + ", ".join(f"{value:.6g}" for value in self.mean))
        if self.std != (1.0, 1.0, 1.0):
            parts.append("divided by " + ", ".join(f"{value:.6g}" for value in self.std))
        return ", ".join((*parts, {"letterbox": "letterboxed", "stretch": "stretched"}[self.fit]))
