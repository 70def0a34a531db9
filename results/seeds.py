"""The accuracies of a member of the front that was trained with several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def over_seeds(member: Mapping[Any, Any], table: pd.DataFrame) -> list[float]:
    """Returns the accuracies of a member of the front with all seeds that it was trained with.

    Args:
        member: Its record.
        table: The records of the run.
    """
    again = table[(table["repeat_of"] == member["number"]).fillna(False).astype(bool)]
    whole = again[(again["rung"] == again["rungs"]) & (again["outcome"] == "complete")]
    return [float(member["accuracy"]), *map(float, whole["accuracy"])]
