"""The validation images that a run does not choose by."""

from __future__ import annotations

from typing import NamedTuple

from nas.config import RunConfig
from trainers.data import Dataset, DataSplits
from trainers.data.holdout import divide


class ShownImages(NamedTuple):
    """Validation images to report on."""

    dataset: Dataset
    words: str
    """What they are."""


def shown_images(config: RunConfig, splits: DataSplits) -> ShownImages:
    """Returns the held-out validation images of a run, or all where it has none."""
    if config.holdout == "yes":
        held_out = divide(splits.val).held_out
        words = f"the {len(held_out)} held-out validation images, which the search did not use"
        return ShownImages(held_out, words)
    return ShownImages(splits.val, f"the {len(splits.val)} validation images, which the search chose by")


def held_out_words(config: RunConfig, splits: DataSplits | str) -> str:
    """Returns a sentence on the images of held-out scores; empty for a run without any.

    Args:
        config: Of the run.
        splits: Its data, or a sentence that says why it cannot be read.
    """
    if config.holdout != "yes":
        return ""
    if isinstance(splits, str):
        return "Held-out figures are of validation images that the search did not use; it chose by the others."
    chosen_by, held_out = (len(part) for part in divide(splits.val))
    most = config.rung_images[-1] if config.rung_images else chosen_by
    return (
        f"Held-out figures are of {min(most, held_out)} validation images that the search did not use; it chose and "
        f"ordered the members by {min(most, chosen_by)} others."
    )


def finished_on(config: RunConfig, splits: DataSplits | str) -> str:
    """Returns a sentence on the images that finished detectors are scored on."""
    if isinstance(splits, str):
        return "They are scored on the held-out validation images." if config.holdout == "yes" else ""
    return f"They are scored on {shown_images(config, splits).words}."
