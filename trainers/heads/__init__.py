"""Training and decoding of the detection heads, one file per kind of head."""

from __future__ import annotations

from trainers.heads import anchor_free, ssd, two_stage  # noqa: F401  they register themselves
from trainers.heads.head_training import (
    HEAD_TRAINING,
    DetectionLimits,
    DetectionTensors,
    HeadOptions,
    HeadTraining,
    check_trainable,
    head_training,
)

__all__ = [
    "HEAD_TRAINING",
    "DetectionTensors",
    "HeadOptions",
    "HeadTraining",
    "DetectionLimits",
    "check_trainable",
    "head_training",
]
