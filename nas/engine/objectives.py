"""The objectives of a search by name; each is a column of the table of trials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from search_space.errors import ConfigError, unknown_name

MAX_OBJECTIVES = 3
SIZE_BIN = re.compile(r"ap_(\d+)_(\d+)")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A quantity that a search maximises or minimises."""

    name: str
    """The column of the table of trials, and the name of the cost if it is one."""
    option: str
    """Its name on the command line."""
    title: str
    unit: str = ""
    """Of the stored values; empty for a share between 0 and 1."""
    is_cost: bool = False
    """Whether it is known before training; costs are minimised, accuracies maximised."""

    @property
    def maximise(self) -> bool:
        """Whether it is maximised."""
        return not self.is_cost


def _accuracy(name: str, title: str) -> Objective:
    return Objective(name=name, option=name.replace("_", "-"), title=title)


_KNOWN = (
    _accuracy("accuracy", "accuracy"),
    _accuracy("ap", "AP"),
    _accuracy("ap50", "AP50"),
    _accuracy("ap_small", "AP small"),
    _accuracy("ap_medium", "AP medium"),
    _accuracy("ap_large", "AP large"),
    Objective(name="macs", option="macs", title="MACs", unit="MACs", is_cost=True),
    Objective(name="params", option="params", title="parameters", unit="parameters", is_cost=True),
    Objective(name="latency_ms", option="latency", title="latency", unit="ms", is_cost=True),
    Objective(name="memory_bytes", option="memory", title="peak activation memory", unit="bytes", is_cost=True),
)
OBJECTIVES = {objective.name: objective for objective in _KNOWN}
"""By the name of the column; accuracies on further size bins, `ap_LOW_HIGH`, exist as well."""


def objective(name: str) -> Objective:
    """Returns the objective with a name of a column or of the command line.

    Raises:
        ConfigError: There is no such objective; the error names the nearest and the known ones.
    """
    column = name.strip().lower().replace("-", "_")
    known = {each.option.replace("-", "_"): each for each in _KNOWN} | OBJECTIVES
    if column in known:
        return known[column]
    bounds = SIZE_BIN.fullmatch(column)
    if bounds is not None and int(bounds[1]) < int(bounds[2]):
        return _accuracy(column, f"AP {bounds[1]}-{bounds[2]} px")
    options = [each.option for each in _KNOWN]
    raise ConfigError(f"{unknown_name('objective', name, options)}, ap-LOW-HIGH (sizes in pixels, LOW below HIGH)")


def objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Returns two or three different objectives by their names, in the given order.

    Raises:
        ConfigError: There are fewer or more, one is named twice, or none of them is an accuracy.
    """
    found = tuple(objective(name) for name in names)
    given = ", ".join(each.option for each in found) or "none"
    if not 2 <= len(found) <= MAX_OBJECTIVES or len({each.name for each in found}) < len(found):
        raise ConfigError(f"a search has two or three different objectives, got {given}; such as: accuracy, macs")
    if all(each.is_cost for each in found):
        raise ConfigError(f"none of the objectives {given} is an accuracy; next: add accuracy or ap-small")
    return found
