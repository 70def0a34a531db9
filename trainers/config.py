"""The settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search_space.errors import ConfigError, nearest
from search_space.plain import FieldError, read_plain
from trainers.data.augmentation import Augmentation
from trainers.settings import SettingError

OPTIMIZERS = {"adamw": 4e-3, "sgd": 1e-2}
"""Known optimizers and their default peak learning rates."""
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
MAX_EPOCHS = 1_000_000
MAX_SEED = 2**32 - 1
"""Seeds of single steps are drawn from it by multiplying, and must stay within 64 bits."""
MAX_READERS = 256


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What decides a training besides the detector and the data. The learning rate always runs down to its end."""

    epochs: float = 1.0
    """Passes over the training images; may be a fraction."""
    batch_size: int = 4
    """Images a step, over all processes and parts. Small, because the number of steps counts most in short runs."""
    accumulate: int = 1
    """Parts that a step's images are split into to save memory; their gradients are averaged."""
    seed: int = 0
    """Decides the order, the augmentation and whatever is random in the detector's blocks."""
    optimizer: str = "adamw"
    learning_rate: float | None = None
    """Peak learning rate; None is the optimizer's default."""
    weight_decay: float = 0.01
    """Not applied to normalisation weights and biases."""
    momentum: float = 0.9
    """First moment of AdamW, momentum of SGD."""
    warmup: float = 0.1
    """Share of the schedule in which the learning rate rises linearly, 200 steps at most."""
    final_share: float = 0.01
    """The learning rate ends at this share of its peak, along a cosine."""
    ema_decay: float = 0.9998
    """Upper limit of the decay of the averaged weights; early steps use less."""
    clip_norm: float = 10.0
    """Largest norm of the gradient."""
    nwd: float = 0.0
    """Share of the normalised Wasserstein distance where boxes are compared; see `trainers.heads.HeadOptions`."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: str = "auto"
    """auto: bfloat16 where the device computes it natively, else float32 (CPU) or float16 (CUDA)."""
    device: str = "auto"
    """auto: CUDA if there is any."""
    eval_every: float = 0.0
    """Evaluate after each so many epochs; 0: only at the end."""
    eval_tile: bool = False
    """Evaluate in overlapping windows of the input's size and the whole image, rather than the whole image alone."""
    patience: int = 0
    """Evaluations in a row without a better accuracy after which the training ends; 0: never."""
    num_readers: int = 1
    """Background threads that prepare batches."""
    max_bad_steps: int = 20
    """Steps in a row without a finite loss after which the training gives up."""
    checkpoint_seconds: float = 300.0
    """The checkpoint is also written when the last one is older than this; 0: only after epochs and evaluations."""
    checkpoint_steps: int = 0
    """The checkpoint is also written after each so many steps; 0: not."""

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            hint = nearest(self.optimizer, OPTIMIZERS)
            raise ConfigError(f"unknown optimizer {self.optimizer!r}{hint}; known: {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        for name in ("epochs", "batch_size", "accumulate", "clip_norm", "num_readers", "max_bad_steps"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("weight_decay", "eval_every", "seed", "patience", "checkpoint_seconds", "checkpoint_steps"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name, limit in (("epochs", MAX_EPOCHS), ("seed", MAX_SEED), ("num_readers", MAX_READERS)):
            self._require(name, getattr(self, name) <= limit, f"at most {limit:,}")
        self._require("nwd", 0 <= self.nwd <= 1, "in 0 .. 1")
        divides = self.batch_size % self.accumulate == 0
        self._require("accumulate", divides, f"a divisor of the {self.batch_size} images of a step")
        for name in ("momentum", "warmup", "final_share", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "in 0 .. 1")
        self._require("learning_rate", self.peak_learning_rate > 0, "above 0")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        value = getattr(self, name)
        if not holds or (isinstance(value, float) and not math.isfinite(value)):
            raise SettingError(f"{name} is {value}; it must be {allowed}", name)

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
            SettingError: A setting is unknown, or its value is of the wrong type.
        """
        try:
            return read_plain(cls, data)
        except FieldError as error:
            raise SettingError(str(error), error.field) from None
