"""A search in which no trial detects an object: the likely causes, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nas.config import RunConfig
from results import records

MORE_EPOCHS = 10.0
"""How many times as long the next search is advised to train, and the fewest epochs of it."""


@dataclass(frozen=True, kw_only=True)
class NothingFound:
    """A search whose trials all scored 0, so that it has no front."""

    num_trials: int
    """Trials with a score."""
    epochs: float
    """Passes over the training images of the trial that was trained the longest."""
    images_seen: int
    """Of that trial."""
    causes: tuple[str, ...]
    """The likely ones, the most likely first."""
    next_steps: tuple[str, ...]
    """Commands and options, in the order of the causes."""

    def line(self) -> str:
        """Says all this in one line."""
        trials = "the only trial" if self.num_trials == 1 else f"all {self.num_trials} trials"
        return (
            f"no detector finds an object: {trials} scored 0, so there is no front; likely causes: "
            f"{'; '.join(self.causes)}; next: {'; '.join(self.next_steps)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        return {**vars(self), "causes": list(self.causes), "next_steps": list(self.next_steps)}


def nothing_found(table: pd.DataFrame, config: RunConfig) -> NothingFound | None:
    """Returns why a search found nothing; None if a trial scored above 0, or if none has a score yet.

    Args:
        table: The records of its trials.
        config: Of the run.
    """
    names = [name for name in (*records.objectives_of(table), "ap50") if records.is_accuracy(name) and name in table]
    scores = table[list(dict.fromkeys(names))].astype("float64")
    scored = table[scores.notna().any(axis=1)]
    if scored.empty or scores.gt(0).any(axis=None):
        return None
    longest = scored.sort_values("epochs", ascending=False, na_position="last").iloc[0]
    epochs = 0.0 if pd.isna(longest["epochs"]) else float(longest["epochs"])
    images = 0 if pd.isna(longest["images_seen"]) else int(longest["images_seen"])
    causes, steps = _advice(config, epochs, images)
    return NothingFound(
        num_trials=len(scored), epochs=epochs, images_seen=images, causes=tuple(causes), next_steps=tuple(steps)
    )


def _advice(config: RunConfig, epochs: float, images: int) -> tuple[list[str], list[str]]:
    longer = max(MORE_EPOCHS, MORE_EPOCHS * sum(config.rungs))
    causes = [f"too short a training (at most {epochs:.2g} epochs, {images:,} images)"]
    weights = " and --pretrained WEIGHTS" if config.pretrained is None else ""
    steps = [f"another nas run with --epochs {longer:g}{weights}"]
    if config.data is not None:
        data = shlex.join([*config.data_words()[1:], *config.plugin_words()])
        causes += ["objects that are too small for the inputs", "labels that do not fit the images"]
        steps += [f"nas inspect {data} shows the sizes of the objects", f"nas data check {data}"]
    return causes, steps
