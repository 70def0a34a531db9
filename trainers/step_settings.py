"""The settings of the learning rate over time, and of what a step does with the gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from trainers.settings import check_settings, setting

DECAY_SHAPES = ("cosine", "linear")
LOSS_SCALES = ("mean", "sum")
_option: Any = partial(setting, group="Optimization", option="-")


@dataclass(frozen=True, kw_only=True)
class RateSchedule:
    """How learning rate and momentum change during a training, where a recipe differs from the default.

    Raises:
        SettingError: a value is not allowed.
    """

    decay_shape: str = _option("cosine", "Shape of the decay of the learning rate.", choices=DECAY_SHAPES)
    decay_from_start: bool = _option(
        False,
        "The decay begins at the first step, and the warm-up is a factor on it; else it follows the warm-up.",
    )
    decay_by_epoch: bool = _option(False, "The decay changes the learning rate once an epoch, not in each step.")
    warmup_epochs: float | None = _option(
        None,
        "Warm-up in epochs, in place of the share warmup. With warmup_steps as well, the longer of the two counts.",
        unit="epochs",
        minimum=0,
    )
    warmup_steps: int | None = _option(
        None, "Warm-up in batches, in place of the share warmup.", unit="batches", minimum=0
    )
    warmup_start: float | None = _option(
        None,
        "Learning rate of the first step of the warm-up, as a fraction of the peak; 1: constant.",
        minimum=0,
        maximum=1,
        default_words="1 / (steps of the warm-up + 1)",
    )
    warmup_bias_rate: float | None = _option(
        None,
        "Learning rate of biases in the first step of the warm-up; at its end it is that of the other weights.",
        minimum=0,
        default_words="that of the other weights",
    )
    warmup_momentum: float | None = _option(
        None,
        "Momentum in the first step; it changes linearly during the warm-up.",
        minimum=0,
        below=1,
        default_words="momentum",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """What a step does with the gradients, where a recipe differs from the default.

    Raises:
        SettingError: a value is not allowed.
    """

    nominal_batch: int = _option(
        0,
        "Images per change of the weights: gradients of several batches are accumulated up to it, of fewer in the "
        "warm-up. Weight decay is scaled where the batches do not add up to it. 0: each batch changes the weights.",
        minimum=0,
    )
    loss_scale: str = _option(
        "mean",
        "mean: gradients are means over the images. sum: sums over the images of all accumulated batches, as with "
        "Ultralytics.",
        choices=LOSS_SCALES,
    )
    nesterov: bool = _option(True, "Nesterov momentum of SGD.")
    decay_all: bool = _option(False, "Weight decay is applied to normalization weights and biases as well.")
    ema_ramp: float | None = _option(
        None,
        "Updates of the weights in which the decay of the moving average rises to 63 % of ema_decay, as "
        "ema_decay (1 - exp(-updates / ema_ramp)). 2000 with Ultralytics.",
        above=0,
        default_words="(1 + updates) / (10 + updates) up to ema_decay",
    )

    def __post_init__(self) -> None:
        check_settings(self)
