"""Small detectors as teachers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search_space import Architecture
from search_space.parts import Options
from tests.trainers.head_cases import small_architecture
from trainers import Weights, fresh_detector

CLASSES = ("a", "b", "c")
SMALL = small_architecture("anchor_free")


def with_options(**options: Any) -> Architecture:
    """`SMALL` with other options of the head."""
    return replace(SMALL, head=replace(SMALL.head, class_branch="plain", options=Options(options)))


def with_levels(finest: int, coarsest: int) -> Architecture:
    """`SMALL` with a head on other levels."""
    return replace(SMALL, head=replace(SMALL.head, finest_level=finest, coarsest_level=coarsest))


def weights_of(architecture: Architecture = SMALL, *, seed: int = 5, classes: tuple[str, ...] = CLASSES) -> Weights:
    """Returns random weights."""
    state = fresh_detector(architecture, num_classes=len(classes), seed=seed).state_dict()
    return Weights(architecture=architecture.to_dict(), classes=classes, state=state)
