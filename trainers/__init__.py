"""Train detectors, load and save their weights, find objects with them and score what they find.

The public names are imported when they are first used, so that `trainers.settings` and `trainers.config` do not load
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.config import TrainConfig
    from trainers.data.augmentation import Augmentation
    from trainers.detect import Detections, predict
    from trainers.evaluation import Score, evaluate
    from trainers.heads import HEAD_TRAINING
    from trainers.loop import StopTraining, TrainProgress, TrainResult, train
    from trainers.weights import Weights, fresh_detector, load_weights, save_weights

__all__ = [
    "HEAD_TRAINING",
    "Augmentation",
    "Detections",
    "TrainProgress",
    "Score",
    "StopTraining",
    "TrainConfig",
    "TrainResult",
    "Weights",
    "evaluate",
    "fresh_detector",
    "load_weights",
    "predict",
    "save_weights",
    "train",
]

_MODULES = {
    "config": ("TrainConfig",),
    "data.augmentation": ("Augmentation",),
    "detect": ("Detections", "predict"),
    "evaluation": ("Score", "evaluate"),
    "heads": ("HEAD_TRAINING",),
    "loop": ("TrainProgress", "StopTraining", "TrainResult", "train"),
    "weights": ("Weights", "fresh_detector", "load_weights", "save_weights"),
}


if not TYPE_CHECKING:  # so that type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"trainers.{module}"), name)
        raise AttributeError(f"module 'trainers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
