"""Accuracies of trials whose weights have seen different numbers of images, made comparable."""

from __future__ import annotations

import pandas as pd

from results.records import is_accuracy

EXPONENT = 0.5
"""Accuracy is taken to grow with this power of the images that the weights have seen: an assumption, not a fit."""


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
    factors = seen.map(lambda images: levelling_factor(images, float(seen.min())), na_action="ignore")
    scores = [name for name in map(str, table) if is_accuracy(name) and table[name].dtype == "Float64"]
    found: pd.DataFrame = table.assign(**{name: table[name] * factors.fillna(1.0) for name in scores})
    return found
