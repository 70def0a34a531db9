"""Trackers of runs and trainings: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable

from nas.trackers.background import Tracking
from nas.trackers.track_setting import NONE, TRACKERS, track_setting, tracker_names
from nas.trackers.tracker import TrackedEnding, TrackedPart, TrackedRun, Tracker, Value
from search_space.errors import ConfigError

__all__ = [
    "TRACKERS",
    "TrackedEnding",
    "TrackedPart",
    "TrackedRun",
    "Tracker",
    "Tracking",
    "Value",
    "disable_telemetry",
    "open_trackers",
    "track_setting",
    "tracker_names",
]
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_ERROR_REPORTING": "false",
}
"""Environment variables that keep the packages from sending figures about their own use, and from printing."""


def disable_telemetry() -> None:
    """Keeps MLflow and Weights & Biases from reporting about themselves; what the environment says has precedence."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def open_trackers(names: Iterable[str]) -> dict[str, Tracker]:
    """Imports the packages of trackers, and returns the trackers by name; none of them has begun.

    Raises:
        ConfigError: A package is not installed, then the error names the extra; or it cannot be imported.
    """
    found: dict[str, Tracker] = {}
    for name in names:
        module, _, class_name = TRACKERS[name].partition(":")
        disable_telemetry()
        try:
            found[name] = getattr(importlib.import_module(module), class_name)()
        except ImportError:
            extra = "train" if name == "tensorboard" else name
            raise ConfigError(
                f"--track {name} needs the package {name}; install it with pip install 'pyramidnas[{extra}]', or give "
                f"--track {NONE}"
            ) from None
        except Exception as error:  # whatever an import raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(
                f"--track {name}: the package {name} cannot be imported ({reason}); next: nas doctor, or --track {NONE}"
            ) from None
    return found
