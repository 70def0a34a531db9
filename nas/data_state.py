"""Whether the data set of a run is still what it was when the run began."""

from __future__ import annotations

import time
from collections.abc import Callable

from nas.config import RunConfig
from search_space.errors import DataError
from trainers.data import DataSplits, open_data

WATCH_SHARE = 0.02
"""Share of the time of a run that looking at its data again may take."""


def data_fingerprint_of(splits: DataSplits) -> str:
    """Returns what changes with the files, sizes, boxes and classes of either part."""
    return f"{splits.train.fingerprint()}-{splits.val.fingerprint()}"


def check_unchanged(splits: DataSplits, fingerprint: str | None) -> None:
    """Raises DataError where data is not that of a fingerprint; None is any."""
    now = data_fingerprint_of(splits)
    if fingerprint not in (None, now):
        raise DataError(
            f"{splits.source}: the data set has changed while the run searches (fingerprint {fingerprint}, now {now}), "
            "and accuracies on the two cannot be compared; put it back as it was, or start another run with --name"
        )


class DataWatch:
    """Reads the annotations of a run's data anew from time to time, and raises DataError where they have changed."""

    def __init__(self, config: RunConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._due = float("-inf")

    def __call__(self) -> None:
        """Looks at the data if that is due."""
        config, began = self._config, self._clock()
        if config.data is None or began < self._due:
            return
        splits = open_data(config.data, split=config.split, format=config.data_format, images=config.images)
        check_unchanged(splits, config.data_fingerprint)
        self._due = began + (self._clock() - began) / WATCH_SHARE
