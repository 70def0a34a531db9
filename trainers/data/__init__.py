"""Data sets: `open_data` finds out the format and returns a training and a validation set.

The public names are imported when they are first used, so that `trainers.data.format` and `trainers.data.defects` do
not load cv2.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.data.dataset import Dataset, Record, read_image, read_rgb
    from trainers.data.format import FORMATS
    from trainers.data.splits import DataSplits, open_data

__all__ = ["FORMATS", "DataSplits", "Dataset", "Record", "open_data", "read_image", "read_rgb"]

_MODULES = {
    "dataset": ("Dataset", "Record", "read_image", "read_rgb"),
    "format": ("FORMATS",),
    "splits": ("DataSplits", "open_data"),
}


if not TYPE_CHECKING:  # so that type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"trainers.data.{module}"), name)
        raise AttributeError(f"module 'trainers.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
