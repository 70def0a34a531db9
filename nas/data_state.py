"""Detect changes of a run's data set after the run has started."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from nas.config import RunConfig
from search_space.errors import DataError
from trainers.data import DataSplits, open_data
from trainers.data.class_selection import ClassSelection
from trainers.data.pixel_range import PixelRange

WATCH_SHARE = 0.02
"""Largest share of a run's time spent on checking its data."""


class DataPlaces(Protocol):
    """Settings that say which data is used; those of a run, of a training and of a worker are."""

    @property
    def data(self) -> str | None:
        """Path of the data set; None is the built-in set."""
        ...

    @property
    def split(self) -> str | None:
        """Which pair of annotation files."""
        ...

    @property
    def data_format(self) -> str | None:
        """Name of the format; None detects it."""
        ...

    @property
    def images(self) -> str | None:
        """Folder of the images."""
        ...

    @property
    def pixel_range(self) -> PixelRange | None:
        """The values that become 0 and 255 in images of more than 8 bits; None: those of the training images."""
        ...

    @property
    def select_classes(self) -> tuple[str, ...]:
        """As `ClassSelection.of` takes them."""
        ...

    @property
    def merge(self) -> tuple[str, ...]:
        """As `ClassSelection.of` takes them."""
        ...

    @property
    def other_classes(self) -> str | None:
        """As `ClassSelection.of` takes it."""
        ...


def open_data_of(settings: DataPlaces, *, seed: int = 0) -> DataSplits:
    """Opens the data that settings name.

    Args:
        settings: of a run, a training or a worker.
        seed: of the built-in set.

    Raises:
        ConfigError: the format is unknown, or a selection of classes is not valid.
        DataError: the data set cannot be used.
    """
    return open_data(
        settings.data,
        split=settings.split,
        seed=seed,
        format=settings.data_format,
        images=settings.images,
        pixel_range=settings.pixel_range,
        selection=ClassSelection.of(settings.select_classes, settings.merge, settings.other_classes),
    )


def data_fingerprint_of(splits: DataSplits) -> str:
    """Returns a digest of the files, sizes, boxes and classes of both splits."""
    return f"{splits.train.fingerprint()}-{splits.val.fingerprint()}"


def check_unchanged(splits: DataSplits, fingerprint: str | None) -> None:
    """Raises DataError if data does not match a fingerprint; None matches any data."""
    now = data_fingerprint_of(splits)
    if fingerprint not in (None, now):
        raise DataError(
            f"{splits.source}: the data set has changed since the run started (fingerprint {fingerprint}, now {now}); "
            "accuracies cannot be compared; restore the data set, or start another run with --name"
        )


class DataWatch:
    """Rereads the annotations of a run's data from time to time; raises DataError if they have changed."""

    def __init__(self, config: RunConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._due = float("-inf")

    def __call__(self) -> None:
        """Checks the data if a check is due."""
        config, began = self._config, self._clock()
        if config.data is None or began < self._due:
            return
        splits = open_data_of(config)
        check_unchanged(splits, config.data_fingerprint)
        self._due = began + (self._clock() - began) / WATCH_SHARE
