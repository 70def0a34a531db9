"""How a detector gets weights and a score."""

from __future__ import annotations

from trainers.config import TrainConfig
from trainers.data.augment import Augmentation
from trainers.evaluate import Detections, Score, evaluate, predict
from trainers.loop import Progress, StopTraining, TrainResult, train
from trainers.losses import TRAINABLE_HEADS
from trainers.weights import Weights, fresh_detector, load_weights, save_weights

__all__ = [
    "TRAINABLE_HEADS",
    "Augmentation",
    "Detections",
    "Progress",
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
