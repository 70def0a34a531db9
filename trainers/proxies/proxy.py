"""The interface of zero-cost proxies, and their registry."""

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
    """Scores a freshly initialized detector; the same signature for all kinds of head."""

    def __call__(self, detector: Detector, images: Tensor, objects: Objects, *, seed: int) -> float:
        """Returns the score, higher for detectors that are expected to become more accurate.

        The detector and the global random generators are left unchanged. On a CPU the score depends only on the
        arguments and the number of threads. A score that overflows becomes minus infinity, so that the detector is
        ranked last.

        Args:
            detector: with its initial weights; a score of trained weights is meaningless.
            images: `(B, 3, H, W)` RGB 0..1, on the detector's device.
            objects: the objects in the images; used only by scores that need a loss.
            seed: of all randomness in the score.

        Raises:
            ConfigError: there are too few images, or the score needs a loss and the head has none.
        """


ScoreFunction = TypeVar("ScoreFunction", bound=Callable[[Detector, Tensor, Objects], float])

PROXIES: Registry[Proxy] = Registry("proxy")


def proxy(name: str, *, min_images: int = 1) -> Callable[[ScoreFunction], ScoreFunction]:
    """Registers a function of (detector, images, objects) as the proxy `name`.

    The function gets a copy of the detector without gradients, which it may change. It may draw from the global random
    generators, which are seeded before and restored afterwards.

    Raises:
        SpaceError: the name is taken.
        ConfigError: when the proxy is called with fewer than `min_images`.
    """

    def register(function: ScoreFunction) -> ScoreFunction:
        @wraps(function)
        def score(detector: Detector, images: Tensor, objects: Objects, *, seed: int) -> float:
            if len(images) < min_images:
                raise ConfigError(
                    f"proxy {name!r} needs at least {min_images} images and got {len(images)}; give more, such as 16"
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
