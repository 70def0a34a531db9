"""Accuracies of trials whose weights have seen different numbers of images, made comparable."""

from __future__ import annotations

import pandas as pd

from results.records import is_accuracy

EXPONENT = 0.5
"""In the first epochs the accuracy of a detector grows about with the square root of the images that it has seen."""


def levelling_factor(images_seen: float, images: float) -> float:
    """Returns by what an accuracy after `images_seen` images is multiplied to be comparable with one after `images`."""
    return float((images / images_seen) ** EXPONENT)


def levelled(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table of trials with all accuracies as after the fewest images that the weights of a trial have seen.

    It is the same table in a run without inheritance, where all trials of a rung have seen the same.
    """
    if "images_in_all" not in table or not table["images_in_all"].notna().any():
        return table
    seen = table["images_in_all"].astype("Float64")
    factors = (float(seen.min()) / seen) ** EXPONENT
    scores = [name for name in map(str, table) if is_accuracy(name) and table[name].dtype == "Float64"]
    found: pd.DataFrame = table.assign(**{name: table[name] * factors.fillna(1.0) for name in scores})
    return found
