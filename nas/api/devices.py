"""The boards that latency is predicted for, and how far off the predictions are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.api.result import Result, table_of

if TYPE_CHECKING:
    import pandas as pd

    from nas.cost.profile import Profile

CONFIDENCE = 0.9


@dataclass(frozen=True, kw_only=True)
class ListedDevice:
    """A board with a runtime and a precision, and the error of its predictions on networks left out of the fit."""

    name: str
    board: str
    runtime: str
    precision: str
    usual: bool
    """Whether the bare name of the board means this profile."""
    num_measured: int
    held_out: str | None
    """What was left out of the fit; None where no error was measured."""
    mean_error_percent: float | None
    median_error_percent: float | None
    within_10_percent: float | None
    """Share of the networks whose error is at most 10 %, in percent."""
    interval_90_percent: tuple[float, float] | None
    """Ends of the 90 % interval, as deviations in percent; None where it depends on the network."""
    fitted_on: tuple[str, ...]
    measured_classes: Mapping[str, int]
    """Networks measured with each class of operators."""
    includes: str
    data_sheet_source: str
    like: str | None
    notes: str


@dataclass(frozen=True, kw_only=True)
class DeviceTable(Result):
    """All devices with a profile."""

    devices: tuple[ListedDevice, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The devices as a table, a row each."""
        return table_of(self.devices)


def list_devices() -> DeviceTable:
    """Lists the boards, with runtime and precision, that latency is predicted for.

    Raises:
        ConfigError: a profile cannot be read.
    """
    from nas.cost.profile import device_names, find_profile

    return DeviceTable(devices=tuple(listed(find_profile(name)) for name in device_names()))


def listed(profile: Profile) -> ListedDevice:
    """Returns a profile, what it was fitted on and its error on networks left out of the fit."""
    from math import expm1

    from nas.cost.latency import data_sheet_error

    error = profile.error or data_sheet_error()
    # With a scale for each operator class, the interval depends on the network.
    half = None if error.class_scale else error.quantiles[CONFIDENCE]
    interval = None if half is None else (round(100 * expm1(-half), 1), round(100 * expm1(half), 1))
    return ListedDevice(
        name=profile.name,
        board=profile.board,
        runtime=profile.runtime,
        precision=profile.precision,
        usual=profile.usual,
        num_measured=profile.num_measured,
        held_out=error.figures.get("held_out"),
        mean_error_percent=error.figures.get("mean_percent"),
        median_error_percent=error.figures.get("median_percent"),
        within_10_percent=error.figures.get("within_10_percent"),
        interval_90_percent=interval,
        fitted_on=tuple(profile.fitted_on),
        measured_classes=dict(profile.measured),
        includes=profile.includes,
        data_sheet_source=profile.data_sheet.source,
        like=profile.like,
        notes=profile.notes,
    )
