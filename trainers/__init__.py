"""How a detector gets weights and a score."""

from __future__ import annotations

from trainers.config import TrainConfig
from trainers.data.augment import Augmentation
from trainers.detect import Detections, predict
from trainers.evaluate import Score, evaluate
from trainers.heads import HEAD_TRAINING
from trainers.loop import Progress, StopTraining, TrainResult, train
from trainers.weights import Weights, fresh_detector, load_weights, save_weights

__all__ = [
    "HEAD_TRAINING",
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
