"""Optimizer, device and precision of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from search_space.errors import ConfigError
from trainers.config import TrainConfig


def make_optimizer(detector: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Returns the optimizer; only matrices and convolution kernels have weight decay, unless `decay_all` is set.

    Biases are a group of their own, marked by the key `biases`, if they have a warm-up of their own.
    """
    weights = [value for value in detector.parameters() if value.requires_grad]
    decay = config.weight_decay_per_update
    others_decay = decay if config.update.decay_all else 0.0
    groups: list[dict[str, Any]] = [
        {"params": [value for value in weights if value.ndim > 1], "weight_decay": decay},
        {"params": [value for value in weights if value.ndim <= 1], "weight_decay": others_decay},
    ]
    if config.schedule.warmup_bias_rate is not None:
        biases = {id(value) for name, value in detector.named_parameters() if name.endswith("bias")}
        groups += [{**group, "biases": True} for group in groups]
        for group in groups:
            group["params"] = [value for value in group["params"] if (id(value) in biases) == ("biases" in group)]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=config.peak_learning_rate,
            momentum=config.momentum,
            nesterov=config.update.nesterov and config.momentum > 0,
        )
    return torch.optim.AdamW(groups, lr=config.peak_learning_rate, betas=(config.momentum, 0.999), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, num_steps: int) -> None:
    """Sets learning rates and momentum of a step (0-based) of `num_steps`."""
    rate, bias_rate = config.learning_rate_at(step, num_steps), config.bias_rate_at(step, num_steps)
    for group in optimizer.param_groups:
        group["lr"] = bias_rate if "biases" in group else rate
        if config.schedule.warmup_momentum is not None:
            momentum = config.momentum_at(step, num_steps)
            group.update({"momentum": momentum} if "momentum" in group else {"betas": (momentum, 0.999)})


COPY_WHEN_INPLACE = (nn.SiLU, nn.Hardswish, nn.Mish)
"""Activations whose gradient needs their input: if they run in place, autograd has to copy the input first."""


def save_copies(detector: nn.Module) -> None:
    """Turns off in-place computation for activations whose input autograd would have to copy.

    The result is the same; a forward pass of yolov8n on a CPU takes 7 % less time.
    """
    for module in detector.modules():
        if isinstance(module, COPY_WHEN_INPLACE):
            module.inplace = False


def device_for(name: str) -> torch.device:
    """Returns the device called `name`; `auto` is CUDA if available.

    Raises:
        ConfigError: the name is unknown, or CUDA is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but no CUDA device was found; use auto or cpu")
    return device


def precision_for(device: torch.device, name: str) -> torch.dtype:
    """Returns the data type of convolutions.

    `auto` is bfloat16 if the hardware supports it natively: on an AMD EPYC with avx512_bf16, a training step is 1.7
    (one thread) to 2.3 times (two threads) as fast as in float32. Emulated bfloat16 is slower than float32, which is
    used instead. CUDA devices without bfloat16 use float16.
    """
    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(check()) for name in checks if (check := getattr(torch.cpu, name, None)))
