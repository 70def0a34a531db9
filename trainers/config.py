"""The settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from trainers.data.augmentation import Augmentation
from trainers.loss_settings import AssignerOptions, LossWeights
from trainers.settings import SettingError, check_settings, read_settings, setting

OPTIMIZERS = {"adamw": 4e-3, "sgd": 1e-2}
"""Optimizers and their default peak learning rates."""
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
MAX_EPOCHS = 1_000_000
MAX_SEED = 2**32 - 1
"""The seeds of single steps are computed by multiplying the seed, and must fit into 64 bits."""
MAX_READERS = 256

_OPTIMIZATION, _EVALUATION, _COMPUTATION, _OUTPUT = (
    partial(setting, group=each) for each in ("Optimization", "Evaluation", "Computation", "Output")
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What decides a training besides the detector and the data.

    The learning rate rises linearly during the warm-up and then falls along a cosine to the end of the schedule.

    Raises:
        SettingError: a value is not allowed.
    """

    epochs: float = _OPTIMIZATION(
        1.0,
        "Passes over the training images; may be a fraction.",
        above=0,
        maximum=MAX_EPOCHS,
        command_default=100.0,
    )
    batch_size: int = _OPTIMIZATION(
        4,
        "Images per step, over all processes; no more than there are training images.",
        minimum=1,
        option="--batch",
    )
    accumulate: int = _OPTIMIZATION(
        1, "Number of parts into which a step is split to save memory; their gradients are averaged.", minimum=1
    )
    learning_rate: float | None = _OPTIMIZATION(
        None,
        "Peak learning rate.",
        above=0,
        option="--lr",
        default_words=", ".join(f"{name} {rate:g}" for name, rate in OPTIMIZERS.items()),
    )
    optimizer: str = _OPTIMIZATION("adamw", "Optimizer.", choices=tuple(OPTIMIZERS))
    augmentation: Augmentation = field(default_factory=Augmentation)
    nwd: float = _OPTIMIZATION(
        0.0,
        "Weight of the normalized Wasserstein distance in box comparisons; the rest is IoU. Anchor-free head only; for "
        "tiny objects.",
        minimum=0,
        maximum=1,
    )
    assigner: AssignerOptions = field(default_factory=AssignerOptions)
    loss: LossWeights = field(default_factory=LossWeights)
    patience: int = _EVALUATION(
        0,
        "Early stopping: number of consecutive evaluations without a better accuracy; 0: off.",
        minimum=0,
        resumable=True,
    )
    seed: int = _OPTIMIZATION(
        0, "Seed of the initial weights, the order of the images and the augmentation.", minimum=0, maximum=MAX_SEED
    )
    weight_decay: float = _OPTIMIZATION(
        0.01, "Weight decay; not applied to normalization weights and biases.", minimum=0, option="-"
    )
    momentum: float = _OPTIMIZATION(0.9, "Momentum of SGD, beta1 of AdamW.", minimum=0, below=1, option="-")
    warmup: float = _OPTIMIZATION(
        0.1,
        "Linear warm-up of the learning rate, as a fraction of the schedule; at most 200 steps.",
        minimum=0,
        below=1,
        option="-",
    )
    final_share: float = _OPTIMIZATION(
        0.01, "Final learning rate, as a fraction of the peak.", minimum=0, below=1, option="-"
    )
    ema_decay: float = _OPTIMIZATION(
        0.9998,
        "Decay of the exponential moving average of the weights; smaller in the first steps.",
        minimum=0,
        below=1,
        option="-",
    )
    clip_norm: float = _OPTIMIZATION(10.0, "Gradients with a larger norm are clipped to it.", above=0, option="-")
    eval_every: float = _EVALUATION(
        0.0,
        "Epochs between evaluations; 0: evaluate only at the end.",
        minimum=0,
        command_default=1.0,
        resumable=True,
    )
    eval_tile: bool = _EVALUATION(
        False, "Evaluate on overlapping tiles of the input size as well as on the whole image."
    )
    precision: str = _COMPUTATION(
        "auto",
        "Numeric precision. auto: bfloat16 if the device supports it natively, else float32 (CPU) or float16 (CUDA).",
        choices=PRECISIONS,
        resumable=True,
    )
    device: str = _COMPUTATION(
        "auto",
        "Device to train on. auto: CUDA if available.",
        metavar="auto|cpu|cuda|cuda:N",
        resumable=True,
    )
    num_readers: int = _COMPUTATION(
        1,
        "Threads that prepare batches.",
        minimum=1,
        maximum=MAX_READERS,
        option="--workers",
        resumable=True,
    )
    max_bad_steps: int = _COMPUTATION(
        20,
        "Number of consecutive steps without a finite loss or gradient that end the training with an error.",
        minimum=1,
        option="-",
        resumable=True,
    )
    checkpoint_seconds: float = _OUTPUT(
        300.0,
        "Longest time between checkpoints; 0: write them only after epochs and evaluations.",
        unit="s",
        minimum=0,
        option="-",
        resumable=True,
    )
    checkpoint_steps: int = _OUTPUT(
        0,
        "Steps between additional checkpoints; 0: none.",
        minimum=0,
        option="-",
        resumable=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.batch_size % self.accumulate:
            raise SettingError(
                f"accumulate is {self.accumulate}; it must be a divisor of the {self.batch_size} images of a step",
                "accumulate",
            )

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate at the end of the warm-up."""
        return OPTIMIZERS[self.optimizer] if self.learning_rate is None else self.learning_rate

    def num_steps(self, num_images: int) -> int:
        """Returns the number of optimizer steps of the whole schedule over a set of `num_images`."""
        return max(1, round(self.epochs * num_images / self.batch_size))

    def learning_rate_at(self, step: int, num_steps: int) -> float:
        """Returns the learning rate of a step (0-based): linear warm-up, then a cosine down to `final_share`."""
        num_warmup = min(200, math.ceil(self.warmup * num_steps))
        if step < num_warmup:
            return self.peak_learning_rate * (step + 1) / (num_warmup + 1)
        progress = (step - num_warmup + 1) / max(1, num_steps - num_warmup)
        return self.peak_learning_rate * (
            self.final_share + (1 - self.final_share) * (1 + math.cos(math.pi * progress)) / 2
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`.

        Raises:
            SettingError: A setting is unknown, or its value is of the wrong type or out of bounds.
        """
        return read_settings(cls, data)
