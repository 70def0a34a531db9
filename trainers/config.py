"""The settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from trainers.data.augmentation import Augmentation
from trainers.loss_settings import AssignerOptions, DistillationOptions, LossWeights
from trainers.settings import SettingError, check_settings, read_settings, setting
from trainers.step_settings import RateSchedule, UpdateRule
from trainers.suppression import Suppression

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

    By default the learning rate rises linearly during the warm-up and then falls along a cosine to the end of the
    schedule. `schedule` and `update` are for the recipes of others.

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
    distillation: DistillationOptions = field(default_factory=DistillationOptions)
    schedule: RateSchedule = field(default_factory=RateSchedule)
    update: UpdateRule = field(default_factory=UpdateRule)
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
    suppression: Suppression = field(default_factory=Suppression)
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

    @property
    def batches_per_update(self) -> int:
        """Batches whose gradients are accumulated for each change of the weights after the warm-up."""
        return max(1, round(self.update.nominal_batch / self.batch_size))

    @property
    def weight_decay_per_update(self) -> float:
        """The weight decay of an update: scaled by its images where they are not exactly `update.nominal_batch`."""
        if not self.update.nominal_batch:
            return self.weight_decay
        return self.weight_decay * self.batches_per_update * self.batch_size / self.update.nominal_batch

    def num_steps(self, num_images: int) -> int:
        """Returns the number of batches of the whole schedule over a set of `num_images`."""
        return max(1, round(self.epochs * num_images / self.batch_size))

    def num_warmup_steps(self, num_steps: int) -> int:
        """Returns the number of steps of the warm-up; it may be longer than the whole schedule of `num_steps`."""
        schedule = self.schedule
        if schedule.warmup_epochs is None and schedule.warmup_steps is None:
            return min(200, math.ceil(self.warmup * num_steps))
        return max(round((schedule.warmup_epochs or 0) * num_steps / self.epochs), schedule.warmup_steps or 0)

    def learning_rate_at(self, step: int, num_steps: int) -> float:
        """Returns the learning rate of a step (0-based): linear warm-up, then the decay down to `final_share`."""
        num_warmup, start = self.num_warmup_steps(num_steps), self.schedule.warmup_start
        rate = self._decayed_rate(step, num_steps, num_warmup)
        if step >= num_warmup:
            return rate
        if start is None:
            return rate * (step + 1) / (num_warmup + 1)
        return rate * (start + (1 - start) * step / num_warmup)

    def bias_rate_at(self, step: int, num_steps: int) -> float:
        """Returns the learning rate of the biases in a step (0-based)."""
        num_warmup, start = self.num_warmup_steps(num_steps), self.schedule.warmup_bias_rate
        if start is None or step >= num_warmup:
            return self.learning_rate_at(step, num_steps)
        return start + (self._decayed_rate(step, num_steps, num_warmup) - start) * step / num_warmup

    def momentum_at(self, step: int, num_steps: int) -> float:
        """Returns the momentum of a step (0-based)."""
        num_warmup, start = self.num_warmup_steps(num_steps), self.schedule.warmup_momentum
        if start is None or step >= num_warmup:
            return self.momentum
        return start + (self.momentum - start) * step / num_warmup

    def batches_at(self, step: int, num_steps: int) -> int:
        """Returns how many batches an update needs that ends with this step (0-based): 1 at first, then more."""
        num_warmup = self.num_warmup_steps(num_steps)
        if step >= num_warmup or not self.update.nominal_batch:
            return self.batches_per_update
        return max(1, round(1 + (self.update.nominal_batch / self.batch_size - 1) * step / num_warmup))

    def _decayed_rate(self, step: int, num_steps: int, num_warmup: int) -> float:
        """Returns the learning rate of a step without the factor of the warm-up."""
        first = 0 if self.schedule.decay_from_start else num_warmup
        if step < first:
            return self.peak_learning_rate
        done = step + 1.0
        if self.schedule.decay_by_epoch:
            steps_per_epoch = num_steps / self.epochs
            done = max(first, math.floor(step / steps_per_epoch + 1e-9) * steps_per_epoch)
        progress = (done - first) / max(1, num_steps - first)
        share = 1 - progress if self.schedule.decay_shape == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.peak_learning_rate * (self.final_share + (1 - self.final_share) * share)

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
