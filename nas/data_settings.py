"""The settings of a search and of a training that choose classes and the range of values of a data set."""

from __future__ import annotations

from functools import partial
from typing import Any

from nas import data_words
from trainers.settings import setting

_DATA = partial(setting, group="Data")


def select_classes() -> Any:
    """Returns the setting of `--classes`."""
    return _DATA((), data_words.CLASSES, option="--classes", metavar="NAME,NAME", default_words="all")


def merge() -> Any:
    """Returns the setting of `--merge`."""
    return _DATA((), data_words.MERGE, metavar="NAME=CLASS,CLASS")


def other_classes() -> Any:
    """Returns the setting of `--other-classes`."""
    choices = data_words.OTHER_CLASSES_CHOICES
    return _DATA(None, data_words.OTHER_CLASSES, choices=choices, default_words=choices[0])


def pixel_range() -> Any:
    """Returns the setting of `--range`."""
    return _DATA(
        None,
        data_words.PIXEL_RANGE,
        option="--range",
        metavar="LOW HIGH",
        default_words=data_words.PIXEL_RANGE_DEFAULT,
        stored_if_set=True,
    )
