"""Detect changes of a run's data set after the run has started."""

from __future__ import annotations

import time
from collections.abc import Callable

from nas.config import RunConfig
from search_space.errors import DataError
from trainers.data import DataSplits, open_data

WATCH_SHARE = 0.02
"""Largest share of a run's time spent on checking its data."""


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
        splits = open_data(
            config.data,
            split=config.split,
            format=config.data_format,
            images=config.images,
            pixel_range=config.pixel_range,
        )
        check_unchanged(splits, config.data_fingerprint)
        self._due = began + (self._clock() - began) / WATCH_SHARE
