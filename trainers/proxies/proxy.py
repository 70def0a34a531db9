"""What a score without training is, and the registry of those that are known."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from search_space import Detector
from search_space.errors import ConfigError
from search_space.registry import Registry
from trainers.assigners import Objects


class Proxy(Protocol):
    """Scores a freshly initialised detector; one signature for all kinds of head."""

    def __call__(self, detector: Detector, images: Tensor, objects: Objects, *, seed: int) -> float:
        """Returns the score, higher for detectors that are expected to become more accurate.

        The detector keeps its weights, statistics, modes and gradients, and the global generators their states. On a
        CPU the score depends on the arguments and the number of threads alone. A score that is not finite, because
        something overflowed, is minus infinity: such a detector comes last.

        Args:
            detector: with weights as they were initialised; a score of trained weights means nothing.
            images: `(B, 3, H, W)` RGB 0..1, on the detector's device.
            objects: what is on the images; scores that use no loss leave it unread.
            seed: decides whatever is random in the score.

        Raises:
            ConfigError: there are too few images, or the score needs a loss and the kind of head has none.
        """


ScoreFunction = TypeVar("ScoreFunction", bound=Callable[[Detector, Tensor, Objects], float])

PROXIES: Registry[Proxy] = Registry("proxy")


def proxy(name: str, *, min_images: int = 1) -> Callable[[ScoreFunction], ScoreFunction]:
    """Registers a function of (detector, images, objects) as the proxy `name`.

    The function is handed a copy of the detector, without gradients, that it may change as it likes, and it may draw
    from the global generators, which are seeded for it and put back afterwards.

    Raises:
        SpaceError: the name is taken.
        ConfigError: when it is called with fewer than `min_images`.
    """

    def register(function: ScoreFunction) -> ScoreFunction:
        @wraps(function)
        def score(detector: Detector, images: Tensor, objects: Objects, *, seed: int) -> float:
            if len(images) < min_images:
                raise ConfigError(
                    f"proxy {name!r} compares images and got {len(images)}; allowed: {min_images} or more, 16 is usual"
                )
            devices = [images.device] if images.is_cuda else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(seed)
                value = function(_own_copy(detector), images, objects)
            return value if math.isfinite(value) else -math.inf

        PROXIES.add(name, score)
        return function

    return register


def _own_copy(detector: Detector) -> Detector:
    mine = copy.deepcopy(detector).requires_grad_(True)
    mine.zero_grad(set_to_none=True)
    return mine
