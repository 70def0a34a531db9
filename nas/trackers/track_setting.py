"""The setting `--track` of searches and trainings, and the trackers that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NONE = "none"
TRACKERS = {
    "tensorboard": "nas.trackers.tensorboard_tracker:TensorBoardTracker",
    "mlflow": "nas.trackers.mlflow_tracker:MlflowTracker",
    "wandb": "nas.trackers.wandb_tracker:WandbTracker",
}
"""By name: the module and the class, which is imported where it is used."""


def track_setting(declare: Callable[..., Any]) -> Any:
    """Returns the setting.

    Args:
        declare: Makes a setting of the group in which it is listed.
    """
    return declare(
        None,
        "Experiment tracker that receives settings, progress and results: tensorboard, mlflow (a local store in the "
        "output folder unless MLFLOW_TRACKING_URI is set) or wandb (offline unless WANDB_MODE is set). none: stop "
        "tracking at a resume.",
        choices=(*TRACKERS, NONE),
        resumable=True,
        identity=False,
        joinable=True,
        stored_if_set=True,
    )


def tracker_names(track: str | None, *, tensorboard: bool = False) -> tuple[str, ...]:
    """Returns the trackers of a setting; `tensorboard` adds that one, unless the setting is `none`."""
    if track == NONE:
        return ()
    return tuple(dict.fromkeys([*(["tensorboard"] if tensorboard else []), *([track] if track else [])]))
